"""Alerts that are sent from here follow the merger, not what the broker shows of them."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.core.model.results import AlertPhase
from agent.kafka.board_topic import AlertRow, alert_key
from agent.service.own_alerts import OwnAlerts

FIRED = AlertRow("slow", "critical", "waiting", ("emea",), AlertPhase.FIRING, 100, 9.0, "s", "d")
ENDED = structs.replace(FIRED, phase=AlertPhase.RESOLVED, at_ms=200)
INHIBITED = structs.replace(FIRED, phase=AlertPhase.INHIBITED)
KEY = alert_key(FIRED)


@pytest.mark.parametrize(
    ("row", "transition", "expected"),
    [
        (None, None, []),
        (FIRED, None, [FIRED]),  # from before this process
        (None, (100, FIRED), [FIRED]),  # not on the board yet, or the board is gone
        (FIRED, (200, ENDED), [ENDED]),  # the board has the transition before
        (FIRED, (100, INHIBITED), [INHIBITED]),  # at the same time, one after the other
        (ENDED, (100, FIRED), [ENDED]),  # another worker went on
        (FIRED, (200, None), []),  # its rule is removed
        (None, (200, None), []),
    ],
)
def test_the_newer_of_the_boards_row_and_the_mergers_transition_counts(
    row: AlertRow | None, transition: tuple[int, AlertRow | None] | None, expected: list[AlertRow]
) -> None:
    own = OwnAlerts()
    if transition is not None:
        own.note({KEY: transition})
    assert own.over([row] if row else []) == expected
    assert own.over([row] if row else []) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, [FIRED]),  # the board topic was deleted
        (structs.replace(ENDED, at_ms=50), [FIRED]),  # of an episode before
        (structs.replace(FIRED, summary="then"), [structs.replace(FIRED, summary="then")]),
        (ENDED, [ENDED]),  # another worker went on meanwhile
    ],
)
def test_an_alert_that_stands_after_a_restart_is_sent_though_the_board_does_not_have_it(
    row: AlertRow | None, expected: list[AlertRow]
) -> None:
    own = OwnAlerts()
    own.restored({KEY: (100, FIRED)})
    assert own.over([row] if row else []) == expected


def test_before_the_board_topic_is_read_to_its_end_the_merger_alone_counts() -> None:
    own = OwnAlerts()
    other = structs.replace(FIRED, dimensions=("apac",))
    gone = structs.replace(FIRED, dimensions=("amer",))
    own.restored({KEY: (100, FIRED), alert_key(other): (100, other), alert_key(gone): (100, gone)})
    own.note({KEY: (200, ENDED), alert_key(gone): (200, None)})
    assert own.without_board() == [other, ENDED]
    assert own.over([FIRED, gone]) == [ENDED, other]  # the board, once it is read, is behind


def test_a_transition_of_this_worker_counts_more_than_what_was_restored() -> None:
    own = OwnAlerts()
    own.restored({KEY: (100, FIRED)})
    own.note({KEY: (200, ENDED)})
    assert own.over([]) == [ENDED]
    assert own.over([ENDED]) == [ENDED]
    assert own.over([]) == []


def test_once_the_board_shows_a_transition_the_board_counts() -> None:
    own = OwnAlerts()
    own.note({KEY: (100, FIRED)})
    assert own.over([FIRED]) == [FIRED]
    assert own.over([]) == []  # taken off the board later
