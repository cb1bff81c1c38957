"""The core's steps in order: records in, windows out, as event time advances.

Two partitions of a topic, orders by region in windows of a minute, with a lateness of ten seconds.
Times are seconds after the first window began.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.core.model.results import Emitted, Outcome
from agent.core.pipeline import Pipeline, in_event_time_order
from tests.core.batches import batch_of
from tests.core.simulated import START_MS, plan_of

RULES = """
version: 1
defaults: {lateness: 10s, idle_after: 30s}
events:
  order: {topic: shop, time: at, fields: {region: string}}
kpis:
  orders: {from: order, value: count(*), by: [region], window: 1m}
rules:
  quiet: {kpi: orders, no_data_for: 3m}
"""
Closed = list[tuple[str, int, float | int | None]]


class Shop:
    """A pipeline over two partitions."""

    def __init__(self, folder: Path, until: int | None = None) -> None:
        until_ms = None if until is None else START_MS + until * 1_000
        self.pipeline = Pipeline(plan_of(RULES, folder), {"shop": 2}, until_ms=until_ms)
        self._offsets = [0, 0]

    def order(self, at: float, region: str = "oslo", partition: int = 0) -> None:
        value = {"type": "order", "at": START_MS + round(at * 1_000), "region": region}
        batch = batch_of("shop", [msgspec.json.encode(value)], partition, self._offsets[partition])
        self.pipeline.add(batch)
        self._offsets[partition] += 1


def closed(emitted: Emitted) -> Closed:
    """The windows: region, the second at which each ends, and value."""
    return [
        (str(w.dimensions[0]), (w.end_ms - START_MS) // 1_000, w.value) for w in emitted.windows
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_window_closes_once_all_partitions_have_passed_its_end_and_the_lateness(
    shop: Shop,
) -> None:
    shop.order(5)
    shop.order(70)
    shop.order(69.9, "bergen", partition=1)
    assert closed(shop.pipeline.flush()) == []
    shop.order(70, "bergen", partition=1)
    assert closed(shop.pipeline.flush()) == [("oslo", 60, 1)]
    assert [(w.dimensions, w.value) for w in shop.pipeline.open_windows()] == [
        (("oslo",), 1), (("bergen",), 2)
    ]  # fmt: skip
    assert {view.dimensions for view in shop.pipeline.views()} == {("oslo",), ("bergen",)}


def test_a_partition_that_has_ended_does_not_hold_back_the_others(shop: Shop) -> None:
    shop.order(5)
    shop.order(70)
    assert closed(shop.pipeline.flush()) == []
    shop.pipeline.end("shop", 1)
    assert closed(shop.pipeline.finish()) == [("oslo", 60, 1)]


def test_at_the_end_all_windows_close_that_the_latest_event_has_passed(shop: Shop) -> None:
    shop.order(5)
    shop.order(100, "bergen", partition=1)
    for partition in range(2):
        shop.pipeline.end("shop", partition)
    assert closed(shop.pipeline.finish()) == [("oslo", 60, 1)]
    # All sources were idle for a minute: event time advances by it.
    assert closed(shop.pipeline.finish(idle_ms=60_000)) == [("oslo", 120, 0), ("bergen", 120, 1)]


def test_event_time_can_advance_without_events_up_to_which_absence_is_evaluated(
    shop: Shop,
) -> None:
    shop.order(5)
    emitted = shop.pipeline.advance_to(START_MS + 300_000)
    assert closed(emitted)[:2] == [("oslo", 60, 1), ("oslo", 120, 0)]
    assert [(t.rule, t.state.value) for t in emitted.transitions] == [("quiet", "firing")]


def test_windows_that_end_after_until_stay_open(tmp_path: Path) -> None:
    shop = Shop(tmp_path, until=60)
    for partition in range(2):
        shop.order(5, partition=partition)
        shop.order(500, partition=partition)
    assert closed(shop.pipeline.flush()) == [("oslo", 60, 2)]


def test_outcomes_are_counted_and_a_source_knows_when_all_later_records_are_late(
    shop: Shop,
) -> None:
    shop.order(100)
    assert shop.pipeline.newest_ms == START_MS + 100_000
    assert shop.pipeline.is_past("shop", 0, START_MS + 90_000)
    assert not shop.pipeline.is_past("shop", 0, START_MS + 90_001)
    assert not shop.pipeline.is_past("shop", 1, START_MS)
    shop.order(5)
    counts = {outcome: number for (outcome, _, _), number in shop.pipeline.counts.items()}
    assert counts == {Outcome.FOLDED: 1, Outcome.LATE: 1}


def test_results_of_several_calls_are_put_in_event_time_order(shop: Shop) -> None:
    for partition, region in enumerate(("oslo", "bergen")):
        shop.order(5, region, partition)
        shop.order(70, region, partition)
    first = shop.pipeline.flush()
    for partition in range(2):
        shop.order(200, partition=partition)
    second = shop.pipeline.flush()
    both = in_event_time_order([second, first])
    assert [w.end_ms for w in both.windows] == sorted(
        w.end_ms for w in (*first.windows, *second.windows)
    )
