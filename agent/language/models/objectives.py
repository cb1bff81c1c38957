"""The section `objectives`: weighted sets of KPIs, or of other objectives."""

from __future__ import annotations

from pydantic import Field

from agent.language.models.base import Strict
from agent.language.models.values import (
    Number,
    Text,
)


class ObjectiveSpec(Strict):
    """An objective of the company: a weighted set of KPIs and other objectives."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What it means to reach the objective.")
    owner: Text | None = Field(None, description="Who is responsible for it.")
    team: Text | None = Field(None, description="The owner's team.")
    kpis: dict[str, Number] = Field(
        default_factory=dict,
        description="KPI: weight. Weights are positive; those of an objective are scaled to add "
        "up to 1.",
        examples=[{"orders": 1}],
    )
    objectives: dict[str, Number] = Field(
        default_factory=dict,
        description="Objective: weight, for objectives that are part of this one.",
        examples=[{"growth": 1}],
    )
