"""What a state partition owes to its table: the contract at the head of `row_store`."""

from __future__ import annotations

from agent.core.merge.row_store import ROUND_WINDOWS, UNKNOWN_KEPT_MS, RowStore
from agent.core.model.kpis import SeriesRef
from agent.core.model.results import WindowValue
from agent.core.state.rows import Write, row_key
from agent.core.state.series import Series

EMEA: SeriesRef = ("revenue", ("emea",))
APAC: SeriesRef = ("revenue", ("apac",))
RATIO: SeriesRef = ("ratio", ("emea",))


class Table:
    """The series that a partition holds, and the rows that were written."""

    def __init__(self) -> None:
        self.store = RowStore({"revenue": 0, "ratio": 1})
        self.series = {ref: Series.new(*_named(ref), 0) for ref in (EMEA, APAC, RATIO)}

    def writes(self, before: tuple[Write, ...] = ()) -> list[Write]:
        return self.store.writes(self.series.get, before, lambda series: None)

    def keys(self) -> list[tuple[bytes, bool]]:
        """The keys of a round, and whether each is deleted."""
        return [(key, row is None) for key, row in self.writes()]

    def restarted(self, writes: list[Write]) -> RowStore:
        """Another store, restored from rows."""
        store = RowStore({"revenue": 0, "ratio": 1})
        for _, series in store.read((key, row) for key, row in writes if row is not None):
            store.replay_last(series)
        return store


def _named(ref: SeriesRef) -> tuple[str, str, tuple[object, ...] | None]:
    return ref[0], "fingerprint", ref[1]


def window(value: float) -> WindowValue:
    return WindowValue("revenue", ("emea",), 0, 60_000, value, 1)


def test_a_round_writes_what_changed_and_owes_nothing_after() -> None:
    table = Table()
    table.store.note_changed(EMEA)
    assert table.keys() == [(row_key(*EMEA), False)]
    assert table.keys() == []


def test_kpis_over_others_are_written_before_their_inputs() -> None:
    table = Table()
    for ref in (EMEA, RATIO):
        table.store.note_changed(ref)
    assert table.keys() == [(row_key(*RATIO), False), (row_key(*EMEA), False)]


def test_the_row_of_an_expired_series_is_deleted_one_round_later() -> None:
    table = Table()
    table.store.note_changed(EMEA)
    table.store.note_expired(EMEA)
    assert table.keys() == []
    assert table.keys() == [(row_key(*EMEA), True)]
    assert table.keys() == []


def test_a_series_that_comes_back_before_its_row_is_deleted_keeps_it() -> None:
    table = Table()
    table.store.note_expired(EMEA)
    assert table.keys() == []
    table.store.note_changed(EMEA)
    assert table.keys() == [(row_key(*EMEA), False)]
    assert table.keys() == []


def test_what_a_row_emitted_last_is_emitted_once_more_after_a_restart() -> None:
    table = Table()
    table.store.note_emitted(EMEA, [window(7.0)])
    store = table.restarted(table.writes())
    assert store.drain_replay().windows == (window(7.0),)
    assert store.drain_replay().windows == ()


def test_a_round_that_was_cut_short_repeats_what_it_repeated() -> None:
    table = Table()
    table.store.note_emitted(EMEA, [window(7.0)])
    store = table.restarted(table.writes())
    store.drain_replay()
    store.note_emitted(EMEA, [window(8.0)])
    again = table.restarted(store.writes(table.series.get, (), lambda series: None))
    assert again.drain_replay().windows == (window(7.0), window(8.0))


def test_unknown_rows_are_deleted_only_after_a_rolling_restart() -> None:
    table = Table()
    table.store.keep_unknown(b"unknown")
    table.store.expire_unknown(1_000)
    table.store.expire_unknown(1_000 + UNKNOWN_KEPT_MS)
    assert table.keys() == []
    table.store.expire_unknown(1_001 + UNKNOWN_KEPT_MS)
    assert table.keys() == [(b"unknown", True)]


def test_an_unknown_row_that_is_written_again_is_not_deleted() -> None:
    table = Table()
    table.store.keep_unknown(row_key(*EMEA))
    table.store.expire_unknown(1_000)
    table.store.note_changed(EMEA)
    table.store.expire_unknown(2_000 + UNKNOWN_KEPT_MS)
    assert table.keys() == [(row_key(*EMEA), False)]


def test_deletions_go_first_then_what_must_be_before_the_series() -> None:
    table = Table()
    table.store.delete([row_key(*APAC)])
    table.store.note_changed(EMEA)
    keys = [key for key, _ in table.writes(((b"marker", b"row"),))]
    assert keys == [row_key(*APAC), b"marker", row_key(*EMEA)]


def test_a_round_is_due_once_many_windows_are_in_no_row() -> None:
    table = Table()
    table.store.note_emitted(EMEA, [window(1.0)] * (ROUND_WINDOWS - 1))
    assert not table.store.is_full
    table.store.note_emitted(APAC, [window(1.0)])
    assert table.store.is_full
    table.writes()
    assert not table.store.is_full
