"""Values into judgements: what a KPI's windows say of its target and of the rules that watch it.

One `Evaluator` per KPI. Expressions run over all windows of a step at once (polars); targets and
alerts then go through the windows one by one, in the order of their ends. Where rules look back or
aside, the windows of one end are judged before the next: what an alert did is part of the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import lru_cache, partial
from itertools import groupby

import polars as pl

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate import transitions as core_rules
from agent.core.evaluate.maintenance import maintenance_calendar
from agent.core.evaluate.targets import assess, benchmarks_of, in_force, overrides_of, resolved
from agent.core.evaluate.thresholds import (
    MOST_KNOWN,
    Evaluation,
    EvaluationInput,
    OnEvaluation,
    Peers,
    Thresholds,
)
from agent.core.evaluate.transitions import Running
from agent.core.model.plan import (
    AbsenceLevel,
    AbsenceRule,
    Dimensions,
    Kpi,
    Plan,
    Rule,
    Target,
    ThresholdRule,
    as_for,
)
from agent.core.model.results import (
    AlertPhase,
    Number,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
    number,
)
from agent.core.model.window_history import INCIDENT, MAINTENANCE
from agent.core.state import alert_state as alerts
from agent.core.state.archive import Archive
from agent.core.state.series import Series, State

Pair = tuple[State, State | None]
"""A window's state and, where retention asks for it, that of the window before."""


_GROUP = "_group"  # no KPI's name begins so


def _numbers(values: pl.Series) -> list[Number]:
    """Values that leave: never NaN, never infinite, whole numbers as they are."""
    if values.dtype.is_float():
        return values.set(~values.is_finite(), None).to_list()
    return [number(value) for value in values.to_list()]


def _column(values: Sequence[Number], whole: bool) -> tuple[Sequence[Number], type[pl.DataType]]:
    """Values of an input and the dtype of their column."""
    if whole and all(value is None or value == int(value) for value in values):
        return [None if value is None else int(value) for value in values], pl.Int128
    return [None if value is None else float(value) for value in values], pl.Float64


class Evaluator:
    """What one KPI's states are worth, and what its windows set off."""

    def __init__(self, plan: Plan, kpi: Kpi) -> None:
        self.kpi = kpi
        rules = plan.rules_of(kpi.name)
        thresholds = [r for r in rules if isinstance(r, ThresholdRule)]
        absences = [r for r in rules if isinstance(r, AbsenceRule)]
        self.closed_rules = Thresholds(kpi, [r for r in thresholds if r.on == "closed"])
        self.current_rules = Thresholds(kpi, [r for r in thresholds if r.on == "current"])
        needs_ms = max(self.closed_rules.needs_ms, self.current_rules.needs_ms)
        self.archive = Archive(kpi, needs_ms) if needs_ms else None
        self.series_absences = [r for r in absences if r.per == "series"]
        self.kpi_absences = [r for r in absences if r.per == "kpi"]
        self._names = {r.name: r for r in rules}
        self._absences = lru_cache(MOST_KNOWN)(self._absences_of)
        self._whole_inputs = {name for name in kpi.inputs if plan.kpis[name].whole}
        self._aggregator = Aggregator(kpi)
        ones = (i for i in range(len(kpi.partials)) if kpi.value.meta.eq(pl.col(f"a{i}")))
        self._one = next(ones, None)  # the aggregate that the value is, if it is one as it stands
        self.maintenance = maintenance_calendar(plan, kpi)
        self._overrides = lru_cache(MOST_KNOWN)(partial(overrides_of, kpi))
        self.on_evaluation: OnEvaluation | None = None
        self.benchmarks = benchmarks_of(kpi)
        self.benchmark: Callable[[str, WindowValue], float | None] = lambda name, window: None

    def only_history(self) -> None:
        """Judge only what the judgement of later windows looks back on: nobody is told of alerts,
        and what a window was held against then is not known."""
        self.current_rules = Thresholds(self.kpi, [])
        self.series_absences = []
        self.benchmarks = ()

    def set_on_evaluation(self, witness: OnEvaluation | None) -> None:
        """Tell somebody of every judgement; of silence, of those that change something."""
        self.on_evaluation = witness
        self.closed_rules.on_evaluation = self.current_rules.on_evaluation = witness

    def values(self, pairs: Sequence[Pair]) -> list[Number]:
        """The KPI's value of each state; None where it has none. Never NaN, never infinite."""
        if not pairs:
            return []
        rows = [self._aggregator.finals(state, previous) for state, previous in pairs]
        if self._one is not None:  # as most are; asking polars takes as long as closing 15 windows
            return [number(row[self._one]) for row in rows]
        columns = [
            pl.Series(f"a{i}", column, dtype, strict=False)
            for i, (column, dtype) in enumerate(
                zip(zip(*rows, strict=True), self._aggregator.final_dtypes, strict=True)
            )
        ]
        return self._evaluated(pl.DataFrame(columns))

    def derived_values(self, rows: Sequence[Sequence[Number]]) -> list[Number]:
        """A derived KPI's value of each row of input values, in the order of `Kpi.inputs`."""
        return self._evaluated(pl.DataFrame(self._inputs(rows))) if rows else []

    def rolled_up_values(self, groups: Sequence[Sequence[Sequence[Number]]]) -> list[Number]:
        """A rolled-up KPI's value of each group of rows of input values."""
        numbers = [i for i, group in enumerate(groups) for _ in group]
        columns = self._inputs([row for group in groups for row in group])
        table = pl.DataFrame([*columns, pl.Series(_GROUP, numbers, pl.Int64)])
        value = self.kpi.value.alias("value")
        found = table.group_by(_GROUP, maintain_order=True).agg(value)
        values = dict(zip(found[_GROUP].to_list(), _numbers(found["value"]), strict=True))
        if len(values) < len(groups):
            of_none = _numbers(table.clear().select(value)["value"])[0]
            return [values.get(i, of_none) for i in range(len(groups))]
        return [values[i] for i in range(len(groups))]

    def _inputs(self, rows: Sequence[Sequence[Number]]) -> list[pl.Series]:
        """The inputs' values as columns."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self.kpi.inputs)
        return [
            pl.Series(name, *_column(values, name in self._whole_inputs))
            for name, values in zip(self.kpi.inputs, columns, strict=True)
        ]

    def _evaluated(self, table: pl.DataFrame) -> list[Number]:
        found = _numbers(table.select(value=self.kpi.value)["value"])
        # An expression without columns (a constant) gives one row.
        return found if len(found) == table.height else found * table.height

    def target(self, dimensions: Dimensions, start_ms: int) -> Target | None:
        """The target that applies to the window of a series that starts at an instant (ms)."""
        if not self.kpi.overrides:
            return self.kpi.target
        return in_force(self.kpi, self._overrides(dimensions), start_ms)

    def close_windows(
        self, closed: Sequence[tuple[Series, WindowValue]], among: Iterable[Series] = ()
    ) -> list[tuple[WindowValue, TargetStatus | None, list[Transition]]]:
        """Evaluate closed windows (`evaluate_closed`), or keep them in their series until the KPIs
        that their targets name have closed the same ones (`agent.core.merge.benchmark_targets`)."""
        if not self.benchmarks:
            return self.evaluate_closed(closed, among)
        for series, window in closed:
            series.unjudged[window.end_ms] = window
        return []

    def evaluate_closed(
        self, closed: Sequence[tuple[Series, WindowValue]], among: Iterable[Series] = ()
    ) -> list[tuple[WindowValue, TargetStatus | None, list[Transition]]]:
        """Judge closed windows, per series in the order of their ends; the series are changed.

        No rule is judged on a window in maintenance: its alerts stay as they are. `among`: all
        series of the KPI. After a restart, some may have closed these windows before.
        """
        out: list[tuple[WindowValue, TargetStatus | None, list[Transition]]] = []
        if not self.closed_rules and self.archive is None:  # most KPIs have no rule
            for series, window in closed:
                out.append((window, self._status(series, window), []))
                self._remember(series, window)
            return out
        for group in self._groups(closed):
            peers = self.peers(group, among)
            statuses, calm = [], []
            for series, window in group:
                statuses.append(self._status(series, window))
                one = self._closed(series, window)
                if window.maintenance is None:
                    calm.append((one, self.closed_rules.ask(one, peers)))
            found = iter(self.closed_rules.evaluate(calm))
            for (series, window), status in zip(group, statuses, strict=True):
                out.append((window, status, next(found) if window.maintenance is None else []))
                self._remember(series, window)
        return out

    def _groups(
        self, closed: Sequence[tuple[Series, WindowValue]]
    ) -> Iterable[Sequence[tuple[Series, WindowValue]]]:
        """The windows that are judged together, by rising ends: all of them, or those of one end
        where rules ask what alerts did before."""
        ordered = sorted(closed, key=lambda item: item[1].end_ms)
        if not self.closed_rules.heeds_alerts:
            return [ordered]
        return [list(group) for _, group in groupby(ordered, lambda item: item[1].end_ms)]

    def peers(self, group: Sequence[tuple[Series, WindowValue]], among: Iterable[Series]) -> Peers:
        """The windows of one end, or of several, of all series."""
        calm = [window for _, window in group if window.maintenance is None]
        if not self.closed_rules.looks_aside:
            return Peers(())
        ends = {window.end_ms for _, window in group}
        here = {(window.end_ms, window.dimensions) for _, window in group}
        for series in among:
            dimensions = series.dimensions or ()
            for end, value, events, flags in series.history:
                if end in ends and (end, dimensions) not in here and not flags & MAINTENANCE:
                    start = self.kpi.window.start_of(end)
                    calm.append(WindowValue(self.kpi.name, dimensions, start, end, value, events))
        return Peers(calm)

    def _closed(self, series: Series, window: WindowValue) -> EvaluationInput:
        past = None
        if self.archive is not None:
            past = self.archive.past(series)
            past.append((window.end_ms, window.value, window.events, 0))
        target = self._target_of(window)
        return EvaluationInput(series, window, window.end_ms, target, past, series.memory)

    def _remember(self, series: Series, window: WindowValue) -> None:
        heeded = self.closed_rules.heeds_alerts
        flags = INCIDENT if heeded and _fires(series, self.closed_rules) else 0
        flags |= 0 if window.maintenance is None else MAINTENANCE
        if self.archive is None:
            series.remember(window, flags)
            return
        self.archive.past(series).flag(window.end_ms, flags)
        self.archive.remember(series, window, flags)
        self.archive.trim(series, window.end_ms)

    def evaluate_current(
        self, judged: Sequence[tuple[Series, WindowValue, int]]
    ) -> list[tuple[int, WindowValue, list[Transition]]]:
        """Judge windows as they stand at an instant (ms), for the rules on current values; not
        those that were in maintenance before it."""
        out = []
        for at_ms, items in groupby(judged, lambda item: item[2]):
            group = [
                (
                    series,
                    window,
                    self.maintenance.covering(window.dimensions, window.start_ms, at_ms),
                )
                for series, window, _ in items
            ]
            outside = [(series, window) for series, window, name in group if name is None]
            peers = Peers(window for _, window in outside)
            inputs = [self.current_input(series, window, at_ms) for series, window in outside]
            calm = [(one, self.current_rules.ask(one, peers)) for one in inputs]
            found = iter(self.current_rules.evaluate(calm))
            for _, window, name in group:
                out.append((at_ms, window, next(found) if name is None else []))
        return out

    def last_input(self, series: Series) -> EvaluationInput | None:
        """The last window of a series that closed, as the rules saw it; nothing is changed."""
        window = series.closed
        if window is None:
            return None
        past = self.archive.past(series) if self.archive is not None else None
        target = series.status.target if series.status is not None else None
        return EvaluationInput(series, window, window.end_ms, target, past, deepcopy(series.memory))

    def current_input(self, series: Series, window: WindowValue, at_ms: int) -> EvaluationInput:
        """A window as it stands at an instant (ms), as the rules on current values see it."""
        past = None
        if self.current_rules.needs_ms and self.archive is not None:
            # Windows that end later may have closed in the same step.
            past = self.archive.past(series).upto(at_ms)
            past.append((window.end_ms, window.value, window.events, 0))
        target = self.target(window.dimensions, window.start_ms)
        memory = deepcopy(series.memory) if self.current_rules.asks else {}
        return EvaluationInput(series, window, at_ms, target, past, memory)

    def evaluate_absence(
        self,
        series: Series,
        last_event_ms: int,
        frontier_ms: int,
        first_event_ms: int | None = None,
    ) -> list[Transition]:
        """Judge how long a series, or the KPI as a whole, was silent; the series is changed.

        Time in maintenance is no silence.
        """
        out: list[Transition] = []
        for rule in self._absences(series.dimensions):
            for level in rule.levels:
                state = series.alerts.get(rule.name, {}).get(level.severity, alerts.INACTIVE)
                after, transitions = core_rules.step_absence(
                    rule,
                    level,
                    self._running(rule, level, series),
                    state,
                    series.last_event_ms,
                    last_event_ms,
                    frontier_ms,
                    first_event_ms,
                )
                if after != state:
                    series.alerts.setdefault(rule.name, {})[level.severity] = after
                    if self.on_evaluation is not None:
                        self.on_evaluation(
                            Evaluation(
                                rule, level.severity, None, frontier_ms, None, None, state, after
                            )
                        )
                out += transitions
        return out

    def _running(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> Running:
        old_enough_ms = series.first_ms + rule.min_history_ms if rule.min_history_ms else 0
        # Of a past that was read later, silence is counted from where the live flow took over.
        missed_ms = series.cut_ms + level.no_data_for_ms if series.cut_ms else 0
        not_before_ms = max(old_enough_ms, missed_ms) or None
        return Running(self.maintenance, series.dimensions, level.no_data_for_ms, not_before_ms)

    def absence_fires_ms(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> int:
        """When a level of an absence rule fires over a series, if nothing comes."""
        running = self._running(rule, level, series)
        last_ms = series.last_event_ms
        due_ms = running.due_ms(last_ms, last_ms + level.no_data_for_ms)
        return max(due_ms, running.not_before_ms or due_ms)

    def absence_ends_ms(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> int | None:
        """When a level of an absence rule ends over a series, if data goes on to come; None: it
        is not ending."""
        alert = series.alerts.get(rule.name, {}).get(level.severity, alerts.INACTIVE)
        ends_ms = alert.ends_ms(rule.keep_firing_for_ms, rule.flapping)
        if ends_ms is None:
            return None
        running = self._running(rule, level, series)
        return alert.ends_ms(running.kept_ms(alert, rule, ends_ms), rule.flapping)

    def _absences_of(self, dimensions: Dimensions | None) -> tuple[AbsenceRule, ...]:
        """The absence rules as they are for one series; None: of the KPI as a whole."""
        if dimensions is None:
            return tuple(self.kpi_absences)
        found = (as_for(rule, self.kpi.by, dimensions) for rule in self.series_absences)
        return tuple(rule for rule in found if rule is not None)

    def rules_of(self, dimensions: Dimensions | None) -> tuple[Rule, ...]:
        """All rules as they are for one series; None: of the KPI as a whole."""
        absences = self._absences(dimensions) if self.series_absences or dimensions is None else ()
        if dimensions is None:
            return absences
        return (
            *self.closed_rules.of(dimensions),
            *self.current_rules.of(dimensions),
            *absences,
        )

    def drop_undeclared(self, series: Series) -> list[Transition]:
        """End the alerts of rules and levels that are declared no more."""
        rules = self.rules_of(series.dimensions)
        declared = {(r.name, level.severity) for r in rules for level in r.levels}
        gone = [
            (name, severity, state)
            for name, states in series.alerts.items()
            for severity, state in states.items()
            if (name, severity) not in declared
        ]
        for name, severity, _ in gone:
            series.alerts[name].pop(severity)
        return core_rules.ended(self.kpi.name, series.dimensions, series.closed_ms, gone)

    def close_alerts(self, series: Series) -> list[Transition]:
        """End every alert of a series that is forgotten."""
        if self.archive is not None:
            self.archive.forget(series)
        return core_rules.ended(
            self.kpi.name,
            series.dimensions,
            series.closed_ms,
            [(n, s, a) for n, states in series.alerts.items() for s, a in states.items()],
        )

    def phases(self, series: Series) -> dict[tuple[str, str], AlertPhase]:
        """The phase of every alert that watches a series, also of those never judged."""
        found: dict[tuple[str, str], AlertPhase] = {}
        if not self._names:
            return found
        for rule in self.rules_of(series.dimensions):
            states = series.alerts.get(rule.name, {})
            for level in rule.levels:
                state = states.get(level.severity)
                found[rule.name, level.severity] = state.phase if state else AlertPhase.INACTIVE
        for name, severity in found:
            if self._names[name].depends_on:
                shown = series.shown.get(name, {}).get(severity)
                found[name, severity] = shown.state if shown else AlertPhase.INACTIVE
        return found

    def _target_of(self, window: WindowValue) -> Target | None:
        """The target of a closed window, with what its benchmarks say."""
        target = self.target(window.dimensions, window.start_ms)
        if target is None or not target.kpis:
            return target
        return resolved(target, {name: self.benchmark(name, window) for _, name in target.kpis})

    def _status(self, series: Series, window: WindowValue) -> TargetStatus | None:
        target = self._target_of(window)
        if target is None:
            series.status = None
            return None
        state, attainment = assess(target, window.value if window.maintenance is None else None)
        previous = series.status.state if series.status else None
        series.status = TargetStatus(window, TargetState(state), previous, attainment, target)
        return series.status


def _fires(series: Series, rules: Thresholds) -> bool:
    """Whether an alert of these rules fires over a series."""
    return any(
        state.phase is AlertPhase.FIRING
        for rule in rules.of(series.dimensions or ())
        for state in series.alerts.get(rule.name, {}).values()
    )
