"""Workload W has the shape that the report says it has."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.workload import (
    DISORDER_MS,
    FIRST_MS,
    LATENESS_MS,
    WINDOW_MS,
    Keys,
    Shape,
    chunk,
    closing,
)

SHAPE = Shape(events=20_000)


@pytest.fixture(scope="module")
def events() -> list[dict]:
    return [json.loads(text) for text in chunk(SHAPE, 0, SHAPE.events)["json"]]


def test_the_same_seed_gives_the_same_events() -> None:
    assert chunk(SHAPE, 0, 100).equals(chunk(SHAPE, 0, 100))
    assert not chunk(SHAPE, 0, 100).equals(chunk(Shape(seed=2), 0, 100))


def test_half_are_orders_a_third_tickets_the_rest_feedback(events: list[dict]) -> None:
    share = {
        kind: round(sum(e["type"] == kind for e in events) / len(events), 1)
        for kind in ("order.completed", "ticket.answered", "feedback.submitted")
    }
    assert share == {"order.completed": 0.5, "ticket.answered": 0.3, "feedback.submitted": 0.2}


def test_each_kind_has_its_own_number(events: list[dict]) -> None:
    numbers = {
        (e["type"], name)
        for e in events
        for name in ("amount", "response_seconds", "score")
        if name in e
    }
    assert numbers == {
        ("order.completed", "amount"),
        ("ticket.answered", "response_seconds"),
        ("feedback.submitted", "score"),
    }


def test_events_are_about_155_bytes() -> None:
    texts = chunk(SHAPE, 0, SHAPE.events)["json"]
    assert 150 <= texts.str.len_bytes().mean() <= 160


def test_times_are_3_ms_apart_and_at_most_2_s_out_of_order(events: list[dict]) -> None:
    late = [e["at"] - (FIRST_MS + i * 3) for i, e in enumerate(events)]
    assert (min(late) >= 0, max(late) <= DISORDER_MS) == (True, True)


def test_the_closing_event_is_just_past_the_last_window(events: list[dict]) -> None:
    at = json.loads(closing(SHAPE))["at"]
    last_end = max(e["at"] for e in events) // WINDOW_MS * WINDOW_MS + WINDOW_MS
    assert at == last_end + LATENESS_MS


def test_skewed_keys_change_nothing_but_the_customer(events: list[dict]) -> None:
    def customers(keys: Keys) -> list[str]:
        generated = [
            json.loads(t) for t in chunk(replace(SHAPE, keys=keys), 0, SHAPE.events)["json"]
        ]
        published = [e.pop("customer") for e in generated]
        assert generated == [{k: v for k, v in e.items() if k != "customer"} for e in events]
        return published

    hot, zipf, even = (customers(keys) for keys in ("hot", "zipf", "uniform"))
    shares = [max(Counter(published).values()) / len(published) for published in (hot, zipf, even)]
    assert shares[0] == pytest.approx(0.9, abs=0.01)
    assert shares[1] == pytest.approx(0.088, abs=0.01)  # 1 / H(50,000)
    assert shares[2] < 0.001
