"""What the ingest makes of fetched records and of commits."""

from __future__ import annotations

from typing import Any

from aiokafka.structs import ConsumerRecord

from agent.kafka.batch_fetch import Fetched
from agent.kafka.ingest_stage import make_batch
from agent.kafka.publish import target_key


def record(partition: int, offset: int, value: bytes | None = b"{}") -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        topic="orders", partition=partition, offset=offset, timestamp=1_000 + offset,
        timestamp_type=0, key=b"k", value=value, checksum=None, serialized_key_size=1,
        serialized_value_size=2, headers=(("trace", b"1"), ("kpi-agent-reason", b"old")),
    )  # fmt: skip


def fetched(*records: ConsumerRecord[Any, Any]) -> Fetched:
    """Records of one partition, as a consumer gives them."""
    found = Fetched()
    found.take(list(records))
    return found


def test_a_batch_is_in_the_order_of_its_parts_and_keeps_tombstones() -> None:
    batch = make_batch(
        "orders", [(0, fetched(record(0, 5), record(0, 6, None))), (3, fetched(record(3, 1)))]
    )
    assert batch.values == [b"{}", None, b"{}"]
    assert batch.partitions.tolist() == [0, 0, 3]
    assert batch.offsets.tolist() == [5, 6, 1]
    assert batch.timestamps.tolist() == [1_005, 1_006, 1_001]


def test_gaps_between_offsets_are_kept() -> None:
    batch = make_batch("orders", [(0, fetched(record(0, 5), record(0, 9), record(0, 10)))])
    assert batch.offsets.tolist() == [5, 9, 10]


def test_a_record_is_given_back_with_its_key_and_headers() -> None:
    found = fetched(record(2, 5), record(2, 9))
    found.take([record(2, 10)])
    assert [found.record("orders", 2, place).offset for place in range(3)] == [5, 9, 10]
    assert found.record("orders", 2, 1).headers == record(2, 9).headers


def test_the_key_of_a_target_state_differs_from_its_windows() -> None:
    assert target_key(b'{"kpi":"orders"}') == b'{"kind":"target","kpi":"orders"}'
