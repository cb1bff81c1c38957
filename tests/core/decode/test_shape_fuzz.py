"""Columns say of records in all shapes what a reading of each says, and faults planted in them are
found."""

from itertools import islice
from typing import Any

import numpy as np
import polars as pl
import pytest

from agent.core.decode import column_extraction, layout, record_columns, view_columns
from agent.core.decode.view_columns import ViewColumns
from tests.core.decode.shape_fuzz import SETS, differences, left_share

COUNT = 4_000


def test_columns_say_what_a_reading_of_each_record_says() -> None:
    assert list(islice(differences(seed=7, count=COUNT), 3)) == []


@pytest.mark.parametrize("name", SETS)
def test_good_records_are_read_by_columns(name: str) -> None:
    assert left_share(name) == 0


def _nothing_doubtful(*arguments: Any) -> Any:
    return np.zeros(len(arguments[2].values), np.bool_)


def _never_wrong(*arguments: Any) -> Any:
    values, rows = record_columns.record_column(*arguments)
    return values, rows[:0]


def _lacks_all(records: Any, _: Any) -> Any:
    return pl.Series([True] * len(records), dtype=pl.Boolean)


def _all_plain(values: pl.Series, *_: Any) -> Any:
    return values


FAULTS: dict[str, tuple[object, str, Any]] = {
    "every text was a string": (column_extraction, "unproven", _nothing_doubtful),
    "any text of a header is what is asked for": (column_extraction, "record_column", _never_wrong),
    "wrong types are taken": (layout.Layout, "is_proven", lambda *_: True),
    "records of any look are viewed": (ViewColumns, "is_viewed", lambda *_: pl.lit(True)),
    "decimals in a schema are not seen": (column_extraction, "_lack", _lacks_all),
    "units in a schema are not seen": (column_extraction, "with_units", _all_plain),
    "a number is a time of day": (view_columns, "times_of_day", lambda _: []),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, replacement = FAULTS[fault]
    monkeypatch.setattr(place, name, replacement)
    try:
        assert next(differences(seed=7, count=5 * COUNT), None) is not None
    except (IndexError, pl.exceptions.PolarsError):
        return  # what is not proven can't even be read
