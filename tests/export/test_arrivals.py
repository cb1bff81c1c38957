"""Rates of events, and rejected records without what they hold."""

from __future__ import annotations

import pytest

from agent.core.model.results import Reason, Reject
from agent.core.output.privacy import masked
from agent.export.arrivals import MINUTE_MS, MINUTES, Arrivals

START_MS = 1_740_990_000_000


def test_a_rate_is_over_the_last_minutes_or_since_the_start() -> None:
    arrivals = Arrivals()
    assert arrivals.per_minute("order", START_MS) == 0
    for minute in range(40):
        arrivals.note("shop", {"order": 60}, (), START_MS + minute * MINUTE_MS)
    now_ms = START_MS + 40 * MINUTE_MS
    assert arrivals.per_minute("order", now_ms) == pytest.approx(60)
    assert arrivals.per_minute("other", now_ms) == 0
    assert arrivals.per_minute("order", now_ms + (MINUTES + 1) * MINUTE_MS) == 0


def test_the_last_rejected_record_of_each_event_is_known() -> None:
    arrivals = Arrivals()
    rejects = [
        Reject(0, n, "order", Reason.WRONG_TYPE, f'amount: found the string "{n}"') for n in (7, 8)
    ]
    arrivals.note("shop", {"order": 2}, rejects, START_MS)
    last = arrivals.last_rejected("order")
    assert last is not None
    assert (last.at_ms, last.topic, last.offset) == (START_MS, "shop", 8)
    assert last.detail == 'amount: found the string "…"'
    assert arrivals.last_rejected("other") is None


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ('a: found the string "12 \\" x", not a number', 'a: found the string "…", not a number'),
        ("lines[2].v: -5.25 is below the minimum 0", "lines[2].v: … is below the minimum …"),
        ("at: 2025-03-03T08:00:00.000+00:00 is 1 day, 2:00:00 after", "at: … is … day, … after"),
        ("address2.city: required, but absent", "address2.city: required, but absent"),
    ],
)  # fmt: skip
def test_a_detail_is_shown_without_values(detail: str, shown: str) -> None:
    assert masked(detail) == shown
