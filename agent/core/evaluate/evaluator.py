"""Evaluates one KPI: turns its closed windows into target states and alert transitions.

One `Evaluator` per KPI, composed of `values`, `targets`, `closed_rules`, `current_values` and
`absences`. Windows are evaluated in the order of their ends. If history functions of a rule depend
on earlier alerts, all windows with one end are evaluated before the next. Absence rules are
evaluated on events, not on windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from agent.core.evaluate.absence import Absences
from agent.core.evaluate.current_values import CurrentValues
from agent.core.evaluate.maintenance import maintenance_calendar
from agent.core.evaluate.targets import Benchmark, Targets, assess, benchmarks_of, unknown_benchmark
from agent.core.evaluate.thresholds import Inputs, OnEvaluation, Thresholds
from agent.core.evaluate.transitions import end_alerts
from agent.core.evaluate.values import ValueExpression
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import (
    AlertPhase,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import AbsenceRule, Rule, ThresholdRule
from agent.core.model.window_history import INCIDENT, MAINTENANCE
from agent.core.state.archive import Archive
from agent.core.state.series import Series

Evaluated = tuple[WindowValue, TargetStatus | None, list[Transition]]
"""A closed window, its target status, and the transitions of its alerts."""


class Evaluator:
    """The evaluation of one KPI: values, targets and rules."""

    def __init__(
        self,
        plan: Plan,
        kpi: Kpi,
        on_evaluation: OnEvaluation | None = None,
        history_only: bool = False,
    ) -> None:
        """`on_evaluation` is called for every evaluation of a threshold rule, and for evaluations
        of absence rules that change an alert. `history_only`, for a backfill: only build the
        history that later windows need, without alerts and benchmarks."""
        self.kpi = kpi
        self.maintenance = maintenance_calendar(plan, kpi)
        self.benchmarks = () if history_only else benchmarks_of(kpi)
        self.targets = Targets(kpi)
        self.values = ValueExpression(plan, kpi)
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
        self.absences = Absences(kpi, absences, self.maintenance, on_evaluation)
        self.inputs = Inputs(kpi, self.targets, self.closed_rules, self.current_rules, self.archive)
        self.current_values = CurrentValues(kpi, self.maintenance, self.current_rules, self.inputs)
        self._rules = {rule.name: rule for rule in rules}

    # --- closed windows --------------------------------------------------------------------

    def close_windows(
        self, closed: Sequence[tuple[Series, WindowValue]], among: Iterable[Series] = ()
    ) -> list[Evaluated]:
        """Evaluate closed windows (`evaluate_closed`). If the KPI has benchmarks, keep the windows
        in their series instead, until the benchmarks have closed the same windows
        (`agent.core.merge.benchmark_targets`)."""
        if not self.benchmarks:
            return self.evaluate_closed(closed, among)
        for series, window in closed:
            series.await_benchmarks(window)
        return []

    def evaluate_closed(
        self,
        closed: Sequence[tuple[Series, WindowValue]],
        among: Iterable[Series] = (),
        benchmark: Benchmark = unknown_benchmark,
    ) -> list[Evaluated]:
        """Evaluate closed windows, per series in the order of their ends, and change the series.

        A window in maintenance changes no alert. `among`: all series of the KPI, for comparisons
        with peers; some of them may have closed these windows before a restart. `benchmark`: looks
        up the values of benchmarks.
        """
        out: list[Evaluated] = []
        if not self.closed_rules and self.archive is None:  # most KPIs have no rule
            for series, window in closed:
                target = self.targets.for_window(window, benchmark)
                out.append((window, _assess(series, window, target), []))
                self._remember(series, window)
            return out
        for group in self._groups(closed):
            peers = self.inputs.peers(group, among)
            statuses, inputs = [], []
            for series, window in group:
                target = self.targets.for_window(window, benchmark)
                statuses.append(_assess(series, window, target))
                closed_input = self.inputs.closed(series, window, target)
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
        """The windows to evaluate together, by ascending end: all, or those with one end if a rule
        depends on earlier alerts."""
        ordered = sorted(closed, key=lambda item: item[1].end_ms)
        if not self.closed_rules.depends_on_alerts:
            return [ordered]
        return [list(group) for _, group in groupby(ordered, lambda item: item[1].end_ms)]

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

    # --- alerts ----------------------------------------------------------------------------

    def rules_of(self, dimensions: Dimensions | None) -> tuple[Rule, ...]:
        """The rules of a series, with its overrides; None: of the KPI as a whole."""
        absences = self.absences.rules_of(dimensions)
        if dimensions is None:
            return absences
        return (
            *self.closed_rules.rules_of(dimensions),
            *self.current_rules.rules_of(dimensions),
            *absences,
        )

    def drop_undeclared(self, series: Series) -> list[Transition]:
        """Resolve the alerts of rules and levels that are no longer declared."""
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
        return end_alerts(self.kpi.name, series.dimensions, series.closed_ms, gone)

    def close_alerts(self, series: Series) -> list[Transition]:
        """Resolve every alert of a series that has expired."""
        if self.archive is not None:
            self.archive.forget(series)
        return end_alerts(
            self.kpi.name,
            series.dimensions,
            series.closed_ms,
            [(n, s, a) for n, states in series.alerts.items() for s, a in states.items()],
        )

    def phases(self, series: Series) -> dict[tuple[str, str], AlertPhase]:
        """The phase of every alert of a series, including alerts that were never evaluated."""
        phases: dict[tuple[str, str], AlertPhase] = {}
        if not self._rules:
            return phases
        for rule in self.rules_of(series.dimensions):
            states = series.alerts.get(rule.name, {})
            for level in rule.levels:
                state = states.get(level.severity)
                phases[rule.name, level.severity] = state.phase if state else AlertPhase.INACTIVE
        for name, severity in phases:
            if self._rules[name].depends_on:
                reported = series.reported.get(name, {}).get(severity)
                phases[name, severity] = reported.state if reported else AlertPhase.INACTIVE
        return phases


def _fires(series: Series, rules: Thresholds) -> bool:
    """Whether an alert of these rules fires over a series."""
    return any(
        state.phase is AlertPhase.FIRING
        for rule in rules.rules_of(series.dimensions or ())
        for state in series.alerts.get(rule.name, {}).values()
    )


def _assess(series: Series, window: WindowValue, target: Target | None) -> TargetStatus | None:
    """The target status of a closed window, which is also set in the series."""
    if target is None:
        series.assess(None)
        return None
    state, attainment = assess(target, window.value if window.maintenance is None else None)
    previous = series.status.state if series.status else None
    status = TargetStatus(window, TargetState(state), previous, attainment, target)
    series.assess(status)
    return status
