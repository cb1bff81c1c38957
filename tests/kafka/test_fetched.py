"""Fetched records become batches, and rows of a batch the records that they were."""

from __future__ import annotations

import pytest

from agent.kafka.fetched import make_batch, record_of
from tests.kafka.fetched import fetched, record


def test_a_batch_is_in_the_order_of_its_parts_and_keeps_tombstones() -> None:
    batch = make_batch(
        "orders", [(0, fetched(record(0, 5), record(0, 6, None))), (3, fetched(record(3, 1)))]
    )
    assert batch.values == [b"{}", None, b"{}"]
    assert batch.partitions.tolist() == [0, 0, 3]
    assert batch.offsets.tolist() == [5, 6, 1]
    assert batch.timestamps.tolist() == [1_005, 1_006, 1_001]


def test_a_row_of_a_batch_is_the_record_that_it_was_made_of() -> None:
    parts = [(0, fetched(record(0, 5), record(0, 6))), (3, fetched(record(3, 1)))]
    rows = [record_of("orders", parts, row) for row in range(3)]
    assert [(record.partition, record.offset) for record in rows] == [(0, 5), (0, 6), (3, 1)]
    with pytest.raises(IndexError):
        record_of("orders", parts, 3)


def test_records_before_an_offset_keep_their_headers_and_their_places() -> None:
    records = fetched(record(0, 5), record(0, 7), record(0, 9))
    within = records.before(9)
    assert within.offsets.tolist() == [5, 7]
    assert within.timestamps.tolist() == [1_005, 1_007]
    assert sorted(within.headers) == [0, 1]
    assert within.record("orders", 0, 1) == records.record("orders", 0, 1)
    assert len(records.before(5)) == 0
    assert records.before(100) is records
