"""The slices of a KPI that are not sealed: a table of blocks, and what is known after each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import Block, dimensions_of_key, series_key
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.model.kpis import Dimensions, Kpi
from tests.core.simulated import EVENTS, START_MS, plan_of

MINUTE_MS = 60_000
RULES = f"""{EVENTS}kpis:
  spent: {{from: sale, value: count(*), by: [customer], window: 10m every 2m}}
"""


def block(minute: int, customer: str, count: int, pane: int | None = None) -> Block:
    """What a source has of the slice that begins at a minute."""
    column = np.array([count], np.int64).tobytes()
    pane_ms = None if pane is None else START_MS + pane * MINUTE_MS
    key = [series_key((customer,))]
    return Block("spent", "", START_MS + minute * MINUTE_MS, key, [column], pane_ms)


def minutes(of: list[int] | set[int]) -> list[int]:
    return [(ms - START_MS) // MINUTE_MS for ms in sorted(of)]


def wanted(_: int, key: bytes) -> Dimensions | None:
    return dimensions_of_key(key)


@pytest.fixture
def kpi(tmp_path: Path) -> Kpi:
    made = plan_of(RULES, tmp_path).kpis["spent"]
    assert made.slice_ms == 2 * MINUTE_MS
    return made


@pytest.fixture
def slices(kpi: Kpi) -> UnsealedSlices:
    """Three slices: at 0 of two sources, at 4 of one, and rows of the pane at 0 that came late."""
    made = UnsealedSlices(kpi, Aggregator(kpi))
    made.update(block(0, "a", 1), 0, 10, wanted)
    made.update(block(4, "a", 5), 0, 11, wanted)
    made.update(block(0, "a", 2), 1, 12, wanted)
    made.update(block(4, "b", 7, pane=0), 1, 13, wanted)
    made.update(block(0, "a", 3), 0, 14, wanted)  # cumulative: it replaces the first
    return made


def test_a_slice_knows_its_first_frame_its_end_and_its_rows(slices: UnsealedSlices) -> None:
    assert sorted(slices.positions) == [10, 11, 13]
    assert minutes(slices.ends_ms) == [2, 6]
    assert minutes(slices.starts_ms) == [0, 4]
    assert slices.newest_ms == START_MS + 4 * MINUTE_MS
    assert slices.first_ms_of(("a",)) == START_MS
    assert slices.first_ms_of(("b",)) == START_MS + 4 * MINUTE_MS
    assert slices.first_ms_of(("nobody",)) is None


@pytest.mark.parametrize(
    ("frontier", "expected"), [(1, []), (2, [(0, 1)]), (5, [(0, 1)]), (6, [(0, 1), (4, 2)])]
)
def test_slices_end_in_order_late_rows_with_the_slice_that_stores_them(
    frontier: int, expected: list[tuple[int, int]], slices: UnsealedSlices
) -> None:
    ended = slices.ended(START_MS + frontier * MINUTE_MS)
    assert [((start - START_MS) // MINUTE_MS, len(keys)) for start, keys in ended] == expected


def test_a_sealed_slice_gives_all_states_of_a_series_and_is_gone(slices: UnsealedSlices) -> None:
    sealed = slices.pop(SliceKey(START_MS, False, START_MS))
    assert sorted(sealed.states()) == [(("a",), (2,)), (("a",), (3,))]
    assert sorted(slices.positions) == [11, 13]
    assert minutes(slices.ends_ms) == [6]
    late = slices.pop(SliceKey(START_MS + 4 * MINUTE_MS, True, START_MS))
    assert list(late.states()) == [(("b",), (7,))]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 2, {("a",): [(2,), (3,)]}),
        (4, 6, {("a",): [(5,)]}),
        (0, 6, {("a",): [(2,), (3,), (5,)], ("b",): [(7,)]}),
        (2, 4, {}),
    ],
)
def test_slices_between_two_instants_are_those_whose_rows_lie_there(
    start: int, end: int, expected: dict[Dimensions, list[tuple[int]]], slices: UnsealedSlices
) -> None:
    between = slices.between(START_MS + start * MINUTE_MS, START_MS + end * MINUTE_MS, None)
    assert {name: sorted(states) for name, states in between.items()} == expected


def test_a_change_is_drained_once(slices: UnsealedSlices) -> None:
    assert set(slices.drain_changed()) == {("a",), ("b",)}
    assert list(slices.drain_changed()) == []


def test_what_no_series_takes_makes_no_slice(kpi: Kpi) -> None:
    slices = UnsealedSlices(kpi, Aggregator(kpi))
    slices.update(block(0, "a", 1), 0, 10, lambda _, key: None)
    assert not slices.positions and slices.newest_ms is None
