"""The lifecycle of an alert, in event time.

Rules
-----
- An alert is **inactive** until its `when` holds. Then it is **pending**, and an *episode* begins;
  once `when` has held for `for_ms` of evaluated time it is **firing**. With `for_ms` 0 it fires at
  once, without having been pending.
- A pending alert whose `when` no longer holds becomes inactive, regardless of `clear`.
- A firing alert is **resolved** once its `clear` has held for `keep_firing_for_ms` of evaluated
  time. Between the two thresholds (neither `when` nor `clear`) it keeps firing, and `clear` must
  hold for the whole time again.
- If `when` and `clear` both hold (thresholds that overlap), `when` wins: otherwise the alert would
  flap with every window.
- A resolved alert stays resolved until the next episode begins.
- An alert that *flaps*, as the rule defines it (a number of firings within a time), resolves only
  once `clear` has held for that time: it notifies once for several episodes.

Exceptions
----------
- A null condition (no data, too few events) changes nothing: a pending alert neither fires nor
  resolves, because missing data is left to absence rules. Nor does the time count: an evaluation
  covers the step that ends at its instant, and time between steps (null conditions, windows in
  maintenance, missing windows) is not part of `for_ms` or `keep_firing_for_ms`.
- At most one episode begins at an instant. So rule, severity, series, episode and state identify a
  transition permanently, and evaluating the same window again gives no second one.

Alerts change only at the instants that `step` is called with.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal, NamedTuple

import msgspec

from agent.core.model.results import AlertPhase
from agent.core.model.rules import Flapping

StepReason = Literal["when", "clear", "for", "keep_firing_for"]


class PhaseChange(NamedTuple):
    """A change of an alert's phase."""

    previous: AlertPhase
    phase: AlertPhase
    reason: StepReason


class AlertState(msgspec.Struct, frozen=True, array_like=True):
    """The state of one alert; serialised as an array of its fields.

    `episode_ms`: the start of the latest episode (None: never). `clearing_since_ms`: while firing,
    since when `clear` has held without interruption. `fired_ms`: when the alert started firing,
    within the time of the rule's `flapping`. While the alert is pending or clearing, `evaluated_ms`
    is the last evaluation, and `skipped_ms` the time without evaluation since that began.
    """

    phase: AlertPhase = AlertPhase.INACTIVE
    episode_ms: int | None = None
    clearing_since_ms: int | None = None
    fired_ms: tuple[int, ...] = ()
    evaluated_ms: int | None = None
    skipped_ms: int = 0

    def flaps(self, at_ms: int, flapping: Flapping | None) -> bool:
        """Whether the alert flaps, as the rule defines it."""
        if flapping is None:
            return False
        return len(self._fired_lately(at_ms, flapping)) >= flapping.times

    def flapping(self, phase: AlertPhase, flapping: Flapping | None) -> Flapping | None:
        """If the alert has just started firing and flaps: how often it fired within the rule's
        time. Otherwise None."""
        at_ms = self.fired_ms[-1] if self.fired_ms else 0
        if flapping is None or phase is not AlertPhase.FIRING or not self.flaps(at_ms, flapping):
            return None
        return Flapping(len(self._fired_lately(at_ms, flapping)), flapping.within_ms)

    def _fired_lately(self, at_ms: int, flapping: Flapping) -> tuple[int, ...]:
        """When the alert started firing within the rule's time before an instant."""
        return tuple(fired for fired in self.fired_ms if at_ms - fired <= flapping.within_ms)

    def fired_at(self, at_ms: int, flapping: Flapping) -> AlertState:
        """The state, with a start of firing noted at an instant."""
        lately = self._fired_lately(at_ms, flapping)
        return msgspec.structs.replace(self, fired_ms=(*lately, at_ms))

    def clear_for_ms(self, at_ms: int, keep_firing_for_ms: int, flapping: Flapping | None) -> int:
        """How long `clear` must hold, as known at an instant: longer while the alert flaps."""
        # Whether it flaps is decided when it starts clearing, and kept until it stops.
        clearing_ms = at_ms if self.clearing_since_ms is None else self.clearing_since_ms
        if flapping is not None and self.flaps(clearing_ms, flapping):
            return max(keep_firing_for_ms, flapping.within_ms)
        return keep_firing_for_ms

    def fires_ms(self, for_ms: int) -> int | None:
        """When the alert fires if `when` holds from now on; None: it is not pending."""
        if self.phase is not AlertPhase.PENDING or self.episode_ms is None:
            return None
        return self.episode_ms + self.skipped_ms + for_ms

    def ends_ms(self, keep_firing_for_ms: int, flapping: Flapping | None) -> int | None:
        """When the alert resolves if `clear` holds from now on; None: it is not clearing."""
        since_ms = self.clearing_since_ms
        if self.phase is not AlertPhase.FIRING or since_ms is None:
            return None
        clear_for_ms = self.clear_for_ms(since_ms, keep_firing_for_ms, flapping)
        return since_ms + self.skipped_ms + clear_for_ms

    def evaluated_at(self, at_ms: int, step_ms: int | None) -> AlertState:
        """The state, with the time since the last step that was not evaluated added to
        `skipped_ms`."""
        if step_ms is None or self.evaluated_ms is None:
            return self
        missed_ms = max(0, at_ms - self.evaluated_ms - step_ms)
        return msgspec.structs.replace(
            self, evaluated_ms=at_ms, skipped_ms=self.skipped_ms + missed_ms
        )


INACTIVE = AlertState()
"""The state of an alert that was never evaluated."""


class Signal(Enum):
    """The result of one evaluation for an alert."""

    ACTIVE = auto()  # `when` holds, not yet for long enough
    HELD = auto()  # `when` has held for `for_ms`
    NEITHER = auto()  # neither `when` nor `clear` holds
    CLEAR = auto()  # `clear` holds, not yet for long enough
    CLEARED = auto()  # `clear` has held for `keep_firing_for_ms`


class Action(Enum):
    """How a step changes the times in the state."""

    KEEP = auto()
    BEGIN = auto()  # an episode begins now
    FIRE = auto()  # the episode continues, and is not clearing
    CLEARING = auto()  # note since when it has been clearing
    END = auto()  # the episode ends


_P, _S, _A = AlertPhase, Signal, Action

_IDLE = {
    _S.ACTIVE: (_P.PENDING, _A.BEGIN),
    _S.HELD: (_P.FIRING, _A.BEGIN),
}
TABLE: dict[AlertPhase, dict[Signal, tuple[AlertPhase, Action]]] = {
    _P.INACTIVE: _IDLE,
    _P.RESOLVED: _IDLE,
    _P.PENDING: {
        _S.ACTIVE: (_P.PENDING, _A.KEEP),
        _S.HELD: (_P.FIRING, _A.FIRE),
        _S.NEITHER: (_P.INACTIVE, _A.END),
        _S.CLEAR: (_P.INACTIVE, _A.END),
        _S.CLEARED: (_P.INACTIVE, _A.END),
    },
    _P.FIRING: {
        _S.ACTIVE: (_P.FIRING, _A.FIRE),
        _S.HELD: (_P.FIRING, _A.FIRE),
        _S.NEITHER: (_P.FIRING, _A.FIRE),
        _S.CLEAR: (_P.FIRING, _A.CLEARING),
        _S.CLEARED: (_P.RESOLVED, _A.END),
    },
}
"""States × signals → state, action. Pairs that are not listed change nothing."""


def step(
    state: AlertState,
    at_ms: int,
    when: bool | None,
    clear: bool | None,
    for_ms: int,
    keep_firing_for_ms: int,
    flapping: Flapping | None = None,
    step_ms: int | None = None,
) -> tuple[AlertState, PhaseChange | None]:
    """Evaluate an alert at an instant of event time; instants must not go back.

    `step_ms` is the time up to the instant that this evaluation covers; None: all since the last.
    Returns the new state, and the change of phase; None: the phase stays the same.
    """
    if when is not None or clear:
        state = state.evaluated_at(at_ms, step_ms)
    clear_for_ms = state.clear_for_ms(at_ms, keep_firing_for_ms, flapping)
    signal = _signal(state, at_ms, when, clear, for_ms, clear_for_ms)
    entry = TABLE[state.phase].get(signal) if signal else None
    if entry is None:
        return state, None
    phase, action = entry
    if action is Action.BEGIN and state.episode_ms is not None and at_ms <= state.episode_ms:
        return state, None
    after = _apply(action, phase, state, at_ms)
    if phase is state.phase:
        return after, None
    if flapping is not None and phase is AlertPhase.FIRING:
        after = after.fired_at(at_ms, flapping)
    return after, PhaseChange(state.phase, phase, _reason(state, phase))


def _signal(
    state: AlertState,
    at_ms: int,
    when: bool | None,
    clear: bool | None,
    for_ms: int,
    clear_for_ms: int,
) -> Signal | None:
    if when:
        held_ms = 0
        if state.phase is AlertPhase.PENDING and state.episode_ms is not None:
            held_ms = at_ms - state.episode_ms - state.skipped_ms
        return Signal.HELD if held_ms >= for_ms else Signal.ACTIVE
    if clear:
        held_ms = 0
        if state.clearing_since_ms is not None:
            held_ms = at_ms - state.clearing_since_ms - state.skipped_ms
        return Signal.CLEARED if held_ms >= clear_for_ms else Signal.CLEAR
    return None if when is None else Signal.NEITHER


def _apply(action: Action, phase: AlertPhase, state: AlertState, at_ms: int) -> AlertState:
    if action is Action.KEEP:
        return state
    if action is Action.BEGIN:
        evaluated_ms = at_ms if phase is AlertPhase.PENDING else None
        return AlertState(phase, at_ms, None, state.fired_ms, evaluated_ms)
    if action is Action.CLEARING:
        if state.clearing_since_ms is not None:
            return state
        return AlertState(phase, state.episode_ms, at_ms, state.fired_ms, at_ms)
    return AlertState(phase, state.episode_ms, None, state.fired_ms)


def _reason(before: AlertState, phase: AlertPhase) -> StepReason:
    if phase is AlertPhase.FIRING and before.phase is AlertPhase.PENDING:
        return "for"
    if phase in (AlertPhase.PENDING, AlertPhase.FIRING):
        return "when"
    return "clear" if before.clearing_since_ms is None else "keep_firing_for"
