"""The rows of a lookup in a topic: which is valid when, and what compaction changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.decode.batch import Batch
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.model.lookups import FROM, UNTIL, Lookup, LookupTopic

BASE_MS = 1_760_000_000_000
"""Times here are ms since then: less would be taken for seconds."""

Record = tuple[int, str, dict[str, Any] | None]
"""Timestamp, key and value."""


def lookups(begins: str | None = None, ends: str | None = None) -> dict[str, Lookup]:
    schema = {"shop": pl.String(), "rate": pl.Float64(), FROM: pl.Int64(), UNTIL: pl.Int64()}
    topic = LookupTopic("rates", begins, ends)
    return {"rates": Lookup("rates", ("shop",), pl.DataFrame(schema=schema), True, {}, "", topic)}


def batch(records: Sequence[Record], offsets: Sequence[int] | None = None) -> Batch:
    return Batch(
        "rates",
        [None if value is None else json.dumps(shifted(value)).encode() for *_, value in records],
        np.zeros(len(records), np.int32),
        np.array(range(len(records)) if offsets is None else offsets, np.int64),
        np.array([BASE_MS + at for at, *_ in records], np.int64),
        keys=[key.encode() for _, key, _ in records],
    )


def shifted(value: dict[str, Any]) -> dict[str, Any]:
    since = value.get("since")
    return value | {"since": None if since is None else BASE_MS + since}


def read(records: Sequence[Record], offsets: Sequence[int] | None = None) -> LookupTopics:
    topics = LookupTopics(lookups("since"))
    if records:
        topics.add(batch(records, offsets))
    return topics


def valid(topics: LookupTopics, shop: str, at_ms: int, upto: int) -> float | None:
    """The rate of a shop, by rows that are sought one by one."""
    return rate_of(rows_of(topics, upto), shop, at_ms)


def rows_of(topics: LookupTopics, upto: int) -> list[dict[str, Any]]:
    return topics.rows("rates", {("rates", 0): upto}).to_dicts()


def rate_of(rows: Sequence[dict[str, Any]], shop: str, at_ms: int) -> float | None:
    at_ms += BASE_MS
    begun = [row for row in rows if row["shop"] == shop and row[FROM] <= at_ms]
    if not begun:
        return None
    last = max(begun, key=lambda row: row[FROM])
    return last["rate"] if last[UNTIL] is None or at_ms < last[UNTIL] else None


ROW = st.builds(
    lambda rate, since: {"rate": rate, "since": since},
    st.integers(1, 9).map(float),
    st.integers(1, 30),
)
RECORDS = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from("ab"), st.one_of(ROW, ROW, st.none())),
    max_size=12,
)


@given(RECORDS, st.integers(0, 12))
def test_compaction_changes_nothing_from_when_the_deleted_rows_were_superseded(
    drawn: list[Record], cleaned: int
) -> None:
    records = sorted(drawn, key=lambda record: record[0])
    newest = {key: i for i, (_, key, _) in enumerate(records[:cleaned])}
    left = [i for i in range(len(records)) if i >= cleaned or newest[records[i][1]] == i]
    whole = rows_of(read(records), len(records))
    compacted = rows_of(read([records[i] for i in left], left), len(records))
    for shop in "ab":
        begins = [
            record[0] if record[2] is None else record[2]["since"]
            for record in records[:cleaned]
            if record[1] == shop
        ]
        for at_ms in range(max(begins, default=0), 32):
            assert rate_of(compacted, shop, at_ms) == rate_of(whole, shop, at_ms)


@given(RECORDS, st.integers(0, 12), st.integers(1, 5))
def test_a_position_hides_all_that_comes_after_it_however_records_come(
    records: list[Record], upto: int, size: int
) -> None:
    upto = min(upto, len(records))
    parts = LookupTopics(lookups("since"))
    for first in range(0, len(records), size):
        part = records[first : first + size]
        parts.add(batch(part, range(first, first + len(part))))
    rows = parts.rows("rates", {("rates", 0): upto})
    assert rows.equals(read(records[:upto]).rows("rates", {("rates", 0): upto}))


TIMED = st.lists(
    st.tuples(
        st.integers(1, 30),
        st.sampled_from("ab"),
        st.one_of(st.none(), st.integers(1, 9).map(lambda rate: {"rate": float(rate)})),
    ),
    max_size=12,
    unique_by=lambda record: record[:2],
).map(lambda records: sorted(records, key=lambda record: record[0]))


@given(TIMED)
def test_rows_are_valid_as_in_duckdbs_asof_join(records: list[Record]) -> None:
    topics = LookupTopics(lookups())
    if records:
        topics.add(batch(records))
    with duckdb.connect() as db:
        db.execute("create table rates (since int, shop varchar, rate double)")
        for at, shop, value in records:
            rate = None if value is None else value["rate"]
            db.execute("insert into rates values (?, ?, ?)", [at, shop, rate])
        truth = db.execute(
            """with asked as (select shop, "at" from (select unnest(['a', 'b']) as shop),
                (select unnest(range(32)) as "at"))
            select asked.shop, asked."at", rate from asked asof left join rates
                on asked.shop = rates.shop and asked."at" >= rates.since"""
        ).fetchall()
    rows = rows_of(topics, len(records))
    assert all(rate_of(rows, shop, at) == rate for shop, at, rate in truth)


def test_a_row_that_is_deleted_before_it_would_begin_never_counts() -> None:
    ahead = {"rate": 2.0, "since": 20}
    topics = read([(1, "a", {"rate": 1.0, "since": 1}), (2, "a", ahead), (10, "a", None)])
    assert [valid(topics, "a", at, 3) for at in (5, 15, 25)] == [1.0, None, None]
    assert [valid(topics, "a", at, 2) for at in (5, 15, 25)] == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (b"rubbish", "the value is not a JSON object"),
        (b"[1]", "the value is not a JSON object"),
        (b'{"rate": "x"}', "rate: 'x' is not of type float64"),
        (b'{"rate": 1, "since": "never"}', "since: 'never' is not a date or time"),
    ],
)
def test_a_record_that_cannot_be_read_is_reported_and_ends_the_row_of_its_key(
    value: bytes, detail: str
) -> None:
    topics = read([(1, "a", {"rate": 1.0, "since": 1})])
    bad = Batch(
        "rates", [value], np.zeros(1, np.int32), np.array([1]), np.array([BASE_MS + 7]), keys=[b"a"]
    )  # fmt: skip
    (reject,) = topics.add(bad)
    assert (reject.lookup, reject.partition, reject.offset) == ("rates", 0, 1)
    assert reject.detail.startswith(detail)
    assert [valid(topics, "a", at, 2) for at in (6, 7)] == [1.0, None]


def test_the_key_may_be_in_the_value_or_in_the_records_key() -> None:
    row = {"shop": "b", "rate": 3.0, "since": 1}
    topics = read([(1, "whatever", row), (1, "a", {"rate": 4.0, "since": None})])
    assert [valid(topics, shop, 5, 2) for shop in "ab"] == [4.0, 3.0]


def test_a_key_is_unreadable_until_its_next_record() -> None:
    topics = read([(1, "a", {"rate": "dear"}), (2, "b", {"rate": 2.0})])
    assert topics.unreadable() == {"rates": 1}
    topics.add(batch([(3, "a", {"rate": 3.0}), (4, "b", {"rate": []})], [2, 3]))
    assert topics.unreadable() == {"rates": 1}
    topics.add(batch([(5, "b", None)], [4]))
    assert topics.unreadable() == {"rates": 0}


def test_positions_name_the_log_of_a_topic() -> None:
    topics = LookupTopics(lookups())
    topics.ids = {"rates": "7vCzRmfZQ5a4Qe9vdDMnrQ"}
    topics.add(batch([(1, "a", {"rate": 1.0})]))
    assert topics.position_of(["rates"]) == {("rates:7vCzRm", 0): 1}
    assert topics.position_of(["tiers"]) == {}
    assert topics.rows("rates", topics.position)["rate"].to_list() == [1.0]
