"""What a consumer gives by batches is what it gives record by record."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from confluent_kafka import Producer

from agent.kafka.batch_fetch import enable_batch_fetch
from tests.integration.broker import Broker

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(120)]
TOPIC = "fetch-by-batch"
TP = TopicPartition(TOPIC, 0)


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """What refers to itself is kept while the block runs."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def fill(address: str) -> None:
    """Plain batches with keys, headers and nulls, a committed and an aborted transaction."""
    async with AIOKafkaProducer(bootstrap_servers=address, compression_type="lz4") as producer:
        for i in range(700):
            await producer.send(
                TOPIC, None if i % 50 == 7 else f"v{i}".encode(), f"k{i}".encode(),
                partition=0, headers=[("n", str(i).encode())],
            )  # fmt: skip
    for name, committed in (("kept", True), ("lost", False), ("kept again", True)):
        writer = Producer({"bootstrap.servers": address, "transactional.id": name})
        writer.init_transactions(30)
        writer.begin_transaction()
        for i in range(40):
            writer.produce(TOPIC, f"{name} {i}".encode(), partition=0)
        writer.flush()
        if committed:
            writer.commit_transaction(30)
        else:
            writer.abort_transaction(30)


async def read(address: str, batched: bool, start: int, most: int) -> list[Any]:
    """All records from an offset, and the positions between the calls."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, isolation_level="read_committed")
    await consumer.start()
    try:
        if batched:
            enable_batch_fetch(consumer)
        consumer.assign([TP])
        consumer.seek(TP, start)
        end = (await consumer.end_offsets([TP]))[TP]
        records: list[Any] = []
        while await consumer.position(TP) < end:
            fetched = await consumer.getmany(timeout_ms=200, max_records=most)
            got: Any = fetched.get(TP, [])
            assert len(got) <= most
            if batched:
                got = [got.record(TOPIC, 0, place) for place in range(len(got))]
            records += got
            if got:
                assert await consumer.position(TP) > got[-1].offset
        return records
    finally:
        await consumer.stop()


async def test_batches_bring_the_same_records_as_getmany(real_kafka: Broker) -> None:
    real_kafka.create_topics([TOPIC], 1)
    await fill(real_kafka.address)
    for start, most in ((0, 50_000), (0, 33), (123, 1_000), (705, 7)):
        expected = await read(real_kafka.address, False, start, most)
        with no_search_for_cycles():
            actual = await read(real_kafka.address, True, start, most)
            kept = [each for each in gc.get_objects() if isinstance(each, PartitionRecords)]
        assert actual == expected
        assert not kept, "what was read is still in memory"
    assert not any((r.value or b"").startswith(b"lost") for r in expected)
    assert expected[-1].value == b"kept again 39"
