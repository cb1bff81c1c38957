"""Rows keep an alert's change until every rule that depends on it has consumed it durably."""

from __future__ import annotations

from agent.core.evaluate.change_journal import ChangeJournal, consumed_by_rows, pending
from agent.core.evaluate.subscription import Subscription
from agent.core.state.series import FiringChange, Series
from tests.core.evaluate.alerts import change


def row(*changes: FiringChange, consumed_ms: dict[str, int] | None = None) -> Series:
    series = Series.new("response_time", "", ("emea",), 0)
    for each in changes:
        series.add_change(each)
    series.keep_changes(list(changes), consumed_ms or {})
    return series


def test_a_change_is_dropped_once_all_its_readers_have_consumed_it_durably() -> None:
    first, second = Subscription("first", []), Subscription("second", [])
    journal, series = ChangeJournal([first, second]), row(change(10, True), change(20, False))

    def kept_ms() -> list[int]:
        journal.prune(series, lambda _series, _change: [first, second])
        return [c.at_ms for c in series.firing_changes]

    first.settle(20)
    second.settle(10)
    assert kept_ms() == [10, 20]  # consumed, but the results are in no row yet
    journal.mark_durable()
    assert kept_ms() == [20]
    assert series.consumed_ms == {"first": 20, "second": 10}
    second.settle(20)
    journal.mark_durable()
    assert kept_ms() == []


def test_a_change_that_no_rule_reads_is_dropped() -> None:
    series = row(change(10, True))
    ChangeJournal([]).prune(series, lambda _series, _change: [])
    assert series.firing_changes == []


def test_a_subscription_has_consumed_what_any_row_says() -> None:
    rows = [row(consumed_ms={"first": 10, "second": 5}), row(consumed_ms={"first": 7}), row()]
    assert consumed_by_rows(rows) == {"first": 10, "second": 5}


def test_pending_changes_are_those_of_a_rule_after_an_instant() -> None:
    own = change(30, True, own=True)
    series = row(change(10, True), change(20, False), own)
    assert [c.at_ms for c in pending(series, "rule", None)] == [10, 20]
    assert [c.at_ms for c in pending(series, "rule", 10)] == [20]
    assert pending(series, "rule", None, own=True) == [own]
    assert pending(series, "other", None) == []
