"""Restatements: closed windows computed again from the source topics, and what differs.

A restated window has the value that it would have had if all its events had come in the order of
their times, by today's rules: late events count, and those that today's contract accepts; an id
counts once. A KPI is restated with all KPIs that are computed from it, and with their inputs, so
that their values agree. No rule is evaluated.

Not restated are windows that are not closed yet: those that end after the newest published window
of their KPI. A window that has no events, before and now, stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from agent.core.backfill import begin_ms
from agent.core.evaluate.targets import benchmarks_of
from agent.core.fixed_windows import FixedWindows
from agent.core.merge.input_windows import is_other
from agent.core.model.events import Contract, Restated
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import (
    Correction,
    Emitted,
    Number,
    TargetStatus,
    WindowValue,
)
from agent.core.output.published import PublishedWindows, WindowKey, window_key
from agent.core.pipeline import Pipeline

EVER_MS = 30 * 365 * 24 * 3_600_000
"""The lateness while windows are computed again: no log is older."""
ROUNDING = 1e-9
"""Values that differ by less are the same: sums depend on the order of events
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
    on the order in which they came."""


def related(plan: Plan, kpi: str) -> tuple[str, ...]:
    """A KPI with all that are restated with it, in the plan's order."""
    pairs = [(name, other) for name, k in plan.kpis.items() for other in _read_by(k)]
    together, size = {kpi}, 0
    while size < len(together):
        size = len(together)
        for pair in pairs:
            if not together.isdisjoint(pair):
                together.update(pair)
    return tuple(name for name in plan.kpis if name in together)


def _read_by(kpi: Kpi) -> tuple[str, ...]:
    return *kpi.inputs, *benchmarks_of(kpi)


def begins_ms(plan: Plan, kpis: Iterable[str], period: Period) -> int:
    """The event time from which the events of a period's windows are needed."""
    bases = (plan.kpis[name] for name in kpis if plan.kpis[name].contract is not None)
    return min(begin_ms(kpi, period.since_ms) for kpi in bases)


def ends_ms(plan: Plan, kpis: Iterable[str], period: Period) -> int:
    """The event time before which they are needed: windows that begin in the period may end a
    window later."""
    return period.until_ms + max(plan.kpis[name].window.span_ms for name in kpis)


def restating(plan: Plan, kpis: Collection[str], period: Period) -> Plan:
    """A plan that computes the windows of some KPIs again, from the events of a period."""
    lateness_ms = max(contract.lateness_ms for contract in plan.contracts.values())
    # An id that came just before the period may be repeated in it.
    from_ms = begins_ms(plan, kpis, period) - lateness_ms
    until_ms = ends_ms(plan, kpis, period) + lateness_ms

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
    """The windows whose published value differs from what was computed again, by KPI, time and
    series. `emitted` has the dimensions under which series are published.

    Raises TooManySeries.
    """
    statuses = {window_key(status.window): status for status in emitted.targets}
    computed = {window_key(window): window for window in emitted.windows}
    made: list[Correction] = []
    for kpi in kpis:
        old = {key: w for key, w in published.windows(kpi).items() if period.has(w)}
        new = {key: w for key, w in computed.items() if w.kpi == kpi and period.has(w)}
        if any(is_other(w.dimensions) for w in (*old.values(), *new.values())):
            raise TooManySeries(kpi)
        closed_ms = published.newest_end_ms(kpi)
        of_kpi = [w for w in new.values() if w.end_ms <= closed_ms]
        gone = [w for key, w in old.items() if key not in new and w.events]
        emptied, states = _emptied(plan, kpi, gone)
        for window in sorted((*of_kpi, *emptied), key=_place):
            key = window_key(window)
            before = old.get(key)
            if _differs(window, before):
                status = statuses.get(key) or states.get(key)
                made.append(Correction(window, before, _follows(status, published.status(key))))
    return made


def _place(window: WindowValue) -> tuple[int, str]:
    return window.end_ms, repr(window.dimensions)


def _differs(window: WindowValue, before: WindowValue | None) -> bool:
    if before is None or not (window.events or before.events):
        return before is None and window.events > 0
    return window.events != before.events or not is_same(window.value, before.value)


def is_same(a: Number, b: Number) -> bool:
    """Whether two values are equal but for the rounding of sums."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=ROUNDING)


def _follows(status: TargetStatus | None, before: TargetStatus | None) -> TargetStatus | None:
    """The state of a window; the first that was computed again does not know what it follows."""
    if status is None or status.previous is not None or before is None:
        return status
    return TargetStatus(
        status.window, status.state, before.previous, status.attainment, status.target
    )


def _emptied(
    plan: Plan, kpi: str, gone: list[WindowValue]
) -> tuple[list[WindowValue], Mapping[WindowKey, TargetStatus]]:
    """Windows all of whose events are rejected by today's rules, and their target states."""
    if not gone:
        return [], {}
    alone = restating(plan, related(plan, kpi), Period(0, 0))
    value = Pipeline(alone).mergers[0].state.kpis[kpi].empty_value()
    windows = [
        WindowValue(kpi, w.dimensions, w.start_ms, w.end_ms, value, 0, maintenance=w.maintenance)
        for w in gone
    ]
    given = FixedWindows(replace(plan, rules={}), windows).run(max(w.end_ms for w in windows))
    return windows, {window_key(status.window): status for status in given.targets}


def losing_events(made: Iterable[Correction]) -> Iterator[Correction]:
    """The corrections to fewer events than were published."""
    return (c for c in made if c.before is not None and c.window.events < c.before.events)
