"""Values into judgements: what a KPI's windows say of its target and of the rules that watch it.

One `Judge` per KPI. Expressions run over all windows of a step at once (polars); targets and
alerts then go through the windows one by one, in the order of their ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import polars as pl

from agent.core import alerts
from agent.core import rules as core_rules
from agent.core.aggregates import Aggregator
from agent.core.alerts import AlertState
from agent.core.maintenance import upkeep_of
from agent.core.plan import (
    AbsenceRule,
    Dimensions,
    Kpi,
    Plan,
    Severity,
    Target,
    TargetOverride,
    ThresholdRule,
)
from agent.core.results import AlertPhase, TargetState, TargetStatus, Transition, WindowValue
from agent.core.series import Series, State
from agent.core.targets import assess, in_force, overrides_of

Pair = tuple[State, State | None]
"""A window's state and, where retention asks for it, that of the window before."""


class Judge:
    """What one KPI's states are worth, and what its windows set off."""

    def __init__(self, plan: Plan, kpi: Kpi) -> None:
        self.kpi = kpi
        rules = plan.rules_of(kpi.name)
        thresholds = [r for r in rules if isinstance(r, ThresholdRule)]
        absences = [r for r in rules if isinstance(r, AbsenceRule)]
        self.closed_rules = [r for r in thresholds if r.on == "closed"]
        self.current_rules = [r for r in thresholds if r.on == "current"]
        self.series_absences = [r for r in absences if r.per == "series"]
        self.kpi_absences = [r for r in absences if r.per == "kpi"]
        self._names = {r.name: r for r in rules}
        self._aggregator = Aggregator(kpi)
        self.upkeep = upkeep_of(plan, kpi)
        self._overrides: dict[Dimensions, tuple[TargetOverride, ...]] = {}

    def values(self, pairs: Sequence[Pair]) -> list[float | None]:
        """The KPI's value of each state; None where it has none. Never NaN, never infinite."""
        if not pairs:
            return []
        rows = [self._aggregator.finals(state, previous) for state, previous in pairs]
        columns = {
            f"a{i}": pl.Series(f"a{i}", column, strict=False)
            for i, column in enumerate(zip(*rows, strict=True))
        }
        typed = {
            name: column.cast(pl.Float64) if column.dtype == pl.Null else column
            for name, column in columns.items()
        }
        return self._evaluated(pl.DataFrame(typed))

    def derived(self, rows: Sequence[Sequence[float | None]]) -> list[float | None]:
        """A derived KPI's value of each row of input values, in the order of `Kpi.inputs`."""
        if not rows:
            return []
        schema = dict.fromkeys(self.kpi.inputs, pl.Float64)
        return self._evaluated(pl.DataFrame([list(r) for r in rows], schema=schema, orient="row"))

    def _evaluated(self, table: pl.DataFrame) -> list[float | None]:
        value = self.kpi.value.cast(pl.Float64)
        finite = pl.when(value.is_finite()).then(value).alias("value")
        found = table.select(finite)["value"].to_list()
        # An expression without columns (a constant) gives one row.
        return found if len(found) == table.height else found * table.height

    def target(self, dimensions: Dimensions, start_ms: int) -> Target | None:
        """The target that applies to the window of a series that starts at an instant (ms)."""
        if dimensions not in self._overrides:
            self._overrides[dimensions] = overrides_of(self.kpi, dimensions)
        return in_force(self.kpi, self._overrides[dimensions], start_ms)

    def close(
        self, closed: Sequence[tuple[Series, WindowValue]]
    ) -> list[tuple[WindowValue, TargetStatus | None, list[Transition]]]:
        """Judge closed windows, per series in the order of their ends; the series are changed.

        No rule is judged on a window in maintenance: its alerts stay as they are.
        """
        windows = [window for _, window in closed]
        rows = self._rows(self.closed_rules, windows)
        out = []
        for i, (series, window) in enumerate(closed):
            status = self._status(series, window)
            transitions: list[Transition] = []
            for rule, conditions in rows if window.maintenance is None else ():
                transitions += _step(rule, series, window, conditions[i], window.end_ms)
            series.remember(window)
            out.append((window, status, transitions))
        return out

    def current(
        self, judged: Sequence[tuple[Series, WindowValue, int]]
    ) -> list[tuple[int, WindowValue, list[Transition]]]:
        """Judge windows as they stand at an instant (ms), for the rules on current values; not
        those that were in maintenance before it."""
        rows = self._rows(self.current_rules, [window for _, window, _ in judged])
        out = []
        for i, (series, window, at_ms) in enumerate(judged):
            transitions: list[Transition] = []
            calm = self.upkeep.over(window.dimensions, window.start_ms, at_ms)
            for rule, conditions in rows if calm is None else ():
                transitions += _step(rule, series, window, conditions[i], at_ms)
            out.append((at_ms, window, transitions))
        return out

    def silence(
        self,
        rules: Iterable[AbsenceRule],
        series: Series,
        last_event_ms: int,
        frontier_ms: int,
        first_event_ms: int | None = None,
    ) -> list[Transition]:
        """Judge how long a series, or the KPI as a whole, was silent; the series is changed.

        Time in maintenance is no silence.
        """
        out: list[Transition] = []
        for rule in rules:
            state = series.absences.get(rule.name, core_rules.NEVER_SEEN)
            after, transitions = core_rules.step_absence(
                rule,
                self.kpi.name,
                series.dimensions or (),
                state,
                last_event_ms,
                frontier_ms,
                first_event_ms,
                core_rules.Running(self.upkeep, series.dimensions, rule.no_data_for_ms),
            )
            if after != state:
                series.absences[rule.name] = after
            out += transitions
        return out

    def drop_undeclared(self, series: Series) -> list[Transition]:
        """End the alerts of rules and levels that are declared no more."""
        rules = [*self.closed_rules, *self.current_rules]
        declared = {(r.name, level.severity) for r in rules for level in r.levels}
        silences = {r.name for r in [*self.series_absences, *self.kpi_absences]}
        alerts = [
            (name, severity, state)
            for name, states in series.alerts.items()
            for severity, state in states.items()
            if (name, severity) not in declared
        ]
        alerts += [
            (name, "warning", absence.alert)
            for name, absence in series.absences.items()
            if name not in silences
        ]
        for name, severity, _ in alerts:
            series.absences.pop(name, None)
            series.alerts.get(name, {}).pop(severity, None)
        return _ended(self.kpi.name, series, alerts)

    def farewell(self, series: Series) -> list[Transition]:
        """End every alert of a series that is forgotten."""
        return _ended(
            self.kpi.name,
            series,
            [(n, s, a) for n, states in series.alerts.items() for s, a in states.items()]
            + [
                (rule.name, rule.severity, series.absences[rule.name].alert)
                for rule in self.series_absences
                if rule.name in series.absences
            ],
        )

    def phases(self, series: Series) -> dict[tuple[str, str], AlertPhase]:
        """The phase of every alert that watches a series, also of those never judged."""
        found: dict[tuple[str, str], AlertPhase] = {}
        for rule in [*self.closed_rules, *self.current_rules]:
            states = series.alerts.get(rule.name, {})
            for level in rule.levels:
                state = states.get(level.severity)
                found[rule.name, level.severity] = state.phase if state else AlertPhase.INACTIVE
        silences = self.series_absences if series.dimensions is not None else self.kpi_absences
        for silence in silences:
            known = series.absences.get(silence.name)
            phase = known.alert.phase if known else AlertPhase.INACTIVE
            found[silence.name, silence.severity] = phase
        return found

    def _status(self, series: Series, window: WindowValue) -> TargetStatus | None:
        target = self.target(window.dimensions, window.start_ms)
        if target is None:
            series.status = None
            return None
        state, attainment = assess(target, window.value if window.maintenance is None else None)
        previous = series.status.state if series.status else None
        series.status = TargetStatus(window, TargetState(state), previous, attainment, target)
        return series.status

    def _rows(
        self, rules: Sequence[ThresholdRule], windows: Sequence[WindowValue]
    ) -> list[tuple[ThresholdRule, list[core_rules.Row]]]:
        """Every rule with its conditions, a row per window."""
        if not rules or not windows:
            return []
        table = pl.DataFrame(
            {
                "value": pl.Series([w.value for w in windows], dtype=pl.Float64),
                "events": pl.Series([w.events for w in windows], dtype=pl.Int64),
                "target": pl.Series([self._bound(w) for w in windows], dtype=pl.Float64),
            }
        )
        out = []
        for rule in rules:
            levels = core_rules.conditions(rule, table)
            rows = [
                tuple((when[i], clear[i]) for when, clear in levels) for i in range(len(windows))
            ]
            out.append((rule, rows))
        return out  # type: ignore[return-value]

    def _bound(self, window: WindowValue) -> float | None:
        target = self.target(window.dimensions, window.start_ms)
        if target is None:
            return None
        return target.at_least if target.at_least is not None else target.at_most


def _ended(
    kpi: str, series: Series, alerts: Iterable[tuple[str, str, AlertState]]
) -> list[Transition]:
    """The transitions that end alerts whose rule or series is no more."""
    ended = [
        core_rules.removed(
            name, cast(Severity, severity), kpi, series.dimensions or (), state, series.closed_ms
        )
        for name, severity, state in alerts
    ]
    return [transition for transition in ended if transition is not None]


def _step(
    rule: ThresholdRule, series: Series, window: WindowValue, row: core_rules.Row, at_ms: int
) -> tuple[Transition, ...]:
    known = series.alerts.get(rule.name, {})
    states = tuple(known.get(level.severity, alerts.INACTIVE) for level in rule.levels)
    after, transitions = core_rules.step_threshold(rule, states, window, row, at_ms)
    if after != states:
        series.alerts[rule.name] = {
            level.severity: state for level, state in zip(rule.levels, after, strict=True)
        }
    return transitions
