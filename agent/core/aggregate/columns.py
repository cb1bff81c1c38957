"""Columns of partial states as numpy arrays, and their conversion from polars and to Python.

There are three dtypes: `INT`, `FLOAT`, and `OBJECT` (sketches as bytes). A missing value is
`NO_INT`, NaN or None (`MISSING`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

INT = np.dtype("<i8")
FLOAT = np.dtype("<f8")
OBJECT = np.dtype(object)
NO_INT = int(np.iinfo(np.int64).min)

Column = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

DTYPES: dict[type[pl.DataType], np.dtype[Any]] = {
    pl.Int64: INT,
    pl.Float64: FLOAT,
    pl.Binary: OBJECT,
}
MISSING: dict[np.dtype[Any], Any] = {INT: NO_INT, FLOAT: np.nan, OBJECT: None}


def object_column(values: Sequence[bytes | None]) -> Column:
    """A column of sketches."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def from_polars(values: pl.Series) -> Column:
    """A column from a series of Int64, Float64 or Binary."""
    if values.dtype == pl.Binary:
        return object_column(values.to_list())
    if values.null_count():
        values = values.fill_null(MISSING[DTYPES[type(values.dtype)]])
    return values.to_numpy()


def to_scalars(column: Column, nullable: bool) -> list[Any]:
    """The values as Python scalars; `nullable`: missing ones as None."""
    scalars: list[Any] = column.tolist()
    if not nullable or column.dtype == OBJECT:
        return scalars
    if column.dtype == INT:
        return [None if scalar == NO_INT else scalar for scalar in scalars]
    return [None if isnan(scalar) else scalar for scalar in scalars]
