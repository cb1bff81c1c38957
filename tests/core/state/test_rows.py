"""How the rows of the state are versioned, and how large ones are cut."""

from __future__ import annotations

import random

import msgspec
import pytest

from agent.core.state.rows import (
    CUT_BYTES,
    MAX_ROW_BYTES,
    VERSION,
    DamagedRow,
    SeriesRows,
    UnknownVersion,
    is_part,
    row_key,
)
from agent.core.state.series import Series
from tests.core.state.stored import row_of, series_of

KEY = row_key("buyers", ("emea",))


def series_with(panes: dict[int, int], seed: int = 0) -> Series:
    """A series whose panes hold so many bytes each."""
    draw = random.Random(seed)
    series = Series.new("buyers", "f", ("emea",), 0)
    series.panes = {start: (7, draw.randbytes(size)) for start, size in panes.items()}
    return series


def apply(table: dict[bytes, bytes], writes: list[tuple[bytes, bytes | None]]) -> None:
    for key, row in writes:
        if row is None:
            table.pop(key, None)
        else:
            table[key] = row


def test_a_row_says_its_version_first() -> None:
    assert row_of(series_with({0: 10}))[0] == VERSION


@pytest.mark.parametrize("row", [b"\x02\x00", b"\x91\x00", b""])
def test_a_row_of_another_version_is_named_and_not_guessed_at(row: bytes) -> None:
    with pytest.raises(UnknownVersion, match=r'KPI buyers, series \["emea"\] has version \d+'):
        SeriesRows().read([(KEY, row)])


def test_a_row_that_is_not_what_its_version_says_is_named() -> None:
    with pytest.raises(DamagedRow, match=r'KPI buyers, series \["emea"\] is damaged'):
        SeriesRows().read([(KEY, bytes([VERSION]) + b"\x00nonsense")])


@pytest.mark.parametrize(
    "panes",
    [
        pytest.param(dict.fromkeys(range(0, 600_000, 10_000), 32_000), id="sketches"),
        pytest.param(dict.fromkeys(range(0, 86_400_000, 10_000), 12), id="many small panes"),
        pytest.param({0: 3_000_000, 10_000: 5}, id="one pane larger than a message"),
    ],
)
def test_a_large_series_is_cut_into_rows_that_a_broker_takes(panes: dict[int, int]) -> None:
    series = series_with(panes)
    rows = list(SeriesRows().write(series))
    assert len(rows) > 1
    assert all(row is not None and len(row) <= MAX_ROW_BYTES + 100 for _, row in rows)
    restored, orphans = SeriesRows().read([(key, row or b"") for key, row in rows])
    assert ([(key, msgspec.to_builtins(row)) for key, row in restored], orphans) == (
        [(KEY, msgspec.to_builtins(series))],
        [],
    )


def test_a_pane_that_did_not_change_is_not_written_again() -> None:
    store, series = SeriesRows(), series_with(dict.fromkeys(range(0, 600_000, 10_000), 32_000))
    first = sum(len(row or b"") for _, row in store.write(series))
    del series.panes[0]
    series.panes[600_000] = (7, bytes(32_000))
    writes = list(store.write(series))
    assert first > 1_900_000
    assert sum(len(row or b"") for _, row in writes) < 150_000


def test_any_first_part_of_what_is_written_leaves_a_series_whole() -> None:
    draw = random.Random(5)
    store, table = SeriesRows(), dict[bytes, bytes]()
    series = series_with(dict.fromkeys(range(0, 300_000, 10_000), 8_000))
    for step in range(40):
        before = msgspec.to_builtins(series) if step else None
        for start in sorted(series.panes)[: draw.randint(0, 2)]:
            del series.panes[start]
        size = draw.choice([10, 8_000, 30_000]) if step % 10 else 1_200_000
        series.panes[300_000 + 10_000 * step] = (step, draw.randbytes(size))
        writes = list(store.write(series))
        for count in range(len(writes) + 1):
            partly = dict(table)
            apply(partly, writes[:count])
            for _, read in SeriesRows().read(partly.items())[0]:
                assert msgspec.to_builtins(read) in (before, msgspec.to_builtins(series))
        apply(table, writes)
    series.panes = {0: (1, b"")}
    apply(table, list(store.write(series)))
    assert list(table) == [KEY]


def test_parts_that_no_row_lists_are_found_to_be_deleted() -> None:
    writes = list(SeriesRows().write(series_with({0: CUT_BYTES})))
    parts = [(key, row or b"") for key, row in writes if is_part(key)]
    assert SeriesRows().read(parts) == ([], [key for key, _ in parts])


def test_a_row_whose_part_is_missing_is_not_taken_for_whole() -> None:
    writes = list(SeriesRows().write(series_with({0: CUT_BYTES})))
    with pytest.raises(DamagedRow, match="a part of its row is missing"):
        SeriesRows().read([(key, row or b"") for key, row in writes[1:]])


def test_a_deleted_series_takes_its_parts_with_it() -> None:
    table: dict[bytes, bytes] = {}
    apply(table, list(SeriesRows().write(series_with({0: CUT_BYTES}))))
    store = SeriesRows()
    store.read(table.items())
    apply(table, list(store.delete(KEY)))
    assert table == {}


def test_a_small_series_is_one_row() -> None:
    series = series_with({0: 100})
    assert msgspec.to_builtins(series_of(KEY, row_of(series))) == msgspec.to_builtins(series)
