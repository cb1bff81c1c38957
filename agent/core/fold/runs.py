"""Runs of equal values in arrays: the records of a batch are ordered by partition, then offset."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.fold.lateness import Bools


def segments(partitions: npt.NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Runs of equal partitions as (partition, start, stop)."""
    if not len(partitions):
        return
    cuts = np.flatnonzero(np.diff(partitions)) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(partitions)]):
        yield int(partitions[start]), start, stop


def first_of_each(values: Ints) -> Ints:
    """The index of the first occurrence of each value. A value may be found again after other
    values, which is rare in log order and harmless."""
    if not len(values):
        return values
    changes = np.flatnonzero(np.diff(values)) + 1
    if len(changes) < len(values) // 8:
        return np.concatenate(([0], changes))
    return np.unique(values, return_index=True)[1]


def filter_rows(table: pl.DataFrame, rows: Bools) -> pl.DataFrame:
    """The rows of a table for which a mask is true; the table itself if it is true for all."""
    return table if rows.all() else table.filter(pl.Series(rows))
