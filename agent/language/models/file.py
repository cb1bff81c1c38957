"""A file of rules: its sections, and its `defaults`, which hold wherever an event or a KPI does not
say otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.language.models.base import AnyEscalation, Strict
from agent.language.models.events import EventSpec
from agent.language.models.kpis import KpiSpec, ObjectiveSpec
from agent.language.models.lookups import LookupSpec
from agent.language.models.maintenance import MaintenanceSpec
from agent.language.models.rules import RuleSpec
from agent.language.models.values import (
    Duration,
    EventName,
    Name,
    PositiveDuration,
    Text,
    TimeZone,
)


class Defaults(Strict):
    """Defaults for events and KPIs that do not set these fields themselves."""

    timezone: TimeZone | None = Field(
        None,
        description="Time zone of times without an offset, and of calendar windows. UTC if "
        "not given.",
    )
    lateness: Duration | None = Field(
        None, description="How long a window waits for late events after its end. 10s if not given."
    )
    max_future: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be after the time at which the broker received "
        "it. 1h if not given.",
    )
    max_past: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be before the time at which the broker received "
        "it. 10950d, thirty years, if not given.",
    )
    idle_after: PositiveDuration | None = Field(
        None,
        description="A source partition without events for this long no longer holds back the "
        "others. 30s if not given.",
    )
    duplicate_window: PositiveDuration | None = Field(
        None,
        description="For how long an event's id is remembered at most, in event time. 15m if not "
        "given.",
    )
    max_bytes: int | None = Field(
        None, gt=0, description="The largest event, in bytes. 1048576 if not given."
    )
    owner: Text | None = Field(None, description="The owner of everything that names none.")
    team: Text | None = Field(None, description="The team of everything that names none.")
    escalation: AnyEscalation | None = Field(
        None, description="The escalation of rules and KPIs that declare none."
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
