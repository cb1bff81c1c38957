"""Series are numbered in order of appearance; a dimension's value is at most 1,024 bytes long, and
a longer one keeps a series of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.core.fold.series_numbers import MAX_VALUE_BYTES, SeriesNumbers, shortened
from agent.core.frame import dimensions_of_key
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale, settle
from tests.core.small_plans import kpi


def regions(*values: str | None) -> pl.DataFrame:
    return pl.DataFrame({"region": pl.Series(values, dtype=pl.String)})


def test_a_series_keeps_the_number_that_it_had_when_it_appeared() -> None:
    series = SeriesNumbers(kpi(), 4)
    assert series.numbers_of(regions("us", "eu", "us")).tolist() == [1, 0, 1]
    assert series.numbers_of(regions("apac", "eu", None)).tolist() == [3, 0, 2]
    assert [dimensions_of_key(key) for key in series.keys] == [
        ("eu",), ("us",), (None,), ("apac",)
    ]  # fmt: skip
    assert series.count == len(series.partitions) == 4
    assert set(series.partitions.tolist()) <= set(range(4))


def test_series_that_are_kept_are_numbered_again() -> None:
    series = SeriesNumbers(kpi(), 1)
    series.numbers_of(regions("a", "b", "c"))
    series.keep(np.array([0, 2]))
    assert series.numbers_of(regions("c", "a")).tolist() == [1, 0]
    assert series.numbers_of(regions("b")).tolist() == [2]


def test_a_kpi_without_dimensions_has_one_series() -> None:
    series = SeriesNumbers(kpi(by=()), 3)
    assert series.count == 1
    assert series.numbers_of(pl.DataFrame({"_row": [0, 1]})).tolist() == [0, 0]


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
