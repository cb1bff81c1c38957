"""Runs of equal values, in the order of the log."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from agent.core.fold.runs import filter_rows, first_of_each, segments

SEGMENTS: dict[str, tuple[list[int], list[tuple[int, int, int]]]] = {
    "no record": ([], []),
    "one partition": ([3, 3, 3], [(3, 0, 3)]),
    "several": ([0, 0, 2, 5, 5], [(0, 0, 2), (2, 2, 3), (5, 3, 5)]),
    "a partition that comes back": ([1, 2, 1], [(1, 0, 1), (2, 1, 2), (1, 2, 3)]),
}


@pytest.mark.parametrize("case", SEGMENTS)
def test_segments_are_runs_of_one_partition(case: str) -> None:
    partitions, expected = SEGMENTS[case]
    assert list(segments(np.array(partitions, np.int32))) == expected


@pytest.mark.parametrize("values", [[], [7], [1, 1, 2, 2, 2, 9], list(range(100)), [4] * 100])
def test_the_first_of_each_value_is_found(values: list[int]) -> None:
    firsts = [i for i, value in enumerate(values) if value not in values[:i]]
    assert first_of_each(np.array(values, np.int64)).tolist() == firsts


def test_a_value_may_be_found_again_after_others_if_values_seldom_change() -> None:
    values = np.array([1] * 10 + [2] * 10 + [1] * 10, np.int64)
    assert first_of_each(values).tolist() == [0, 10, 20]


def test_a_table_is_copied_only_if_rows_are_dropped() -> None:
    table = pl.DataFrame({"n": [1, 2, 3]})
    assert filter_rows(table, np.array([True, True, True])) is table
    assert filter_rows(table, np.array([True, False, True]))["n"].to_list() == [1, 3]
