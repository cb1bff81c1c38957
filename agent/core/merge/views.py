"""The views of a partition's series for the board and `/metrics`, computed incrementally.

With many series, a scrape must only compute what changed: the open window of a series if its
partials changed or another window became current, its view if that or its closed state changed.
After a restart, alert delivery continues from the active alerts (`active_alerts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from agent.core.evaluate.graph_restart import last_transition, phases_of
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.merge.partition_state import PartitionState
from agent.core.model.kpis import Dimensions, Target
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView, Transition, WindowValue
from agent.core.model.rules import Rule
from agent.core.state.series import Series


class Views:
    """The views of one state partition."""

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._states = states = state.kpis  # in dependency order
        self._views: dict[str, dict[Dimensions, SeriesView]] = {name: {} for name in states}
        self._current: dict[str, dict[Dimensions, WindowValue]] = {name: {} for name in states}
        self._ends: dict[str, int | None] = dict.fromkeys(states)

    def read(self) -> list[SeriesView]:
        """Every series, and KPIs with `per: kpi` rules as a whole. A view that did not change is
        the same object as before."""
        changed: dict[str, set[Dimensions]] = {}
        for name, state in self._states.items():
            touched = state.drain_changed_views()
            if isinstance(state, BaseKpi):
                changed[name] = self._renew_open(name, state, touched)
            else:
                changed[name] = self._derive(name, state, [changed[i] for i in state.kpi.inputs])
            self._renew(name, state, changed[name] | touched)
        absences = [a for a in self._state.absences.values() if a.is_reporter]
        return [
            *chain.from_iterable(views.values() for views in self._views.values()),
            *(
                view_of(absence.state, absence.series, None)
                for absence in absences
                if absence.series
            ),
            *self._state.rule_graph.views(),
        ]

    def _renew_open(self, name: str, state: BaseKpi, touched: set[Dimensions]) -> set[Dimensions]:
        """Update the current open windows of a base KPI; returns the series whose window
        changed."""
        end = state.current_end()
        current = self._current[name]
        if end != self._ends[name]:
            self._ends[name] = end
            before = set(current)
            windows = state.open_windows([] if end is None else [end])
            self._current[name] = {w.dimensions: w for w in windows}
            return before.union(self._current[name])
        for dimensions in touched:
            current.pop(dimensions, None)
        if end is not None and touched:
            for window in state.open_windows([end], touched):
                current[window.dimensions] = window
        return touched

    def _derive(
        self, name: str, state: DerivedKpi, changed: Iterable[set[Dimensions]]
    ) -> set[Dimensions]:
        if not any(changed):
            return set()
        ends = [e for i in state.kpi.inputs if (e := self._ends[i]) is not None]
        self._ends[name] = min(ends, default=None)
        windows = self._at(name, self._ends[name])
        before, self._current[name] = self._current[name], {w.dimensions: w for w in windows}
        after = self._current[name]
        return {d for d in before.keys() | after.keys() if before.get(d) != after.get(d)}

    def _at(self, name: str, end: int | None) -> list[WindowValue]:
        """The open windows of a KPI with one end, which may be earlier than that of its current
        windows."""
        state = self._states[name]
        if isinstance(state, DerivedKpi):
            inputs = [self._states[i] for i in state.kpi.inputs]
            windows = [self._at(i, end) for i in state.kpi.inputs]
            return [w for w in state.open_windows(inputs, windows) if w.end_ms == end]
        if end == self._ends[name]:
            return list(self._current[name].values())
        if end is None or (state.frontier_ms is not None and end <= state.frontier_ms):
            return []
        return state.open_windows([end])

    def _renew(self, name: str, state: KpiState, dimensions: Iterable[Dimensions]) -> None:
        views, current = self._views[name], self._current[name]
        for key in dimensions:
            series = state.series.get(key)
            if series is None:
                views.pop(key, None)
            else:
                views[key] = view_of(state, series, current.get(key), views.get(key))
        if len(views) > len(state.series):
            for gone in [key for key in views if key not in state.series]:
                del views[gone]


def view_of(
    state: KpiState,
    series: Series,
    current: WindowValue | None,
    before: SeriesView | None = None,
) -> SeriesView:
    """The view of one series, or of a KPI as a whole (phases only).

    `before` is its last view, whose history is reused if no window has closed since.
    """
    if before is not None and before.closed is series.closed and series.closed is not None:
        history = before.history
    else:
        history = tuple((end, value) for end, value, *_ in series.history)
    phases: dict[tuple[str, str], AlertPhase] = state.evaluator.phases(series)
    return SeriesView(
        state.kpi.name,
        series.dimensions,
        series.closed,
        current,
        _target(state, series, current),
        series.status,
        history,
        phases,  # type: ignore[arg-type]  # severities are checked where rules are declared
    )


def _target(state: KpiState, series: Series, current: WindowValue | None) -> Target | None:
    """The target of the last closed window; if there is none, that of the open window."""
    window = series.closed or current
    if series.dimensions is None or window is None:
        return None
    target = state.evaluator.targets.for_series(series.dimensions, window.start_ms)
    if target is not None and target.kpis and series.status is not None:
        return series.status.target  # with the values of its benchmarks
    return target


ACTIVE = (AlertPhase.FIRING, AlertPhase.INHIBITED)


def active_alerts(plan: Plan, state: PartitionState) -> list[Transition]:
    """The last transition of each alert that is firing or inhibited.

    Rows keep transitions only for rules with `depends_on`, otherwise just the phase and the
    episode. The transition is then reconstructed: `at_ms` is the start of the episode, `value` that
    of the last closed window.
    """
    return [
        transition
        for rule in plan.rules.values()
        for series in state.reported_series(rule)
        for transition in _last_transitions(rule, series)
    ]


def _last_transitions(rule: Rule, series: Series) -> Iterator[Transition]:
    if rule.depends_on:
        reported = series.reported.get(rule.name, {}).values()
        yield from (transition for transition in reported if transition.state in ACTIVE)
        return
    for severity, phase in phases_of(series, rule).items():
        if phase in ACTIVE:
            last, window = last_transition(rule, severity, series, phase), series.closed
            if window is not None:
                last = replace(
                    last, value=window.value, start_ms=window.start_ms, end_ms=window.end_ms
                )
            yield last
