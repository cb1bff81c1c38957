"""Evaluates one KPI: turns its closed windows into values, target states and alert transitions.

One `Evaluator` per KPI. Values of all windows of a step are computed at once (`values`); targets
(`targets`) and threshold rules (`thresholds`) then go through the windows in the order of their
ends. Where rules look back on alerts, the windows of one end are evaluated before the next: what an
alert did is part of the past. Absence rules (`absence`) go by events, not by windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import lru_cache, partial
from itertools import groupby

from agent.core.evaluate.absence import Absences
from agent.core.evaluate.current_values import CurrentSpan, evaluate_spans
from agent.core.evaluate.maintenance import maintenance_calendar
from agent.core.evaluate.targets import assess, benchmarks_of, in_force, overrides_of, resolved
from agent.core.evaluate.thresholds import (
    MAX_CACHED_SERIES,
    EvaluationInput,
    OnEvaluation,
    Peers,
    Thresholds,
)
from agent.core.evaluate.transitions import ended
from agent.core.evaluate.values import Pair, ValueExpression
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import (
    AlertPhase,
    Number,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import AbsenceLevel, AbsenceRule, Rule, ThresholdRule
from agent.core.model.window_history import INCIDENT, MAINTENANCE
from agent.core.state.archive import Archive
from agent.core.state.series import Series

__all__ = ["Evaluator", "Pair"]

Evaluated = tuple[WindowValue, TargetStatus | None, list[Transition]]
"""A closed window, how it stands against its target, and what it did to alerts."""


class Evaluator:
    """What the windows of one KPI are, and what they set off."""

    def __init__(
        self,
        plan: Plan,
        kpi: Kpi,
        on_evaluation: OnEvaluation | None = None,
        history_only: bool = False,
    ) -> None:
        """`on_evaluation` is called with every evaluation of a threshold rule, and with those of
        absence rules that change an alert. `history_only`: evaluate only what later windows look
        back on, for a backfill: nobody is alerted of it, and the values of benchmarks are not
        known."""
        self.kpi = kpi
        self.maintenance = maintenance_calendar(plan, kpi)
        self.benchmarks = () if history_only else benchmarks_of(kpi)
        self.benchmark: Callable[[str, WindowValue], float | None] = lambda name, window: None
        rules = plan.rules_of(kpi.name)
        thresholds = [rule for rule in rules if isinstance(rule, ThresholdRule)]
        closed = [rule for rule in thresholds if rule.on == "closed"]
        current = [rule for rule in thresholds if rule.on == "current"]
        absences = [rule for rule in rules if isinstance(rule, AbsenceRule)]
        self.closed_rules = Thresholds(kpi, closed, on_evaluation)
        self.current_rules = Thresholds(kpi, current, on_evaluation)
        needs_ms = max(self.closed_rules.needs_ms, self.current_rules.needs_ms)
        self.archive = Archive(kpi, needs_ms) if needs_ms else None
        if history_only:
            self.current_rules, absences = Thresholds(kpi, ()), []
        self._absences = Absences(kpi, absences, self.maintenance, on_evaluation)
        self._values = ValueExpression(plan, kpi)
        self._rules = {rule.name: rule for rule in rules}
        self._overrides = lru_cache(MAX_CACHED_SERIES)(partial(overrides_of, kpi))

    # --- values and targets ----------------------------------------------------------------

    def values(self, pairs: Sequence[Pair]) -> list[Number]:
        """The KPI's value of each state, finite or None."""
        return self._values.of_states(pairs)

    def derived_values(self, rows: Sequence[Sequence[Number]]) -> list[Number]:
        """A derived KPI's value of each row of input values, in the order of `Kpi.inputs`."""
        return self._values.of_inputs(rows)

    def rolled_up_values(self, groups: Sequence[Sequence[Sequence[Number]]]) -> list[Number]:
        """A rolled-up KPI's value of each group of rows of input values."""
        return self._values.of_groups(groups)

    def target(self, dimensions: Dimensions, start_ms: int) -> Target | None:
        """The target that applies to the window of a series that starts at an instant (ms)."""
        if not self.kpi.overrides:
            return self.kpi.target
        return in_force(self.kpi, self._overrides(dimensions), start_ms)

    # --- threshold rules -------------------------------------------------------------------

    def close_windows(
        self, closed: Sequence[tuple[Series, WindowValue]], among: Iterable[Series] = ()
    ) -> list[Evaluated]:
        """Evaluate closed windows (`evaluate_closed`), or keep them in their series until the KPIs
        that their targets name have closed the same ones (`agent.core.merge.benchmark_targets`)."""
        if not self.benchmarks:
            return self.evaluate_closed(closed, among)
        for series, window in closed:
            series.await_benchmarks(window)
        return []

    def evaluate_closed(
        self, closed: Sequence[tuple[Series, WindowValue]], among: Iterable[Series] = ()
    ) -> list[Evaluated]:
        """Evaluate closed windows, per series in the order of their ends; the series are changed.

        A window in maintenance changes no alert. `among`: all series of the KPI, of which some may
        have closed these windows before a restart.
        """
        out: list[Evaluated] = []
        if not self.closed_rules and self.archive is None:  # most KPIs have no rule
            for series, window in closed:
                out.append((window, self._status(series, window), []))
                self._remember(series, window)
            return out
        for group in self._groups(closed):
            peers = self.peers(group, among)
            statuses, inputs = [], []
            for series, window in group:
                statuses.append(self._status(series, window))
                closed_input = self._closed_input(series, window)
                if window.maintenance is None:
                    features = self.closed_rules.compute_features(closed_input, peers)
                    inputs.append((closed_input, features))
            steps = iter(self.closed_rules.evaluate(inputs))
            for (series, window), status in zip(group, statuses, strict=True):
                out.append((window, status, next(steps) if window.maintenance is None else []))
                self._remember(series, window)
        return out

    def _groups(
        self, closed: Sequence[tuple[Series, WindowValue]]
    ) -> Iterable[Sequence[tuple[Series, WindowValue]]]:
        """The windows that are evaluated together, by rising ends: all of them, or those of one end
        where rules look back on alerts."""
        ordered = sorted(closed, key=lambda item: item[1].end_ms)
        if not self.closed_rules.depends_on_alerts:
            return [ordered]
        return [list(group) for _, group in groupby(ordered, lambda item: item[1].end_ms)]

    def peers(self, group: Sequence[tuple[Series, WindowValue]], among: Iterable[Series]) -> Peers:
        """The windows of one end, or of several, of all series."""
        outside = [window for _, window in group if window.maintenance is None]
        if not self.closed_rules.compares_peers:
            return Peers(())
        ends = {window.end_ms for _, window in group}
        here = {(window.end_ms, window.dimensions) for _, window in group}
        for series in among:
            dimensions = series.dimensions or ()
            for end, value, events, flags in series.history:
                if end in ends and (end, dimensions) not in here and not flags & MAINTENANCE:
                    start = self.kpi.window.start_of(end)
                    outside.append(
                        WindowValue(self.kpi.name, dimensions, start, end, value, events)
                    )
        return Peers(outside)

    def _closed_input(self, series: Series, window: WindowValue) -> EvaluationInput:
        past = None
        if self.archive is not None:
            past = self.archive.past(series)
            past.append((window.end_ms, window.value, window.events, 0))
        target = self._target_of(window)
        return EvaluationInput(series, window, window.end_ms, target, past, series.memory)

    def _remember(self, series: Series, window: WindowValue) -> None:
        looks_at_alerts = self.closed_rules.depends_on_alerts
        flags = INCIDENT if looks_at_alerts and _fires(series, self.closed_rules) else 0
        flags |= 0 if window.maintenance is None else MAINTENANCE
        if self.archive is None:
            series.remember(window, flags)
            return
        self.archive.past(series).flag(window.end_ms, flags)
        self.archive.remember(series, window, flags)
        self.archive.trim(series, window.end_ms)

    def evaluate_current(
        self, spans: Sequence[CurrentSpan]
    ) -> list[tuple[WindowValue, list[Transition]]]:
        """Evaluate the rules on current values over spans, in the order of their ends; the
        transitions in the order of their instants. Instants in maintenance are left out."""
        return [
            evaluated
            for _, group in groupby(spans, lambda span: span.last_ms)
            for evaluated in evaluate_spans(self, list(group))
        ]

    def last_input(self, series: Series) -> EvaluationInput | None:
        """The last window of a series that closed, as the rules saw it; nothing is changed."""
        window = series.closed
        if window is None:
            return None
        past = self.archive.past(series) if self.archive is not None else None
        target = series.status.target if series.status is not None else None
        return EvaluationInput(series, window, window.end_ms, target, past, deepcopy(series.memory))

    def current_input(
        self, series: Series, window: WindowValue, at_ms: int, step_ms: int | None = None
    ) -> EvaluationInput:
        """A window as it stands at an instant (ms), as the rules on current values see it; the
        evaluation is for the time `step_ms`, by default a slice."""
        past = None
        if self.current_rules.needs_ms and self.archive is not None:
            # Without the window itself, which may have closed meanwhile.
            past = self.archive.past(series).upto(at_ms - 1)
            past.append((window.end_ms, window.value, window.events, 0))
        target = self.target(window.dimensions, window.start_ms)
        memory = deepcopy(series.memory) if self.current_rules.has_features else {}
        return EvaluationInput(
            series, window, at_ms, target, past, memory, step_ms or self.kpi.slice_ms
        )

    # --- absence rules ---------------------------------------------------------------------

    @property
    def series_absences(self) -> tuple[AbsenceRule, ...]:
        """The absence rules that watch each series."""
        return self._absences.per_series

    @property
    def kpi_absences(self) -> tuple[AbsenceRule, ...]:
        """The absence rules that watch the KPI as a whole."""
        return self._absences.per_kpi

    def evaluate_absence(
        self,
        series: Series,
        last_event_ms: int,
        frontier_ms: int,
        first_event_ms: int | None = None,
    ) -> list[Transition]:
        """Evaluate the silence of a series, or of the KPI as a whole; the series is changed."""
        return self._absences.evaluate(series, last_event_ms, frontier_ms, first_event_ms)

    def absence_fires_ms(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> int:
        """When a level of an absence rule fires for a series, if no event comes."""
        return self._absences.fires_ms(rule, level, series)

    def absence_ends_ms(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> int | None:
        """When a level of an absence rule resolves for a series, if events go on to come; None: it
        is not about to."""
        return self._absences.ends_ms(rule, level, series)

    # --- alerts ----------------------------------------------------------------------------

    def rules_of(self, dimensions: Dimensions | None) -> tuple[Rule, ...]:
        """All rules as they are for one series; None: for the KPI as a whole."""
        absences = self._absences.rules_of(dimensions)
        if dimensions is None:
            return absences
        return (
            *self.closed_rules.of(dimensions),
            *self.current_rules.of(dimensions),
            *absences,
        )

    def drop_undeclared(self, series: Series) -> list[Transition]:
        """End the alerts of rules and levels that are no longer declared."""
        rules = self.rules_of(series.dimensions)
        declared = {(r.name, level.severity) for r in rules for level in r.levels}
        gone = [
            (name, severity, state)
            for name, states in series.alerts.items()
            for severity, state in states.items()
            if (name, severity) not in declared
        ]
        for name, severity, _ in gone:
            series.drop_alert(name, severity)
        return ended(self.kpi.name, series.dimensions, series.closed_ms, gone)

    def close_alerts(self, series: Series) -> list[Transition]:
        """End every alert of a series that has expired."""
        if self.archive is not None:
            self.archive.forget(series)
        return ended(
            self.kpi.name,
            series.dimensions,
            series.closed_ms,
            [(n, s, a) for n, states in series.alerts.items() for s, a in states.items()],
        )

    def phases(self, series: Series) -> dict[tuple[str, str], AlertPhase]:
        """The phase of every alert on a series, also of those never evaluated."""
        found: dict[tuple[str, str], AlertPhase] = {}
        if not self._rules:
            return found
        for rule in self.rules_of(series.dimensions):
            states = series.alerts.get(rule.name, {})
            for level in rule.levels:
                state = states.get(level.severity)
                found[rule.name, level.severity] = state.phase if state else AlertPhase.INACTIVE
        for name, severity in found:
            if self._rules[name].depends_on:
                shown = series.reported.get(name, {}).get(severity)
                found[name, severity] = shown.state if shown else AlertPhase.INACTIVE
        return found

    def _target_of(self, window: WindowValue) -> Target | None:
        """The target of a closed window, with the values of its benchmarks for bounds."""
        target = self.target(window.dimensions, window.start_ms)
        if target is None or not target.kpis:
            return target
        return resolved(target, {name: self.benchmark(name, window) for _, name in target.kpis})

    def _status(self, series: Series, window: WindowValue) -> TargetStatus | None:
        target = self._target_of(window)
        if target is None:
            series.assess(None)
            return None
        state, attainment = assess(target, window.value if window.maintenance is None else None)
        previous = series.status.state if series.status else None
        status = TargetStatus(window, TargetState(state), previous, attainment, target)
        series.assess(status)
        return status


def _fires(series: Series, rules: Thresholds) -> bool:
    """Whether an alert of these rules fires over a series."""
    return any(
        state.phase is AlertPhase.FIRING
        for rule in rules.of(series.dimensions or ())
        for state in series.alerts.get(rule.name, {}).values()
    )
