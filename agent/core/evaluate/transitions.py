"""Rules: what a window, or silence, does to the alerts that watch it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, cast

import polars as pl

from agent.core.evaluate.maintenance import MaintenanceCalendar
from agent.core.model.plan import (
    AbsenceLevel,
    AbsenceRule,
    Dimensions,
    Severity,
    ThresholdRule,
)
from agent.core.model.results import AlertPhase, Fact, Transition, WindowValue
from agent.core.model.text import when_text
from agent.core.state import alert_state as alerts
from agent.core.state.alert_state import AlertState

Condition = bool | None
Row = Sequence[tuple[Condition, Condition]]
"""`when` and `clear` of one window, a pair for each level of the rule."""


class Running(NamedTuple):
    """How the time of a level of an absence rule runs: not in maintenance.

    `dimensions` None: for the KPI as a whole. `not_before_ms`: nothing is missed before.
    """

    maintenance: MaintenanceCalendar
    dimensions: Dimensions | None
    no_data_for_ms: int
    not_before_ms: int | None = None

    def due_ms(self, last_event_ms: int, upto_ms: int) -> int:
        """When silence since an event has lasted long enough; exact up to `upto_ms`."""
        return self.maintenance.after(self.dimensions, last_event_ms, self.no_data_for_ms, upto_ms)

    def kept_ms(self, alert: AlertState, rule: AbsenceRule, upto_ms: int) -> int:
        """How long data must be back until an alert ends; exact up to `upto_ms`."""
        since_ms = alert.clearing_since_ms
        if since_ms is None:
            return rule.keep_firing_for_ms
        kept_ms = alert.kept_ms(since_ms, rule.keep_firing_for_ms, rule.flapping)
        return self.maintenance.after(self.dimensions, since_ms, kept_ms, upto_ms) - since_ms

    def began_ms(self, due_ms: int) -> int:
        """When the silence began that has lasted long enough."""
        return self.maintenance.before(self.dimensions, due_ms, self.no_data_for_ms)


def conditions(
    rule: ThresholdRule, table: pl.DataFrame
) -> list[tuple[list[Condition], list[Condition]]]:
    """`when` and `clear` of every row, a pair of lists for each level of the rule.

    `table` has the columns `value` (Float64), `events` (Int64) and `target` (Float64: the bound
    that applies to the series, null where there is none) and `f0…fn` (Float64: the answers of the
    rule's features), one row per window. Without a `clear`, it is "not `when`". A row with fewer
    events than `min_events` gives null for both; where `on_no_data` says otherwise, one of them is
    true for it, and for a row without a value.
    """
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
    found = table.select(columns)
    return [
        (found[f"when{i}"].to_list(), found[f"clear{i}"].to_list()) for i in range(len(rule.levels))
    ]


def step_threshold(
    rule: ThresholdRule,
    states: tuple[AlertState, ...],
    window: WindowValue,
    row: Row,
    at_ms: int | None = None,
    facts: tuple[Fact, ...] = (),
    step_ms: int | None = None,
) -> tuple[tuple[AlertState, ...], tuple[Transition, ...]]:
    """Judge one window of a series: its alerts' new states, one per level, and the transitions.

    `states` is in the order of the rule's levels; empty: never judged. Windows of a series must
    come in the order of their ends. `at_ms` is the instant judged, default the window's end; for a
    window still open (`on: current`) the caller says how far event time has got. `step_ms` is the
    time that one judgement is for: from one window's end, or one look at it, to the next.
    """
    at_ms = window.end_ms if at_ms is None else at_ms
    before = states or (alerts.INACTIVE,) * len(rule.levels)
    after: list[AlertState] = []
    transitions: list[Transition] = []
    for level, known, (when, clear) in zip(rule.levels, before, row, strict=True):
        state, changes = alerts.step(
            known, at_ms, when, clear, rule.for_ms, rule.keep_firing_for_ms, rule.flapping, step_ms
        )
        after.append(state)
        for previous, phase, reason in changes:
            clears = level.clear_sql or f"not ({level.when_sql})"
            transitions.append(
                Transition(
                    rule=rule.name,
                    severity=level.severity,
                    kpi=window.kpi,
                    dimensions=window.dimensions,
                    at_ms=at_ms,
                    episode_ms=at_ms if state.episode_ms is None else state.episode_ms,
                    state=phase,
                    previous=previous,
                    value=window.value,
                    bound=clears if phase is AlertPhase.RESOLVED else level.when_sql,
                    start_ms=window.start_ms,
                    end_ms=window.end_ms,
                    reason=reason,
                    facts=facts,
                    flaps=state.flapping(phase, rule.flapping),
                )
            )
    return tuple(after), tuple(transitions)


def step_absence(
    rule: AbsenceRule,
    level: AbsenceLevel,
    running: Running,
    alert: AlertState,
    known_ms: int,
    last_event_ms: int,
    frontier_ms: int,
    first_event_ms: int | None = None,
) -> tuple[AlertState, tuple[Transition, ...]]:
    """Judge the silence of the series (or whole KPI) of `running`, for one level of a rule.

    `frontier_ms` is how far event time is settled: no event before it can still come. `known_ms` is
    the last event that was judged, `last_event_ms` the latest settled one; the caller names every
    one that ends a silence, in order, by calling once for each. None may go back. A caller that
    knows only the slices that hold events gives the end of one as `last_event_ms` and its start as
    `first_event_ms`: the slice counts as events all along, so that its own length is never taken
    for silence.

    Fires at exactly `last_event_ms + no_data_for_ms`, time in maintenance not counted, or at
    `running.not_before_ms` if that is later, once the frontier is past that instant, and resolves
    at the event that ends the silence, or `keep_firing_for_ms` after it (`flapping`: later), time
    in maintenance not counted, if no other silence came between. How often it is called changes
    nothing: the instants come from the events, never from the call.
    """
    transitions: list[Transition] = []
    not_before_ms = running.not_before_ms

    def judge(alert: AlertState, at_ms: int, silent: bool, due_ms: int) -> AlertState:
        kept_ms = running.kept_ms(alert, rule, at_ms)
        alert, changes = alerts.step(alert, at_ms, silent, not silent, 0, kept_ms, rule.flapping)
        for change in changes:
            # Of several silences in a row, the first; one that was not missed at once began before.
            fired_ms = at_ms if alert.episode_ms is None else alert.episode_ms
            began_ms = running.began_ms(min(fired_ms, due_ms))
            transitions.append(
                _absence_transition(rule, level, running, alert, at_ms, began_ms, change)
            )
        return alert

    def advance(alert: AlertState, last_ms: int, upto_ms: int) -> AlertState:
        due_ms = running.due_ms(last_ms, upto_ms)
        fires_ms = due_ms if not_before_ms is None else max(due_ms, not_before_ms)
        ends_ms = alert.ends_ms(running.kept_ms(alert, rule, upto_ms), rule.flapping)
        if ends_ms is not None and ends_ms <= min(fires_ms, upto_ms):
            alert = judge(alert, ends_ms, False, due_ms)
        return judge(alert, fires_ms, True, due_ms) if fires_ms < upto_ms else alert

    if last_event_ms > known_ms:
        back_ms = last_event_ms if first_event_ms is None else first_event_ms
        alert = advance(alert, known_ms, back_ms)
        if alert.phase is AlertPhase.FIRING and alert.episode_ms is not None:
            # A silence shorter than a slice can be taken to begin inside the slice that ends it.
            back_ms = max(back_ms, alert.episode_ms)
        alert = judge(alert, back_ms, False, running.due_ms(known_ms, back_ms))
    return advance(alert, max(known_ms, last_event_ms), frontier_ms), tuple(transitions)


def _absence_transition(
    rule: AbsenceRule,
    level: AbsenceLevel,
    running: Running,
    alert: AlertState,
    at_ms: int,
    began_ms: int,
    change: alerts.Change,
) -> Transition:
    previous, phase, reason = change
    episode_ms = at_ms if alert.episode_ms is None else alert.episode_ms
    words: dict[alerts.StepReason, Literal["no_data", "data", "keep_firing_for"]] = {
        "when": "no_data",
        "clear": "data",
        "keep_firing_for": "keep_firing_for",
    }
    return Transition(
        rule=rule.name,
        severity=level.severity,
        kpi=rule.kpi,
        dimensions=running.dimensions or (),
        at_ms=at_ms,
        episode_ms=episode_ms,
        state=phase,
        previous=previous,
        value=None,
        bound=when_text(level),
        start_ms=began_ms,
        end_ms=at_ms,
        reason=words[reason],
        flaps=alert.flapping(phase, rule.flapping),
    )


def removed(
    rule: str,
    severity: Severity,
    kpi: str,
    dimensions: Dimensions,
    state: AlertState,
    at_ms: int,
) -> Transition | None:
    """The last transition of an alert whose rule (or level) is no longer declared.

    Firing resolves, pending becomes inactive; None when there is nothing to end.
    """
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


def ended(
    kpi: str,
    dimensions: Dimensions | None,
    at_ms: int,
    known: Iterable[tuple[str, str, AlertState]],
) -> list[Transition]:
    """The transitions that end alerts (rule, severity, state) whose rule or series is no more."""
    found = [
        removed(rule, cast(Severity, severity), kpi, dimensions or (), state, at_ms)
        for rule, severity, state in known
    ]
    return [transition for transition in found if transition is not None]
