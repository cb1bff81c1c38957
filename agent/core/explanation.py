"""Explains a rule for one series: its alerts, and everything that its last evaluation read.

Explanations only read the current state: no rule is evaluated, and nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from agent.core.evaluate.rule_graph import RuleGraph
from agent.core.evaluate.targets import last_started, overrides_of
from agent.core.evaluate.thresholds import EvaluationInput, Peers, Thresholds
from agent.core.evaluate.transitions import LevelConditions
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.derived_kpi import DerivedKpi, KpiState
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Fact, WindowValue
from agent.core.model.rules import (
    AbsenceRule,
    Clause,
    CompositeRule,
    Rule,
    Severity,
    Term,
    ThresholdRule,
    override_for,
    variant_for,
)
from agent.core.state.alert_state import AlertState
from agent.core.state.series import Series


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """A part of a condition: its SQL, the same with values in place of names (`shown`), and whether
    it holds (None: unknown)."""

    sql: str
    shown: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """A condition, whether it holds, and its clauses; `sql` None: it is "not `when`"."""

    sql: str | None
    holds: bool | None
    clauses: tuple[ClauseResult, ...]


@dataclass(frozen=True, slots=True)
class AlertExplanation:
    """An alert of one severity. `since_ms`: the start of the episode, if it is pending or firing.
    `fires_ms`: when it fires if `when` keeps holding; `ends_ms`: when it resolves if `clear` keeps
    holding. `when` None: an absence rule, which fires after `no_data_for_ms` without an event."""

    severity: Severity
    phase: AlertPhase
    since_ms: int | None
    when: ConditionResult | None = None
    clear: ConditionResult | None = None
    fires_ms: int | None = None
    ends_ms: int | None = None
    no_data_for_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule over one series.

    `rule` is the rule with the override for this series, whose dimensions are `rule_match`;
    `target_match` likewise. `target_since` is the date from which that target applies. `columns`
    are the values that conditions read (`value`, `events`, `target`), `facts` those of their
    features. `not_evaluated` says why the window was not evaluated. `inputs` are the input values
    of a KPI over KPIs. `last_event_ms`: the end of the last slice with an event. `inhibited_by`:
    those of the rule's dependencies that fire.
    """

    kpi: Kpi
    rule: Rule
    dimensions: Dimensions | None
    at_ms: int
    window: WindowValue | None
    alerts: tuple[AlertExplanation, ...]
    target: Target | None = None
    target_match: Mapping[str, object] | None = None
    target_since: str | None = None
    rule_match: Mapping[str, object] | None = None
    columns: tuple[tuple[str, float | None], ...] = ()
    facts: tuple[Fact, ...] = ()
    not_evaluated: str | None = None
    inputs: tuple[tuple[str, float | None], ...] = ()
    last_event_ms: int | None = None
    inhibited_by: tuple[str, ...] = ()


def explain(
    plan: Plan, states: Mapping[str, KpiState], rule_graph: RuleGraph, rule: Rule, series: Series
) -> Explanation | None:
    """Explain a rule for a series of its KPI; None if an override excludes the series.

    `states` and `rule_graph` are those of the state partition that has the series.
    """
    if isinstance(rule, CompositeRule):
        explained: Explanation | None = _composite(plan, rule_graph, rule, series)
    elif isinstance(rule, AbsenceRule):
        explained = _absence(states[rule.kpi], rule, series)
    else:
        explained = _threshold(states, rule, series)
    inhibited = rule_graph.inhibiting(rule, series.dimensions or ()) if rule.depends_on else ()
    return replace(explained, inhibited_by=inhibited) if explained and inhibited else explained


def _threshold(
    states: Mapping[str, KpiState], rule: ThresholdRule, series: Series
) -> Explanation | None:
    state = states[rule.kpi]
    evaluator = state.evaluator
    rules = evaluator.closed_rules if rule.on == "closed" else evaluator.current_rules
    dimensions = series.dimensions or ()
    own = next((r for r in rules.rules_of(dimensions) if r.name == rule.name), None)
    if own is None:
        return None
    match = _match(rule, state.kpi.by, dimensions)
    last = _last_input(state, rule, series)
    if last is None:
        alerts = tuple(_alert(own, level.severity, series) for level in own.levels)
        return Explanation(state.kpi, own, series.dimensions, series.closed_ms, None, alerts,
                         rule_match=match,
                         not_evaluated="no window has closed yet")  # fmt: skip
    table, row, facts = _preview(state, rules, own, last)
    override = last_started(overrides_of(state.kpi, dimensions), last.window.start_ms)
    return Explanation(
        kpi=state.kpi,
        rule=own,
        dimensions=series.dimensions,
        at_ms=last.at_ms,
        window=last.window,
        alerts=tuple(
            _alert(
                own,
                level.severity,
                series,
                ConditionResult(level.when_sql, when, _clauses(own, level.when_clauses, table)),
                ConditionResult(level.clear_sql, clear, _clauses(own, level.clear_clauses, table)),
            )
            for level, (when, clear) in zip(own.levels, row, strict=True)
        ),
        target=last.target,
        target_match=override.match if override else None,
        target_since=override.since if override else None,
        rule_match=match,
        columns=tuple(table.select("value", "events", "target").row(0, named=True).items()),
        facts=facts,
        not_evaluated=_not_evaluated(state.kpi, own, last),
        inputs=_inputs(states, state, series, last.window),
    )


def _match(rule: Rule, by: tuple[str, ...], dimensions: Dimensions) -> Mapping[str, object] | None:
    """The dimensions of the override that applies to a series; None: no override does."""
    number = override_for(rule, by, dimensions)
    return None if number is None else rule.overrides[number].match


def _last_input(state: KpiState, rule: ThresholdRule, series: Series) -> EvaluationInput | None:
    """The window that the rule evaluated last."""
    if rule.on == "closed" or isinstance(state, DerivedKpi):
        return state.evaluator.inputs.last(series)
    window = state.last_evaluated(series)
    if window is None:
        return None
    return state.evaluator.inputs.current(series, window, series.evaluated_ms)


def _preview(
    state: KpiState, rules: Thresholds, rule: ThresholdRule, last: EvaluationInput
) -> tuple[pl.DataFrame, LevelConditions, tuple[Fact, ...]]:
    """What the rule's conditions read, and whether they hold."""
    every = state.series.values()
    if rule.on == "closed" or isinstance(state, DerivedKpi):
        peers = state.evaluator.inputs.peers([(last.series, last.window)], every)
    else:
        windows = (state.last_evaluated(series) for series in every) if rules.compares_peers else ()
        peers = Peers(w for w in windows if w is not None and w.end_ms == last.window.end_ms)
    return rules.preview(rule, last, peers)


def _not_evaluated(kpi: Kpi, rule: ThresholdRule, last: EvaluationInput) -> str | None:
    """Why the window was not evaluated; None if it was."""
    window = last.window
    if window.hidden and rule.on_no_data == "keep":
        return f"the window is hidden: it is of fewer than {kpi.minimum_people} people"
    if window.maintenance is not None:
        return f"the window is in maintenance: {window.maintenance}"
    if window.end_ms - last.series.first_ms < rule.min_history_ms:
        return "the series is younger than the rule's min_history"
    if rule.on_no_data != "keep":
        return None
    if window.events < rule.min_events:
        return f"{window.events} events are fewer than the rule's min_events, {rule.min_events}"
    return "the window has no value" if window.value is None else None


def _inputs(
    states: Mapping[str, KpiState], state: KpiState, series: Series, window: WindowValue
) -> tuple[tuple[str, float | None], ...]:
    inputs: list[tuple[str, float | None]] = []
    for name in state.kpi.inputs:
        own = states[name].series.get(series.dimensions or ())
        values = {end: value for end, value, *_ in own.history} if own else {}
        inputs.append((name, values.get(window.end_ms)))
    return tuple(inputs)


# --- conditions and alerts ----------------------------------------------------------------------


def _clauses(
    rule: ThresholdRule, clauses: Iterable[Clause], table: pl.DataFrame
) -> tuple[ClauseResult, ...]:
    return tuple(
        ClauseResult(
            c.sql, _filled(rule, c.sql, table), table.select(c.holds.cast(pl.Boolean)).item()
        )
        for c in clauses
    )


def _filled(rule: ThresholdRule, sql: str, table: pl.DataFrame) -> str:
    """A clause with the values in place of the names."""
    values = table.row(0, named=True)
    for number, feature in enumerate(rule.features):
        sql = sql.replace(feature.text, _number(values[f"f{number}"]))
    return re.sub(
        r"\b(value|events|target)\b",
        lambda match: _number(values[match[0].lower()]),
        sql,
        flags=re.IGNORECASE,
    )


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.6g}"


def _alert(
    rule: ThresholdRule | CompositeRule,
    severity: Severity,
    series: Series,
    when: ConditionResult | None = None,
    clear: ConditionResult | None = None,
) -> AlertExplanation:
    state = series.alert(rule.name, severity)
    fires, ends = state.fires_ms(rule.for_ms), state.ends_ms(rule.keep_firing_for_ms, rule.flapping)
    return AlertExplanation(severity, state.phase, _since(state), when, clear, fires, ends)


def _since(state: AlertState) -> int | None:
    active = state.phase in (AlertPhase.PENDING, AlertPhase.FIRING)
    return state.episode_ms if active else None


def _composite(
    plan: Plan, rule_graph: RuleGraph, rule: CompositeRule, series: Series
) -> Explanation | None:
    """A composite rule: its clauses are the rules that it depends on."""
    dimensions = series.dimensions or ()
    own = variant_for(rule, rule.by, dimensions)
    if own is None:
        return None
    firing = rule_graph.firing(rule, dimensions)

    def condition(term: Term, sql: str | None) -> ConditionResult:
        clauses = tuple(
            ClauseResult(name, "fires" if fires else "does not fire", fires)
            for index, (name, fires) in enumerate(firing)
            if index in term.indices()
        )
        return ConditionResult(sql, term.holds([fires for _, fires in firing]), clauses)

    explained = []
    for level in own.levels:
        when = condition(level.when, level.when_sql)
        clear = None if level.clear is None else condition(level.clear, level.clear_sql)
        explained.append(_alert(own, level.severity, series, when, clear))
    return Explanation(
        plan.subject_of(rule), own, series.dimensions, series.evaluated_ms, None, tuple(explained),
        rule_match=_match(rule, rule.by, dimensions),
    )  # fmt: skip


def _absence(state: KpiState, rule: AbsenceRule, series: Series) -> Explanation | None:
    dimensions = series.dimensions or ()
    whole = series.dimensions is None
    own = rule if whole else variant_for(rule, state.kpi.by, dimensions)
    if own is None:
        return None
    explained = []
    for level in own.levels:
        alert = series.alert(rule.name, level.severity)
        fires = None
        if alert.phase is not AlertPhase.FIRING:
            fires = state.evaluator.absences.fires_ms(own, level, series)
        ends = state.evaluator.absences.ends_ms(own, level, series)
        explained.append(
            AlertExplanation(
                level.severity, alert.phase, _since(alert), fires_ms=fires, ends_ms=ends,
                no_data_for_ms=level.no_data_for_ms,
            )
        )  # fmt: skip
    frontier = state.frontier_ms if isinstance(state, BaseKpi) else None
    at_ms = frontier if frontier is not None else series.closed_ms
    return Explanation(
        state.kpi, own, series.dimensions, at_ms, series.closed, tuple(explained),
        rule_match=None if whole else _match(rule, state.kpi.by, dimensions),
        last_event_ms=series.last_event_ms,
    )  # fmt: skip
