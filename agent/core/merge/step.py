"""What a move of the frontier brings."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.kpis import Dimensions
from agent.core.model.results import TargetStatus, Transition, WindowValue


@dataclass(slots=True)
class Step:
    """What one move of the frontier brought, each with its instant (ms) for the order."""

    closed: list[tuple[WindowValue, TargetStatus | None, list[Transition]]] = field(
        default_factory=list
    )
    transitions: list[Transition] = field(default_factory=list)
    changed: set[Dimensions] = field(default_factory=set)
    expired: set[Dimensions] = field(default_factory=set)
