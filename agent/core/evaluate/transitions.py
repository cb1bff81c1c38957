"""Steps the alerts of a threshold rule, and ends the alerts of removed rules and series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import polars as pl

from agent.core.model.kpis import Dimensions
from agent.core.model.results import AlertPhase, Fact, Transition, WindowValue
from agent.core.model.rules import CompositeLevel, CompositeRule, Level, Severity, ThresholdRule
from agent.core.state import alert_state as alerts
from agent.core.state.alert_state import AlertState
from agent.core.state.series import Series

Condition = bool | None
LevelConditions = Sequence[tuple[Condition, Condition]]
"""`when` and `clear` of one window, a pair for each level of the rule."""


def condition_columns(rule: ThresholdRule) -> list[pl.Expr]:
    """`when` and `clear` of each level of a rule, over the table of `conditions`."""
    enough = pl.col("events") >= rule.min_events
    if rule.on_no_data != "keep":
        enough &= pl.col("value").is_not_null()
    alert = {"keep": None, "alert": True, "resolve": False}[rule.on_no_data]
    columns = []
    for i, level in enumerate(rule.levels):
        clear = ~level.when if level.clear is None else level.clear
        whens = pl.when(enough).then(level.when).otherwise(pl.lit(alert, pl.Boolean))
        clears = pl.when(enough).then(clear).otherwise(~pl.lit(alert, pl.Boolean))
        columns.append(whens.cast(pl.Boolean).alias(f"when{i}"))
        columns.append(clears.cast(pl.Boolean).alias(f"clear{i}"))
    return columns


def conditions(
    rule: ThresholdRule, table: pl.DataFrame, columns: Sequence[pl.Expr] | None = None
) -> list[tuple[list[Condition], list[Condition]]]:
    """`when` and `clear` of every row, a pair of lists for each level of the rule. `columns`: the
    rule's `condition_columns`, to reuse them.

    `table` has one row per window, with the columns `value` (Float64), `events` (Int64), `target`
    (Float64: the bound that applies to the series, null if there is none) and `f0…fn` (Float64: the
    results of the rule's features). Without a `clear`, it is "not `when`". For a row with fewer
    events than `min_events`, both are null; with `on_no_data: alert`, `when` is true for it and for
    a row without a value, with `on_no_data: resolve` `clear` is.
    """
    # Sequentially: for few rows, threads cost more than they save.
    results = table.select_seq(condition_columns(rule) if columns is None else columns)
    return [
        (results[f"when{i}"].to_list(), results[f"clear{i}"].to_list())
        for i in range(len(rule.levels))
    ]


def step_threshold(
    rule: ThresholdRule,
    states: tuple[AlertState, ...],
    window: WindowValue,
    row: LevelConditions,
    at_ms: int | None = None,
    facts: tuple[Fact, ...] = (),
    step_ms: int | None = None,
) -> tuple[tuple[AlertState, ...], tuple[Transition, ...]]:
    """Evaluate one window of a series. Returns the new states of the alerts, one per level, and the
    transitions.

    `states` is in the order of the rule's levels; empty: never evaluated. Windows of a series must
    come in the order of their ends. `at_ms` is the instant of the evaluation, by default the
    window's end; for an open window (`on: current`) it is how far event time has advanced.
    `step_ms` is the time that the evaluation covers, up to `at_ms`.
    """
    at_ms = window.end_ms if at_ms is None else at_ms
    before = states or (alerts.INACTIVE,) * len(rule.levels)
    after: list[AlertState] = []
    transitions: list[Transition] = []
    for level, known, (when, clear) in zip(rule.levels, before, row, strict=True):
        state, change = alerts.step(
            known, at_ms, when, clear, rule.for_ms, rule.keep_firing_for_ms, rule.flapping, step_ms
        )
        after.append(state)
        if change is not None:
            transitions.append(
                Transition(
                    rule=rule.name,
                    severity=level.severity,
                    kpi=window.kpi,
                    dimensions=window.dimensions,
                    at_ms=at_ms,
                    episode_ms=at_ms if state.episode_ms is None else state.episode_ms,
                    state=change.phase,
                    previous=change.previous,
                    value=window.value,
                    bound=bound_of(level, change.phase),
                    start_ms=window.start_ms,
                    end_ms=window.end_ms,
                    reason=change.reason,
                    facts=facts,
                    flaps=state.flapping(change.phase, rule.flapping),
                )
            )
    return tuple(after), tuple(transitions)


def bound_of(level: Level | CompositeLevel, phase: AlertPhase) -> str:
    """The condition, in SQL, by which an alert has come into a phase."""
    if phase is not AlertPhase.RESOLVED:
        return level.when_sql
    return level.clear_sql or f"not ({level.when_sql})"


def due_changes(rule: ThresholdRule | CompositeRule, series: Series) -> Iterator[int]:
    """When `for` or `keep_firing_for` ends for each alert of a series that waits for it."""
    for state in series.alerts.get(rule.name, {}).values():
        for change_ms in (
            state.fires_ms(rule.for_ms),
            state.ends_ms(rule.keep_firing_for_ms, rule.flapping),
        ):
            if change_ms is not None:
                yield change_ms


def end_alert(
    rule: str,
    severity: Severity,
    kpi: str,
    dimensions: Dimensions,
    state: AlertState,
    at_ms: int,
) -> Transition | None:
    """The transition that ends an alert whose rule, level or series no longer exists: firing
    resolves, pending becomes inactive. None: the alert is neither."""
    ends = {
        AlertPhase.FIRING: AlertPhase.RESOLVED,
        AlertPhase.PENDING: AlertPhase.INACTIVE,
    }
    if state.phase not in ends:
        return None
    episode_ms = at_ms if state.episode_ms is None else state.episode_ms
    return Transition(
        rule=rule,
        severity=severity,
        kpi=kpi,
        dimensions=dimensions,
        at_ms=at_ms,
        episode_ms=episode_ms,
        state=ends[state.phase],
        previous=state.phase,
        value=None,
        bound="the rule is no longer declared",
        start_ms=episode_ms,
        end_ms=at_ms,
        reason="removed",
    )


def end_alerts(
    kpi: str,
    dimensions: Dimensions | None,
    at_ms: int,
    known: Iterable[tuple[str, str, AlertState]],
) -> list[Transition]:
    """The transitions that end alerts (rule, severity, state) of one series (see `end_alert`)."""
    transitions = [
        end_alert(rule, cast(Severity, severity), kpi, dimensions or (), state, at_ms)
        for rule, severity, state in known
    ]
    return [transition for transition in transitions if transition is not None]
