"""Workers share the values topic, and count what retention deleted before it was delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from agent.kafka.fetched import Record
from agent.kafka.values_reader import Deliver
from agent.settings import load_settings
from tests.kafka.support import until
from tests.kafka.test_values_reader import TOPIC, produce, reading

from .broker import Broker

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(300)]

PARTITIONS = 4


async def test_two_readers_share_the_partitions(real_kafka: Broker) -> None:
    settings = load_settings(brokers=real_kafka.address, group="share", session_timeout=6)
    real_kafka.create_topics([TOPIC], PARTITIONS)
    got: list[tuple[str, bytes]] = []

    def into(name: str) -> Deliver:
        async def deliver(records: Sequence[Record]) -> None:
            got.extend((name, record.value) for record in records)

        return deliver

    sent: set[bytes] = set()

    async def both_have_some() -> None:
        while {name for name, _ in got} != {"a", "b"}:
            for partition in range(PARTITIONS):
                value = f"{len(sent)}"
                await produce(settings, value, partition=partition)
                sent.add(value.encode())
            await asyncio.sleep(0.5)

    async with reading(settings, into("a")), reading(settings, into("b")):
        await asyncio.wait_for(both_have_some(), 60)
        await until(lambda: {value for _, value in got} == sent)


async def test_what_was_deleted_before_it_was_delivered_is_counted(own_kafka: Broker) -> None:
    own_kafka.start()
    settings = load_settings(brokers=own_kafka.address)
    own_kafka.create_topics([TOPIC], 1)
    await produce(settings, "1")
    got: list[bytes] = []

    async def acknowledge(records: Sequence[Record]) -> None:
        got.extend(record.value for record in records)

    async with reading(settings, acknowledge) as progress:
        await until(lambda: got and progress.waits[-1] == 0)
    await produce(settings, "2", "3", "4")
    admin = AdminClient({"bootstrap.servers": own_kafka.address})
    for future in admin.delete_records([Place(TOPIC, 0, 3)]).values():
        future.result(30)
    async with reading(settings, acknowledge) as progress:
        await until(lambda: len(got) > 1)
    assert got == [b"1", b"4"]
    assert progress.gone == 2
