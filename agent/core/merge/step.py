"""The results of one advance of a KPI's frontier."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.kpis import Dimensions
from agent.core.model.results import TargetStatus, Transition, WindowValue


@dataclass(slots=True)
class Step:
    """The results of one advance of a KPI's frontier: closed windows with their target status and
    transitions, other transitions, series whose rows changed, and series that expired."""

    closed: list[tuple[WindowValue, TargetStatus | None, list[Transition]]] = field(
        default_factory=list
    )
    transitions: list[Transition] = field(default_factory=list)
    changed: set[Dimensions] = field(default_factory=set)
    expired: set[Dimensions] = field(default_factory=set)
