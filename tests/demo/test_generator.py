from __future__ import annotations

import json
from collections import Counter
from itertools import chain, pairwise
from typing import Any

import pytest

from agent.demo import story
from agent.demo.generator import BACKFILL_SECONDS, FEEDS, TICK_MS, Company, Message

START_MS = 1_767_225_600_000
DAY_TICKS = int(story.DAY_SECONDS * 1000 / TICK_MS)


@pytest.fixture(scope="module")
def company() -> Company:
    return Company(START_MS)


@pytest.fixture(scope="module")
def day(company: Company) -> list[Message]:
    return list(company.between(0, DAY_TICKS))


def at_seconds(message: Message) -> float:
    return (message.sent_ms - START_MS) / 1000


def good(messages: list[Message], topic: str) -> list[tuple[float, dict[str, Any]]]:
    """The events of a topic that can be read, with the second in which they were sent."""
    events = []
    for message in messages:
        try:
            event = json.loads(message.value) if message.topic == topic else None
        except ValueError:
            continue
        if event is not None:
            events.append((at_seconds(message), event))
    return events


def test_the_same_seed_gives_the_same_messages(company: Company) -> None:
    again = Company(START_MS)
    assert list(again.between(-50, 50)) == list(company.between(-50, 50))


def test_another_seed_gives_other_messages(company: Company) -> None:
    other = Company(START_MS, seed=2)
    assert list(other.between(0, 50)) != list(company.between(0, 50))


def test_how_time_is_cut_changes_nothing(company: Company) -> None:
    cuts = [0, 1, 2, 17, 40, 99, 100]
    parts = [company.between(a, b) for a, b in pairwise(cuts)]
    assert list(chain(*parts)) == list(company.between(0, 100))


def test_history_reaches_back_from_the_start(company: Company) -> None:
    assert company.first_tick == -BACKFILL_SECONDS * 1000 // TICK_MS
    assert company.tick_of(START_MS) == 0
    first = next(iter(company.between(company.first_tick, 0)))
    assert 0 <= first.sent_ms - (START_MS - BACKFILL_SECONDS * 1000) < 1000


def test_every_feed_speaks_its_share(day: list[Message]) -> None:
    per_second = Counter(m.topic for m in day)
    expected = {"visits": 26.0, "orders": 6.5, "support": 6.0, "work": 3.0}
    for topic, rate in expected.items():
        assert per_second[topic] / story.DAY_SECONDS == pytest.approx(rate, rel=0.1)
    assert set(per_second) == {feed.topic for feed in FEEDS}


def test_emea_waits_long_while_its_desk_is_ill_and_nowhere_else(day: list[Message]) -> None:
    def waits(region: str, begin: float, end: float) -> float:
        values = [
            event["response_seconds"]
            for second, event in good(day, "support")
            if begin <= second < end
            and event["region"] == region
            and event["channel"] != "bot"
            and isinstance(event["response_seconds"], float)
        ]
        return sum(values) / len(values)

    assert waits("emea", 20, 45) > 450
    assert waits("emea", 60, 160) < 200
    assert waits("amer", 20, 45) < 200


def test_no_feedback_comes_while_its_provider_is_down(day: list[Message]) -> None:
    seconds = [at_seconds(m) for m in day if m.topic == "feedback"]
    assert [s for s in seconds if story.FEEDBACK_SILENT.holds(s)] == []
    assert max(s for s in seconds if s < 95) > 90
    assert min(s for s in seconds if s > 95) < 150


def test_the_app_sells_next_to_nothing_while_its_checkout_is_broken(day: list[Message]) -> None:
    def orders_each_visit(channel: str) -> float:
        counts = Counter(
            topic
            for topic in ("orders", "visits")
            for second, event in good(day, topic)
            if story.CHECKOUT_BROKEN.holds(second) and event.get("channel") == channel
        )
        return counts["orders"] / counts["visits"]

    assert orders_each_visit("app") < 0.08
    assert orders_each_visit("web") > 0.18


def test_a_little_of_everything_goes_wrong(day: list[Message]) -> None:
    total = len(day)
    unreadable = late = unknown = 0
    for message in day:
        try:
            event = json.loads(message.value)
        except ValueError:
            unreadable += bool(message.value)
            continue
        unknown += event["type"].endswith(".test")
        times = [event.get(feed.time_field) for feed in FEEDS]
        stamp = next((t for t in times if isinstance(t, int)), None)
        late += stamp is not None and message.sent_ms - stamp >= 40_000
    assert 0.002 < unreadable / total < 0.01
    assert 0.002 < unknown / total < 0.01
    assert late > 10
    assert any(message.value == b"" for message in day)
    repeated = sum(n - 1 for n in Counter((m.topic, m.value) for m in day if m.value).values())
    assert 0.005 < repeated / total < 0.02


def test_events_are_at_most_three_seconds_old_unless_they_are_meant_to_be_late(
    day: list[Message],
) -> None:
    ages = [
        message.sent_ms - event["started_at"]
        for message in day
        if message.topic == "visits"
        for event in [_read(message.value)]
        if event and isinstance(event.get("started_at"), int)
    ]
    assert all(0 <= age <= 3_000 or 40_000 <= age <= 90_000 for age in ages)


def _read(value: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(value))
    except ValueError:
        return None
