from __future__ import annotations

import msgspec
import pytest

from agent.core.model.results import AlertPhase
from agent.core.model.rules import Flapping
from agent.core.state import alert_state as alerts
from agent.core.state.alert_state import INACTIVE, AlertState

IN, PE, FI, _SI, RE = AlertPhase
MINUTE = 60_000

# What one window says: (when, clear).
BAD, NEITHER, GOOD, BOTH = (True, False), (False, False), (False, True), (True, True)
NULL = (None, None)


def live(
    judgements: list[tuple[bool | None, bool | None]], for_ms: int = 0, keep_ms: int = 0
) -> list[tuple[int, str, str, str]]:
    """The changes of an alert evaluated once a minute from 0: (minute, previous, state, reason)."""
    state = INACTIVE
    steps: list[tuple[int, str, str, str]] = []
    for minute, (when, clear) in enumerate(judgements):
        state, change = alerts.step(
            state, minute * MINUTE, when, clear, for_ms, keep_ms, step_ms=MINUTE
        )
        if change is not None:
            steps.append((minute, change.previous.value, change.phase.value, change.reason))
    return steps


def test_without_for_an_alert_fires_at_once() -> None:
    assert live([GOOD, BAD, BAD, GOOD]) == [
        (1, "inactive", "firing", "when"),
        (3, "firing", "resolved", "clear"),
    ]


def test_with_for_it_is_pending_until_the_condition_has_held_that_long() -> None:
    assert live([BAD, BAD, BAD, GOOD], for_ms=2 * MINUTE) == [
        (0, "inactive", "pending", "when"),
        (2, "pending", "firing", "for"),
        (3, "firing", "resolved", "clear"),
    ]


def test_a_pending_alert_whose_condition_ends_is_inactive_and_begins_again() -> None:
    assert live([BAD, BAD, NEITHER, BAD, BAD, BAD], for_ms=2 * MINUTE) == [
        (0, "inactive", "pending", "when"),
        (2, "pending", "inactive", "clear"),
        (3, "inactive", "pending", "when"),
        (5, "pending", "firing", "for"),
    ]


def test_a_null_condition_neither_fires_nor_ends_a_pending_alert() -> None:
    assert live([BAD, NULL, NULL, BAD, BAD], for_ms=2 * MINUTE) == [
        (0, "inactive", "pending", "when"),
        (4, "pending", "firing", "for"),
    ]


def test_a_null_condition_does_not_resolve() -> None:
    assert live([BAD, NULL, NULL, GOOD]) == [
        (0, "inactive", "firing", "when"),
        (3, "firing", "resolved", "clear"),
    ]


def test_between_the_thresholds_it_keeps_firing() -> None:
    assert live([BAD, NEITHER, NEITHER, GOOD]) == [
        (0, "inactive", "firing", "when"),
        (3, "firing", "resolved", "clear"),
    ]


def test_where_both_thresholds_hold_when_wins() -> None:
    assert live([BOTH, BOTH, GOOD]) == [
        (0, "inactive", "firing", "when"),
        (2, "firing", "resolved", "clear"),
    ]


def test_a_clear_that_is_known_resolves_though_when_is_null() -> None:
    assert live([BAD, (None, True)]) == [
        (0, "inactive", "firing", "when"),
        (1, "firing", "resolved", "clear"),
    ]


def test_keep_firing_for_waits_until_clear_has_held_that_long() -> None:
    assert live([BAD, GOOD, GOOD, GOOD], keep_ms=2 * MINUTE) == [
        (0, "inactive", "firing", "when"),
        (3, "firing", "resolved", "keep_firing_for"),
    ]


@pytest.mark.parametrize("interruption", [BAD, NEITHER])
def test_a_clearing_that_is_interrupted_begins_again(
    interruption: tuple[bool | None, bool | None],
) -> None:
    assert live([BAD, GOOD, interruption, GOOD, GOOD, GOOD], keep_ms=2 * MINUTE) == [
        (0, "inactive", "firing", "when"),
        (5, "firing", "resolved", "keep_firing_for"),
    ]


def test_a_null_condition_does_not_interrupt_a_clearing() -> None:
    assert live([BAD, GOOD, NULL, GOOD, GOOD], keep_ms=2 * MINUTE) == [
        (0, "inactive", "firing", "when"),
        (4, "firing", "resolved", "keep_firing_for"),
    ]


@pytest.mark.parametrize("gap", range(5))
def test_only_evaluated_time_counts_however_long_nothing_was_evaluated(gap: int) -> None:
    pending = [BAD, BAD, *[NULL] * gap, BAD, BAD]
    assert live(pending, for_ms=3 * MINUTE)[-1] == (3 + gap, "pending", "firing", "for")
    clearing = [BAD, GOOD, *[NULL] * gap, GOOD, GOOD]
    assert live(clearing, keep_ms=2 * MINUTE)[-1] == (
        *(3 + gap, "firing", "resolved", "keep_firing_for"),
    )


def test_windows_that_never_were_count_as_windows_that_said_nothing() -> None:
    state, _ = alerts.step(INACTIVE, 0, *BAD, 3 * MINUTE, 0, step_ms=MINUTE)
    state, _ = alerts.step(state, 60 * MINUTE, *BAD, 3 * MINUTE, 0, step_ms=MINUTE)
    assert state.fires_ms(3 * MINUTE) == 62 * MINUTE
    state, change = alerts.step(state, 61 * MINUTE, *BAD, 3 * MINUTE, 0, step_ms=MINUTE)
    assert change is None
    state, change = alerts.step(state, 62 * MINUTE, *BAD, 3 * MINUTE, 0, step_ms=MINUTE)
    assert change == (PE, FI, "for")


def test_what_was_not_evaluated_of_a_time_is_forgotten_with_it() -> None:
    judgements = [BAD, NULL, BAD, GOOD, BAD, BAD, BAD]
    assert live(judgements, for_ms=2 * MINUTE) == [
        (0, "inactive", "pending", "when"),
        (3, "pending", "inactive", "clear"),
        (4, "inactive", "pending", "when"),
        (6, "pending", "firing", "for"),
    ]


def test_resolved_goes_on_to_pending_and_firing() -> None:
    assert live([BAD, GOOD, BAD], for_ms=0) == [
        (0, "inactive", "firing", "when"),
        (1, "firing", "resolved", "clear"),
        (2, "resolved", "firing", "when"),
    ]
    state = AlertState(RE, 0)
    state, change = alerts.step(state, MINUTE, True, False, MINUTE, 0)
    assert change == (RE, PE, "when")
    assert state == AlertState(PE, MINUTE, evaluated_ms=MINUTE)


def test_an_episode_begins_once_at_an_instant() -> None:
    state, _ = alerts.step(INACTIVE, 0, *BAD, MINUTE, 0)
    state, change = alerts.step(state, 0, *GOOD, MINUTE, 0)
    assert change == (PE, IN, "clear")

    assert alerts.step(state, 0, *BAD, MINUTE, 0) == (state, None)
    assert alerts.step(state, 1, *BAD, MINUTE, 0)[1] == (IN, PE, "when")


def test_an_episode_before_1970_counts_from_its_own_beginning() -> None:
    state, _ = alerts.step(INACTIVE, -10 * MINUTE, *BAD, 2 * MINUTE, 0)
    _, change = alerts.step(state, -9 * MINUTE, *BAD, 2 * MINUTE, 0)
    assert change is None


def test_the_table_leads_from_every_state_to_every_other_that_the_rules_name() -> None:
    ways = {(a, phase) for a, row in alerts.TABLE.items() for phase, _ in row.values()}
    assert ways == {
        *((IN, PE), (IN, FI), (RE, PE), (RE, FI)),
        *((PE, PE), (PE, FI), (PE, IN), (FI, FI), (FI, RE)),
    }


@pytest.mark.parametrize("state", [INACTIVE, AlertState(FI, 1_292_000_000_000, 5), AlertState(RE)])
def test_a_state_survives_msgpack(state: AlertState) -> None:
    data = msgspec.msgpack.encode(state)
    assert msgspec.msgpack.decode(data) == [
        state.phase.value, state.episode_ms, state.clearing_since_ms, [], None, 0,
    ]  # fmt: skip
    assert msgspec.msgpack.decode(data, type=AlertState) == state


def test_an_alert_that_flaps_alerts_once_for_a_row_of_episodes() -> None:
    flapping = Flapping(3, 10 * MINUTE)
    state, seen = INACTIVE, []
    # Bad and good in turns for six minutes, then good.
    for minute in range(30):
        bad = minute < 6 and minute % 2 == 0
        state, change = alerts.step(state, minute * MINUTE, bad, not bad, 0, 0, flapping)
        if change is not None:
            seen.append((minute, change.phase.value))
    # The third firing makes it flap; its end has begun at minute 5, and holds for ten.
    assert seen == [
        *((0, "firing"), (1, "resolved"), (2, "firing"), (3, "resolved")),
        *((4, "firing"), (15, "resolved")),
    ]
