"""When a flush is due: every interval, seldom while nothing comes, at once when caught up."""

from __future__ import annotations

import pytest

from agent.kafka.flush_pace import FLUSH_RECORDS, IDLE_INTERVALS, FlushPace
from agent.kafka.source_consumer import MAX_POLL_RECORDS

INTERVAL = 1.0
FULL = MAX_POLL_RECORDS


@pytest.mark.parametrize(
    ("fetches", "unflushed", "now", "due", "behind"),
    [
        # (records, at the end) of each fetch; is a flush due, is a backlog being read
        ([(10, True)], 10, 0.5, False, False),
        ([(10, True)], 10, 1.0, True, False),
        ([(0, True)], 0, 0.9, False, False),
        ([(0, True)], 0, 1.0, True, False),
        ([(FULL, False)], FULL, 0.2, False, True),
        ([(FULL, False), (10, False)], FULL + 10, 0.2, False, True),
        ([(FULL, False), (10, True)], FULL + 10, 0.2, True, False),
        ([(FULL, False), (0, True)], FULL, 0.2, True, False),
        ([(FULL, True)], FULL, 0.2, False, True),
        ([(FULL, False)] * 6, 6 * FULL, 0.2, 6 * FULL >= FLUSH_RECORDS, True),
    ],
)
def test_a_flush_is_due(
    fetches: list[tuple[int, bool]], unflushed: int, now: float, due: bool, behind: bool
) -> None:
    pace = FlushPace(INTERVAL, 0.0)
    for records, at_end in fetches:
        pace.fetched(records, at_end)
    assert pace.is_due(unflushed, now) == due
    assert pace.behind == behind


def test_while_nothing_comes_flushes_are_further_apart_until_something_does() -> None:
    pace = FlushPace(INTERVAL, 0.0)
    pace.flushed(True, False, 1.0)
    assert not pace.is_due(0, 1.0 + INTERVAL)
    assert pace.is_due(0, 1.0 + IDLE_INTERVALS * INTERVAL)
    pace.fetched(1, True)
    assert pace.is_due(1, 1.0 + INTERVAL)


def test_a_flush_that_has_to_wait_is_tried_again_soon() -> None:
    pace = FlushPace(INTERVAL, 0.0)
    pace.flushed(False, True, 1.0)
    assert not pace.is_due(1, 1.05)
    assert pace.is_due(1, 1.1)


def test_a_fetch_waits_no_longer_than_until_the_flush() -> None:
    pace = FlushPace(INTERVAL, 0.0)
    assert pace.until_due_ms(0.25) == 751
    assert pace.until_due_ms(2.0) == 1
