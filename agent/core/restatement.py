"""Restatements: closed windows are computed again from the source topics and corrected.

A restated window has the value that it would have by today's rules if all its events had come in
the order of their times: late events count, events that today's contract accepts count, and each id
counts once. A KPI is restated with all KPIs that are computed from it, and with their inputs, so
that their values are consistent. No rule is evaluated.

Windows that are not closed yet are not restated: those that end after the newest published window
of their KPI. A window without events, both before and now, is not corrected.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from agent.core.backfill import begin_ms
from agent.core.evaluate.targets import benchmarks_of
from agent.core.fixed_windows import FixedWindows
from agent.core.merge.input_windows import is_other
from agent.core.model.events import Contract, Restated
from agent.core.model.plan import Plan
from agent.core.model.results import (
    Correction,
    Emitted,
    Number,
    TargetStatus,
    WindowValue,
)
from agent.core.output.value_messages import PublishedWindows, WindowKey, window_key
from agent.core.pipeline import Pipeline

EVER_MS = 30 * 365 * 24 * 3_600_000
"""The lateness while windows are computed again: longer than any log."""
ROUNDING = 1e-9
"""Values that differ by less count as equal: sums depend on the order of events
(docs/decisions/0009-floating-point-sums.md)."""


@dataclass(frozen=True, slots=True)
class Period:
    """Windows that overlap `[since_ms, until_ms)`."""

    since_ms: int
    until_ms: int

    def has(self, window: WindowValue) -> bool:
        """Whether a window is restated."""
        return window.end_ms > self.since_ms and window.start_ms < self.until_ms


class TooManySeries(ValueError):
    """A KPI had more series than `max_series`: which of them were folded into `__other__` depended
    on the order of arrival, so it can't be restated."""


def related(plan: Plan, kpi: str) -> tuple[str, ...]:
    """A KPI and all that are restated with it, in the plan's order."""
    pairs = [(n, other) for n, k in plan.kpis.items() for other in (*k.inputs, *benchmarks_of(k))]
    connected, size = {kpi}, 0
    while size < len(connected):
        size = len(connected)
        for pair in pairs:
            if not connected.isdisjoint(pair):
                connected.update(pair)
    return tuple(name for name in plan.kpis if name in connected)


def events_from_ms(plan: Plan, kpis: Iterable[str], period: Period) -> int:
    """The event time from which the events of a period's windows are needed."""
    bases = (plan.kpis[name] for name in kpis if plan.kpis[name].contract is not None)
    return min(begin_ms(kpi, period.since_ms) for kpi in bases)


def events_until_ms(plan: Plan, kpis: Iterable[str], period: Period) -> int:
    """The event time before which events are needed: the last windows may start in the period and
    end a window length later."""
    return period.until_ms + max(plan.kpis[name].window.span_ms for name in kpis)


def restatement_plan(plan: Plan, kpis: Collection[str], period: Period) -> Plan:
    """A plan that computes the windows of some KPIs again, from the events of a period."""
    lateness_ms = max(contract.lateness_ms for contract in plan.contracts.values())
    # An id that came just before the period may be repeated in it.
    from_ms = events_from_ms(plan, kpis, period) - lateness_ms
    until_ms = events_until_ms(plan, kpis, period) + lateness_ms

    def read(contract: Contract) -> Contract:
        asked = Restated(from_ms, until_ms, contract.lateness_ms)
        return replace(contract, lateness_ms=EVER_MS, restated=asked)

    chosen = {name: replace(plan.kpis[name], lateness_ms=EVER_MS) for name in kpis}
    used = {kpi.contract for kpi in chosen.values()}
    contracts = {name: read(c) for name, c in plan.contracts.items() if name in used}
    return replace(plan, contracts=contracts, kpis=chosen, rules={}, objectives={})


def corrections(
    plan: Plan, kpis: Iterable[str], published: PublishedWindows, emitted: Emitted, period: Period
) -> list[Correction]:
    """The windows whose published value differs from the one computed again, by KPI, time and
    series. The dimensions in `emitted` are those under which series are published.

    Raises TooManySeries.
    """
    statuses = {window_key(status.window): status for status in emitted.targets}
    computed = {window_key(window): window for window in emitted.windows}
    corrections: list[Correction] = []
    for kpi in kpis:
        old = {key: w for key, w in published.windows(kpi).items() if period.has(w)}
        new = {key: w for key, w in computed.items() if w.kpi == kpi and period.has(w)}
        if any(is_other(w.dimensions) for w in (*old.values(), *new.values())):
            raise TooManySeries(kpi)
        closed_ms = published.newest_end_ms(kpi)
        of_kpi = [w for w in new.values() if w.end_ms <= closed_ms]
        gone = [w for key, w in old.items() if key not in new and w.events]
        emptied, states = _emptied(plan, kpi, gone)
        for window in sorted((*of_kpi, *emptied), key=lambda w: (w.end_ms, repr(w.dimensions))):
            key = window_key(window)
            before = old.get(key)
            if _differs(window, before):
                status = statuses.get(key) or states.get(key)
                corrections.append(
                    Correction(window, before, _with_previous(status, published.status(key)))
                )
    return corrections


def _differs(window: WindowValue, before: WindowValue | None) -> bool:
    if before is None or not (window.events or before.events):
        return before is None and window.events > 0
    return window.events != before.events or not is_same(window.value, before.value)


def is_same(a: Number, b: Number) -> bool:
    """Whether two values are equal except for the rounding of sums."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=ROUNDING)


def _with_previous(status: TargetStatus | None, before: TargetStatus | None) -> TargetStatus | None:
    """A target state with the previous one: the first that was computed again does not have it, so
    it is taken from the published state."""
    if status is None or status.previous is not None or before is None:
        return status
    return structs.replace(status, previous=before.previous)


def _emptied(
    plan: Plan, kpi: str, gone: list[WindowValue]
) -> tuple[list[WindowValue], Mapping[WindowKey, TargetStatus]]:
    """Windows of which all events are rejected by today's rules, without events, and their target
    states."""
    if not gone:
        return [], {}
    alone = restatement_plan(plan, related(plan, kpi), Period(0, 0))
    value = Pipeline(alone).mergers[0].state.kpis[kpi].empty_value()
    windows = [
        WindowValue(kpi, w.dimensions, w.start_ms, w.end_ms, value, 0, maintenance=w.maintenance)
        for w in gone
    ]
    emitted = FixedWindows(replace(plan, rules={}), windows).run(max(w.end_ms for w in windows))
    return windows, {window_key(status.window): status for status in emitted.targets}


def losing_events(corrections: Iterable[Correction]) -> Iterator[Correction]:
    """The corrections to fewer events than published."""
    return (c for c in corrections if c.before is not None and c.window.events < c.before.events)
