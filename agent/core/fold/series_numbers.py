"""Numbers the series of a `KpiFold` in order of appearance, so that partials are rows of arrays.

Long dimension values are shortened to a prefix and a digest: a value is part of every row, frame
and label of its series. The digest keeps different series separate.
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints, object_column
from agent.core.frame import series_key
from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, Kpi, dimension_of
from agent.core.placement import state_partition

MAX_VALUE_BYTES = 1_024
"""The maximum length of a dimension's value in UTF-8; also stated in docs/rules.md."""
DIGEST_CHARACTERS = 32
"""Hexadecimal digits of SHA-256: 128 bits, so that no two values collide."""
_MARK = "…"
_KEPT_BYTES = MAX_VALUE_BYTES - len(_MARK.encode()) - DIGEST_CHARACTERS


def shortened(dimensions: Dimensions) -> Dimensions:
    """The dimensions with values that are too long shortened; the same object if none is."""
    if not any(_is_long(value) for value in dimensions):
        return dimensions
    return tuple(_cut(value) if _is_long(value) else value for value in dimensions)


def _is_long(value: Scalar) -> bool:
    if not isinstance(value, str) or len(value) * 4 <= MAX_VALUE_BYTES:
        return False
    return len(value.encode()) > MAX_VALUE_BYTES


def _cut(value: Scalar) -> str:
    data = str(value).encode()
    digest = hashlib.sha256(data).hexdigest()[:DIGEST_CHARACTERS]
    return data[:_KEPT_BYTES].decode(errors="ignore") + _MARK + digest


_NUMBER = "_number"


class SeriesNumbers:
    """The numbered series: `keys` and `partitions` have the key and the state partition of each.
    `shortened`: the number of series that had a value that was too long."""

    def __init__(self, kpi: Kpi, state_partitions: int) -> None:
        self._kpi = kpi
        self._by = list(kpi.by)
        self._state_partitions = state_partitions
        self._known = pl.DataFrame()
        self.shortened = 0
        self.keys = np.zeros(0, object)
        self.partitions = np.zeros(0, np.int64)
        if not self._by:
            self._add([()])

    @property
    def count(self) -> int:
        """The number of series."""
        return len(self.keys)

    def numbers_of(self, table: pl.DataFrame) -> Ints:
        """The number of the series of each row."""
        if not self._by:
            return np.zeros(table.height, np.int64)
        keys = table[self._by]
        known = self._numbers_of_known(keys) if self._known.height else None
        if known is None or known.null_count():
            fresh = keys if known is None else keys.filter(known.is_null())
            # Groups are in any order; sorted, the same log gives the same frames.
            fresh = fresh.unique().sort(self._by)
            numbers = pl.int_range(self.count, self.count + fresh.height, eager=True)
            self._add(fresh.rows())
            fresh = fresh.with_columns(numbers.alias(_NUMBER))
            self._known = pl.concat([self._known, fresh]) if self._known.height else fresh
            known = self._numbers_of_known(keys)
        return known.to_numpy()

    def keep(self, numbers: Ints) -> None:
        """Drop all series except those with these numbers, ascending, and number them again."""
        if self._by:
            renumbered = pl.int_range(len(numbers), dtype=pl.Int64).alias(_NUMBER)
            self._known = self._known[numbers].with_columns(renumbered)
            self.keys, self.partitions = self.keys[numbers], self.partitions[numbers]

    def _numbers_of_known(self, keys: pl.DataFrame) -> pl.Series:
        """The number of the series of each row; null where it is new."""
        joined = keys.join(
            self._known, on=self._by, how="left", nulls_equal=True, maintain_order="left"
        )
        return joined[_NUMBER]

    def _add(self, values: list[Dimensions]) -> None:
        named = [tuple(map(dimension_of, key)) for key in values]
        dimensions = [shortened(key) for key in named]
        self.shortened += sum(a is not b for a, b in zip(named, dimensions, strict=True))
        partitions = [state_partition(self._kpi, key, self._state_partitions) for key in dimensions]
        self.keys = np.concatenate(
            [self.keys, object_column([series_key(key) for key in dimensions])]
        )
        self.partitions = np.concatenate([self.partitions, np.array(partitions, np.int64)])
