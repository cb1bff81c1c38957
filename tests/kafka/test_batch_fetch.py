"""Records as columns; and what reading by batches relies on in aiokafka."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from agent.kafka.batch_fetch import INTERNALS, enable_batch_fetch, refresh_metadata
from agent.kafka.fetched import Fetched
from tests.kafka.fetched import fetched, record

TP = TopicPartition("orders", 2)


def a_batch(*values: bytes) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    for offset, value in enumerate(values):
        builder.append(offset, 1_000 + offset, b"k", value, [])
    return bytes(builder.build())


def a_result(position: int, data: bytes) -> FetchResult:
    """What a fetch brings, of a partition that is read from a position."""
    state = SimpleNamespace(paused=False, position=position)
    state.consumed_to = lambda at: setattr(state, "position", at)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    records = PartitionRecords(
        TP, MemoryRecords(data), [], position, None, None, True, READ_COMMITTED
    )
    return FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)


def test_gaps_between_offsets_are_kept() -> None:
    records = fetched(record(2, 5), record(2, 9))
    records.extend([record(2, 10)])
    assert records.offsets.tolist() == [5, 9, 10]
    assert records.timestamps.tolist() == [1_005, 1_009, 1_010]


def test_a_record_is_given_back_with_its_key_and_headers() -> None:
    records = fetched(record(2, 5), record(2, 9))
    records.extend([record(2, 10)])
    assert [records.record("orders", 2, i).offset for i in range(3)] == [5, 9, 10]
    assert records.record("orders", 2, 1).headers == record(2, 9).headers


def test_nothing_has_no_offsets() -> None:
    assert Fetched().offsets.tolist() == [] == Fetched().timestamps.tolist()


@pytest.mark.parametrize("cls", INTERNALS, ids=lambda cls: cls.__name__)
def test_aiokafka_still_has_what_is_relied_on(cls: type) -> None:
    """An upgrade that fails here changes what `batch_fetch` replaces: compare the two."""
    result = a_result(0, a_batch(b"v"))
    objects: dict[type, Any] = {FetchResult: result, PartitionRecords: result._partition_records}
    subject = objects.get(cls)
    if subject is None:  # made by a connection only
        source = inspect.getsource(cls)
        assigned = {n for n in INTERNALS[cls] if f"self.{n} " in source or f"def {n}(" in source}
        assert assigned == set(INTERNALS[cls])
    else:
        assert [name for name in INTERNALS[cls] if not hasattr(subject, name)] == []


def test_a_consumer_gives_batches_and_moves_its_position_as_aiokafka_does() -> None:
    values = [b"a", b"b", b"c"]
    plain, batched = a_result(1, a_batch(*values)), a_result(1, a_batch(*values))
    consumer: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records={TP: batched}))
    enable_batch_fetch(consumer)
    expected = plain.getall()
    got = consumer._fetcher._records[TP].getall()
    assert got.values == [record.value for record in expected] == [b"b", b"c"]
    assert [got.record("orders", 2, i) for i in range(2)] == expected
    assert batched._assignment.state_value(TP).position == 3
    assert not batched.has_more() and not plain.has_more()


def test_metadata_is_refreshed_by_the_consumers_own_client() -> None:
    asked: list[bool] = []
    client = SimpleNamespace(force_metadata_update=lambda: asked.append(True))
    refresh_metadata(SimpleNamespace(_client=client))  # type: ignore[arg-type]
    assert asked == [True]


def test_at_most_so_many_records_are_given_at_a_time() -> None:
    batched = a_result(0, a_batch(b"a", b"b", b"c"))
    consumer: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records={TP: batched}))
    enable_batch_fetch(consumer)
    assert [batched.getall(2).values, batched.getall(2).values] == [[b"a", b"b"], [b"c"]]
    assert Fetcher.fetched_records  # which asks for at most so many
