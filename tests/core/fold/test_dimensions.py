"""A dimension's value is at most 1,024 bytes long; what is longer keeps a series of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.fold.series_numbers import MAX_VALUE_BYTES, shortened
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale, settle


@pytest.mark.parametrize("value", ["", "eu", "x" * 1_024, "é" * 512, 7, True, None])
def test_a_value_that_is_short_enough_stays(value: str | int | None) -> None:
    dimensions = (value, "other")
    assert shortened(dimensions) is dimensions


@pytest.mark.parametrize("value", ["x" * 1_025, "é" * 513, "日" * 100_000, "x" * 1_023 + "é"])
def test_a_value_that_is_too_long_is_cut_and_distinguished(value: str) -> None:
    (short, other) = shortened((value, "other"))
    assert isinstance(short, str)
    assert len(short.encode()) <= MAX_VALUE_BYTES
    assert short.startswith(value[:300])
    assert other == "other"
    assert shortened((value + "!",)) != (short,)
    assert shortened((short,)) == (short,)


def test_an_event_with_a_long_value_counts_in_a_series_of_its_own(tmp_path: Path) -> None:
    kpis = """
kpis:
  orders: {from: sale, value: count(*), window: 1m, by: [region]}
  all: {from: sale, value: count(*), window: 1m}
"""
    long = "r" * 160_000
    log = [
        sale(START_MS, 1.0, long, "c", "n1"),
        sale(START_MS + 1, 1.0, long, "c", "n2"),
        sale(START_MS + 2, 1.0, long + "s", "c", "n3"),
        sale(START_MS + 200_000, 1.0, "eu", "c", "n4"),
    ]
    world = World(plan_of(EVENTS + kpis, tmp_path), [log])
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    assert worker.folders["shop"].shortened() == {"orders": 2, "all": 0}
    assert max(len(frame) for frames in world.frames for frame in frames) < 10_000
    settle(world)
    counts = [v[1] for key, v in world.windows().items() if key[0] == "orders" and v[1]]
    assert sorted(counts) == [1, 2]
    assert [v[1] for key, v in world.windows().items() if key[0] == "all" and v[1]] == [3]
