"""The rules that a running agent uses, and its numbers of series and alerts, as it reports them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from agent.core.changes.outline import Outline, public_outline
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView
from agent.core.model.rules import Severity
from agent.core.output.privacy import private_subjects

_COUNTED = (AlertPhase.PENDING, AlertPhase.FIRING, AlertPhase.INHIBITED)


@dataclass(frozen=True, slots=True)
class HeldAlerts:
    """The number of alerts of a rule and severity in a phase: pending, firing or inhibited."""

    rule: str
    severity: Severity
    phase: AlertPhase
    count: int


@dataclass(frozen=True, slots=True)
class Held:
    """The numbers of series by KPI and of alerts, of all workers; without private ones."""

    series: dict[str, int]
    alerts: tuple[HeldAlerts, ...]

    def alert_counts(self, rule: str, severity: Severity) -> dict[AlertPhase, int]:
        """The numbers of alerts of a rule and severity, by phase; phases without alerts are left
        out."""
        return {
            alert.phase: alert.count
            for alert in self.alerts
            if (alert.rule, alert.severity) == (rule, severity)
        }


@dataclass(frozen=True, slots=True)
class InUse:
    """The rules in use; `held` None: the agent does not know all series yet."""

    rules: Outline
    held: Held | None


def in_use(plan: Plan, views: Iterable[SeriesView] | None) -> InUse:
    """The report of an agent; `views` are the series of all workers, None: not known yet."""
    return InUse(public_outline(plan), None if views is None else _count(plan, views))


def _count(plan: Plan, views: Iterable[SeriesView]) -> Held:
    """Count series and alerts."""
    private = private_subjects(plan)
    series: Counter[str] = Counter()
    alerts: Counter[tuple[str, Severity, AlertPhase]] = Counter()
    for view in views:
        if view.kpi in private:
            continue
        if view.dimensions is not None and view.kpi in plan.kpis:
            series[view.kpi] += 1
        for (rule, severity), phase in view.phases.items():
            if phase in _COUNTED:
                alerts[rule, severity, phase] += 1
    held_alerts = (HeldAlerts(*key, count) for key, count in sorted(alerts.items()))
    return Held(
        {name: series[name] for name in plan.kpis if name not in private}, tuple(held_alerts)
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(InUse)


def to_bytes(in_use: InUse) -> bytes:
    """As JSON."""
    return _encoder.encode(in_use)


def from_bytes(data: bytes) -> InUse:
    """Parse the result of `to_bytes`. Raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(data)
