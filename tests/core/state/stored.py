"""Rows of single series, for tests that look into tables."""

from __future__ import annotations

from agent.core.state.rows import SeriesRows
from agent.core.state.series import Series


def row_of(series: Series) -> bytes:
    """The row of a small series."""
    [(_, row)] = SeriesRows().write(series)
    assert row is not None
    return row


def series_of(key: bytes, row: bytes) -> Series:
    """The series of a row."""
    [(_, series)], _ = SeriesRows().read([(key, row)])
    return series
