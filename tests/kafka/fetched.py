"""Records as a consumer gives them, for tests without a broker."""

from __future__ import annotations

from typing import Any

from aiokafka.structs import ConsumerRecord

from agent.kafka.fetched import Fetched


def record(partition: int, offset: int, value: bytes | None = b"{}") -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        topic="orders", partition=partition, offset=offset, timestamp=1_000 + offset,
        timestamp_type=0, key=b"k", value=value, checksum=None, serialized_key_size=1,
        serialized_value_size=2, headers=(("trace", b"1"), ("kpi-agent-reason", b"old")),
    )  # fmt: skip


def fetched(*records: ConsumerRecord[Any, Any]) -> Fetched:
    """Records of one partition."""
    of_partition = Fetched()
    of_partition.extend(list(records))
    return of_partition
