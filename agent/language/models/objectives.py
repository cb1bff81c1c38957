"""The section `objectives`: weighted sets of KPIs, or of other objectives."""

from __future__ import annotations

from pydantic import Field

from agent.language.models.base import Strict
from agent.language.models.values import (
    Number,
    Text,
)


class ObjectiveSpec(Strict):
    """What the company wants: a weighted set of KPIs and other objectives."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What reaching it means.")
    owner: Text | None = Field(None, description="Who answers for it.")
    team: Text | None = Field(None, description="The owner's team.")
    kpis: dict[str, Number] = Field(
        default_factory=dict,
        description="KPI: weight. Weights are positive; all of an objective are scaled to add up "
        "to 1.",
        examples=[{"orders": 1}],
    )
    objectives: dict[str, Number] = Field(
        default_factory=dict,
        description="Objective: weight, of the objectives that this one is made of.",
        examples=[{"growth": 1}],
    )
