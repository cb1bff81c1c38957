"""Absence rules: alerts on series, or on a KPI as a whole, without events for too long.

The instants of transitions follow from the events and the rule only, so it makes no difference how
often a rule is evaluated. Time in maintenance does not count as silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from agent.core.evaluate.maintenance import MaintenanceCalendar
from agent.core.evaluate.targets import MAX_CACHED_SERIES
from agent.core.evaluate.thresholds import Evaluation, OnEvaluation
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import AbsenceLevel, AbsenceRule, variant_for
from agent.core.model.text import when_text
from agent.core.state import alert_state as alerts
from agent.core.state.alert_state import AlertState
from agent.core.state.series import Series


class Absences:
    """The absence rules of one KPI."""

    def __init__(
        self,
        kpi: Kpi,
        rules: Sequence[AbsenceRule],
        maintenance: MaintenanceCalendar,
        on_evaluation: OnEvaluation | None = None,
    ) -> None:
        self.per_series = tuple(rule for rule in rules if rule.per == "series")
        self.per_kpi = tuple(rule for rule in rules if rule.per == "kpi")
        self._on_evaluation = on_evaluation
        self._kpi = kpi
        self._maintenance = maintenance
        self._rules_of = lru_cache(MAX_CACHED_SERIES)(self._find)

    def rules_of(self, dimensions: Dimensions | None) -> tuple[AbsenceRule, ...]:
        """The rules of one series, with its overrides; None: of the KPI as a whole."""
        return self._rules_of(dimensions) if self.per_series or self.per_kpi else ()

    def _find(self, dimensions: Dimensions | None) -> tuple[AbsenceRule, ...]:
        if dimensions is None:
            return self.per_kpi
        own = (variant_for(rule, self._kpi.by, dimensions) for rule in self.per_series)
        return tuple(rule for rule in own if rule is not None)

    def evaluate(
        self,
        series: Series,
        last_event_ms: int,
        frontier_ms: int,
        first_event_ms: int | None = None,
    ) -> list[Transition]:
        """Evaluate the rules over a series, or over the KPI as a whole, and change its alerts.
        `step_absence` describes the arguments."""
        out: list[Transition] = []
        for rule in self.rules_of(series.dimensions):
            for level in rule.levels:
                state = series.alert(rule.name, level.severity)
                after, transitions = step_absence(
                    rule,
                    level,
                    self._clock(rule, level, series),
                    state,
                    series.last_event_ms,
                    last_event_ms,
                    frontier_ms,
                    first_event_ms,
                )
                if after != state:
                    series.set_alerts(rule.name, {level.severity: after})
                    if self._on_evaluation is not None:
                        self._on_evaluation(
                            Evaluation(
                                rule, level.severity, None, frontier_ms, None, None, state, after
                            )
                        )
                out += transitions
        return out

    def _clock(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> AbsenceClock:
        old_enough_ms = series.first_ms + rule.min_history_ms if rule.min_history_ms else 0
        # A backfill does not evaluate absence: silence counts from the handoff to the live flow.
        missed_ms = series.handoff_ms + level.no_data_for_ms if series.handoff_ms else 0
        not_before_ms = max(old_enough_ms, missed_ms) or None
        return AbsenceClock(
            self._maintenance, series.dimensions, level.no_data_for_ms, not_before_ms
        )

    def fires_ms(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> int:
        """When a level of a rule fires over a series if no event arrives."""
        clock = self._clock(rule, level, series)
        last_ms = series.last_event_ms
        due_ms = clock.due_ms(last_ms, last_ms + level.no_data_for_ms)
        return max(due_ms, clock.not_before_ms or due_ms)

    def ends_ms(self, rule: AbsenceRule, level: AbsenceLevel, series: Series) -> int | None:
        """When an alert over a series resolves if events continue to arrive; None: it is not
        clearing."""
        alert = series.alert(rule.name, level.severity)
        ends_ms = alert.ends_ms(rule.keep_firing_for_ms, rule.flapping)
        if ends_ms is None:
            return None
        clock = self._clock(rule, level, series)
        return alert.ends_ms(clock.clear_for_ms(alert, rule, ends_ms), rule.flapping)


class AbsenceClock(NamedTuple):
    """Measures silence for one level of an absence rule, without time in maintenance.

    `dimensions` None: for the KPI as a whole. `not_before_ms`: the level does not fire earlier.
    """

    maintenance: MaintenanceCalendar
    dimensions: Dimensions | None
    no_data_for_ms: int
    not_before_ms: int | None = None

    def due_ms(self, last_event_ms: int, upto_ms: int) -> int:
        """When silence since an event reaches `no_data_for_ms`; exact up to `upto_ms`."""
        return self.maintenance.after(self.dimensions, last_event_ms, self.no_data_for_ms, upto_ms)

    def clear_for_ms(self, alert: AlertState, rule: AbsenceRule, upto_ms: int) -> int:
        """How long events must have returned before an alert resolves; exact up to `upto_ms`."""
        since_ms = alert.clearing_since_ms
        if since_ms is None:
            return rule.keep_firing_for_ms
        clear_for_ms = alert.clear_for_ms(since_ms, rule.keep_firing_for_ms, rule.flapping)
        return self.maintenance.after(self.dimensions, since_ms, clear_for_ms, upto_ms) - since_ms

    def began_ms(self, due_ms: int) -> int:
        """When the silence began that reaches `no_data_for_ms` at an instant."""
        return self.maintenance.before(self.dimensions, due_ms, self.no_data_for_ms)


def step_absence(
    rule: AbsenceRule,
    level: AbsenceLevel,
    clock: AbsenceClock,
    alert: AlertState,
    evaluated_event_ms: int,
    last_event_ms: int,
    frontier_ms: int,
    first_event_ms: int | None = None,
) -> tuple[AlertState, tuple[Transition, ...]]:
    """Evaluate one level of an absence rule for the series (or whole KPI) of `clock`.

    - `frontier_ms`: event time is settled up to here, no earlier event can still arrive.
    - `evaluated_event_ms`: the last event that an earlier call evaluated.
    - `last_event_ms`: the latest settled event. There must be a call for every event that ends a
      silence, in order.
    - `first_event_ms`: for callers that know slices instead of events. `last_event_ms` is then the
      end of a slice with events and `first_event_ms` its start, and the whole slice counts as
      events, so that its own length is never silence.

    No argument may go back. The alert fires exactly at `last_event_ms + no_data_for_ms`, or at
    `clock.not_before_ms` if that is later, once the frontier has passed that instant. It resolves
    at the event that ends the silence, or `keep_firing_for_ms` after it (later if it flaps) if
    there is no other silence in between. Time in maintenance does not count for any of these.
    """
    transitions: list[Transition] = []
    not_before_ms = clock.not_before_ms

    def step(alert: AlertState, at_ms: int, due_ms: int, *, is_silent: bool) -> AlertState:
        clear_for_ms = clock.clear_for_ms(alert, rule, at_ms)
        alert, change = alerts.step(
            alert, at_ms, is_silent, not is_silent, 0, clear_for_ms, rule.flapping
        )
        if change is not None:
            # The first silence of the episode; with a later `not_before_ms`, it began earlier.
            fired_ms = at_ms if alert.episode_ms is None else alert.episode_ms
            began_ms = clock.began_ms(min(fired_ms, due_ms))
            transitions.append(
                _absence_transition(rule, level, clock, alert, at_ms, began_ms, change)
            )
        return alert

    def advance(alert: AlertState, last_ms: int, upto_ms: int) -> AlertState:
        due_ms = clock.due_ms(last_ms, upto_ms)
        fires_ms = due_ms if not_before_ms is None else max(due_ms, not_before_ms)
        ends_ms = alert.ends_ms(clock.clear_for_ms(alert, rule, upto_ms), rule.flapping)
        if ends_ms is not None and ends_ms <= min(fires_ms, upto_ms):
            alert = step(alert, ends_ms, due_ms, is_silent=False)
        return step(alert, fires_ms, due_ms, is_silent=True) if fires_ms < upto_ms else alert

    if last_event_ms > evaluated_event_ms:
        back_ms = last_event_ms if first_event_ms is None else first_event_ms
        alert = advance(alert, evaluated_event_ms, back_ms)
        if alert.phase is AlertPhase.FIRING and alert.episode_ms is not None:
            # With silences shorter than a slice, the episode may begin in the slice that ends it.
            back_ms = max(back_ms, alert.episode_ms)
        due_ms = clock.due_ms(evaluated_event_ms, back_ms)
        alert = step(alert, back_ms, due_ms, is_silent=False)
    return advance(alert, max(evaluated_event_ms, last_event_ms), frontier_ms), tuple(transitions)


def _absence_transition(
    rule: AbsenceRule,
    level: AbsenceLevel,
    clock: AbsenceClock,
    alert: AlertState,
    at_ms: int,
    began_ms: int,
    change: alerts.PhaseChange,
) -> Transition:
    episode_ms = at_ms if alert.episode_ms is None else alert.episode_ms
    reasons: dict[alerts.StepReason, Literal["no_data", "data", "keep_firing_for"]] = {
        "when": "no_data",
        "clear": "data",
        "keep_firing_for": "keep_firing_for",
    }
    return Transition(
        rule=rule.name,
        severity=level.severity,
        kpi=rule.kpi,
        dimensions=clock.dimensions or (),
        at_ms=at_ms,
        episode_ms=episode_ms,
        state=change.phase,
        previous=change.previous,
        value=None,
        bound=when_text(level),
        start_ms=began_ms,
        end_ms=at_ms,
        reason=reasons[change.reason],
        flaps=alert.flapping(change.phase, rule.flapping),
    )
