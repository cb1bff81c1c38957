"""Restores a rule graph from the rows of a state partition.

1. Rows contain the alerts that fire, and the changes that some rule has not consumed yet
   (`change_journal`).
2. Every subscription starts with the alerts that fired before its pending changes; then the
   pending changes are added.
3. A change that was consumed but is still in a row may be delivered again, which has no effect.
4. If a rule did not depend on others before the rules were changed, its alerts continue as they
   are. If it no longer does, `no_longer_inhibited` gives the transitions to their own phases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from agent.core.evaluate.change_journal import consumed_by_rows, pending
from agent.core.evaluate.inhibition import OWN, Inhibitor
from agent.core.evaluate.subscription import Subscription
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, TargetState, Transition
from agent.core.model.rules import Rule, Severity, is_whole
from agent.core.state.series import FindSeries, Series

SeriesOf = Callable[[str], Sequence[Series]]
"""The series of an owner (a KPI or composite rule) in this state partition."""

Subscribers = Mapping[tuple[str, str], Sequence[tuple[Subscription, int]]]
"""The subscriptions by owner and rule ("": its target), each with the index of the source in it."""


@dataclass(frozen=True, slots=True, eq=False)
class GraphRestart:
    """Restores the subscriptions and inhibitors of one rule graph from the rows."""

    _plan: Plan
    _series_of: SeriesOf
    _find: FindSeries
    _subscribers: Subscribers
    _inhibitors: Mapping[str, Inhibitor]

    def begin(self) -> None:
        """Restore the firing alerts and the pending changes from the rows."""
        consumed = consumed_by_rows(self._all_rows())
        for (owner, rule), subscribers in self._subscribers.items():
            for series, dimensions in self._rows(owner, rule):
                for subscription, index in subscribers:
                    after_ms = consumed.get(subscription.name)
                    for severity in self._firing_before(series, rule, after_ms):
                        subscription.set_firing(index, dimensions, severity)
                    for change in pending(series, rule, after_ms):
                        subscription.add(index, dimensions, change)
        for name, inhibitor in self._inhibitors.items():
            after_ms = consumed.get(inhibitor.subscription.name)
            for series, dimensions in self._rows(inhibitor.rule.kpi, name):
                self._restore(inhibitor, series, dimensions, after_ms)

    def _all_rows(self) -> Iterator[Series]:
        owners = {owner for owner, _ in self._subscribers}
        owners.update(rule.kpi for rule in self._plan.rules.values())
        for owner in sorted(owners):
            yield from self._series_of(owner)
            yield from self._whole(owner)

    def _rows(self, owner: str, rule: str) -> Iterator[tuple[Series, Dimensions]]:
        whole = bool(rule) and is_whole(self._plan.rules[rule])
        for series in self._whole(owner) if whole else self._series_of(owner):
            yield series, series.dimensions or ()

    def _whole(self, owner: str) -> list[Series]:
        """The series of a KPI as a whole, if it has one."""
        series = self._find((owner, None))
        return [] if series is None else [series]

    def _firing_before(self, series: Series, rule: str, after_ms: int | None) -> list[str]:
        """The severities of a rule's alerts on a series that fired before its pending changes."""
        if not rule:
            missed = series.status is not None and series.status.state is TargetState.MISSED
            firing = {"": missed}
        else:
            phases = phases_of(series, self._plan.rules[rule])
            if rule in self._inhibitors:
                phases = {s: step.state for s, step in series.reported.get(rule, {}).items()}
            firing = {severity: phase is AlertPhase.FIRING for severity, phase in phases.items()}
        for change in reversed(pending(series, rule, after_ms)):
            firing[change.severity] = not change.firing
        return [severity for severity, fires in firing.items() if fires]

    def _restore(
        self, inhibitor: Inhibitor, series: Series, dimensions: Dimensions, after_ms: int | None
    ) -> None:
        name = inhibitor.rule.name
        changes = pending(series, name, after_ms, own=True)
        reported = series.reported.get(name, {})
        for severity, phase in phases_of(series, inhibitor.rule).items():
            first = next((c.transition for c in changes if c.severity == severity), None)
            own = first.previous if first is not None else phase
            if severity not in reported and own is not AlertPhase.INACTIVE:
                # The rule did not depend on others before: its alerts were reported as they were.
                series.report(
                    name, severity, last_transition(inhibitor.rule, severity, series, own)
                )
            last = series.reported.get(name, {}).get(severity)
            if last is not None:
                inhibitor.restore((dimensions, severity), own is AlertPhase.FIRING, last)
        for change in changes:
            inhibitor.subscription.add(OWN, dimensions, change)

    def no_longer_inhibited(self, series: Series) -> list[Transition]:
        """The transitions of alerts whose rule no longer depends on others, from the phase that was
        reported to their own."""
        out = []
        for name in [name for name in series.reported if name not in self._inhibitors]:
            reported = series.pop_reported(name)
            rule = self._plan.rules.get(name)
            for severity, phase in phases_of(series, rule).items() if rule else ():
                last = reported.get(severity)
                if last is not None and last.state is not phase:
                    out.append(replace(last, state=phase, previous=last.state, reason="when"))
        return out


def phases_of(series: Series, rule: Rule) -> Mapping[str, AlertPhase]:
    """The phases of a rule's alerts on a series by severity, before inhibition."""
    return {severity: state.phase for severity, state in series.alerts.get(rule.name, {}).items()}


def last_transition(rule: Rule, severity: str, series: Series, phase: AlertPhase) -> Transition:
    """A transition into the current phase of an alert, reconstructed from its row."""
    state = series.alerts.get(rule.name, {}).get(severity)
    at_ms = state.episode_ms if state and state.episode_ms is not None else series.closed_ms
    return Transition(
        rule.name, cast(Severity, severity), rule.kpi, series.dimensions or (), at_ms, at_ms, phase,
        AlertPhase.INACTIVE, None, "", at_ms, at_ms, "when",
    )  # fmt: skip
