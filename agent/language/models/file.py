"""A file of rules: its sections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.language.models.base import Strict
from agent.language.models.defaults import Defaults
from agent.language.models.events import EventSpec
from agent.language.models.kpis import KpiSpec
from agent.language.models.lookups import LookupSpec
from agent.language.models.maintenance import MaintenanceSpec
from agent.language.models.objectives import ObjectiveSpec
from agent.language.models.rules import RuleSpec
from agent.language.models.values import (
    EventName,
    Name,
)

SECTIONS: dict[str, type[Strict]] = {
    "events": EventSpec,
    "kpis": KpiSpec,
    "rules": RuleSpec,
    "objectives": ObjectiveSpec,
    "maintenance": MaintenanceSpec,
    "lookups": LookupSpec,
}
"""The sections that declare something by name."""


class FileHead(Strict):
    """The keys of a file beside its sections, whose entries are validated one by one."""

    version: Literal[1] = Field(1, description="The version of this language.")


class FileSpec(FileHead):
    """A file of rules. All files in a folder form one rule set."""

    defaults: Defaults | None = Field(None, description="Defaults for all files of the folder.")
    events: dict[EventName, EventSpec] = Field(
        default_factory=dict, description="The contracts of event types, by name."
    )
    kpis: dict[Name, KpiSpec] = Field(default_factory=dict, description="The KPIs, by name.")
    rules: dict[Name, RuleSpec] = Field(
        default_factory=dict, description="The alert rules, by name."
    )
    objectives: dict[Name, ObjectiveSpec] = Field(
        default_factory=dict, description="The objectives, by name."
    )
    maintenance: dict[Name, MaintenanceSpec] = Field(
        default_factory=dict,
        description="Times that are excluded from alerts, targets and baselines, by name.",
    )
    lookups: dict[Name, LookupSpec] = Field(
        default_factory=dict,
        description="Lookup tables in files beside the rules, which add fields to events, by name.",
    )
