"""Alerts made by hand, for the tests of rules over other rules."""

from __future__ import annotations

from agent.core.evaluate.inhibition import firing_change
from agent.core.model.kpis import Dimensions
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import Severity
from agent.core.state.series import FiringChange


def transition(
    rule: str,
    at_ms: int,
    firing: bool,
    dimensions: Dimensions = (),
    kpi: str = "response_time",
    severity: Severity = "warning",
) -> Transition:
    """An alert that begins to fire, or resolves."""
    phases = (AlertPhase.FIRING, AlertPhase.RESOLVED)
    before = AlertPhase.INACTIVE if firing else AlertPhase.FIRING
    return Transition(
        rule, severity, kpi, dimensions, at_ms, at_ms, phases[not firing], before, 1.0,
        "value > 0", at_ms, at_ms, "when" if firing else "clear",
    )  # fmt: skip


def change(
    at_ms: int, firing: bool, severity: Severity = "warning", own: bool = False
) -> FiringChange:
    """The same as a change for a subscription."""
    return firing_change(transition("rule", at_ms, firing, severity=severity), own)
