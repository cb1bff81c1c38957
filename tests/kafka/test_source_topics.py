"""What brokers say of the source topics while they are read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agent.errors import EnvironmentFault
from agent.kafka.client import connection, new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.source_topics import existing, partition_counts, warn_of_producers_clocks
from agent.settings import load_settings
from tests.kafka.test_topic_ids import UUID, admin, answer

ID = "AAECAwQFBgcICQoLDA0ODw"


@pytest.fixture
async def client() -> AsyncIterator[tuple[EmbeddedBroker, AIOKafkaAdminClient]]:
    """A broker that has the topic `orders`, and a client of it."""
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address, create_topics=False)
        producer = new_producer(settings)
        await producer.start()
        await producer.send_and_wait("orders", b"1")
        await producer.stop()
        made = AIOKafkaAdminClient(**connection(settings))
        await made.start()
        yield broker, made
        await made.close()


async def test_topics_and_their_partitions_are_listed(
    client: tuple[EmbeddedBroker, AIOKafkaAdminClient],
) -> None:
    _, made = client
    assert "orders" in (await existing(made) or ())
    assert await partition_counts(made, {"orders": [""]}) == {"orders": PARTITIONS}


async def test_nothing_is_known_while_no_broker_answers(
    client: tuple[EmbeddedBroker, AIOKafkaAdminClient], caplog: pytest.LogCaptureFixture
) -> None:
    broker, made = client
    broker.close()
    assert await existing(made) is None
    assert await partition_counts(made, {"orders": [""]}) == {}
    with caplog.at_level(logging.WARNING, "agent"):
        await warn_of_producers_clocks(made, ["orders"])
    assert not [record for record in caplog.records if record.name.startswith("agent")]


@pytest.mark.parametrize("read_by", [[ID], ["", ID], [""], []])
async def test_a_topic_read_by_its_id_is_the_same(read_by: list[str]) -> None:
    assert await partition_counts(admin(answer((0, "orders", UUID))), {"orders": read_by}) == {
        "orders": 2
    }


async def test_a_topic_with_another_id_was_created_again() -> None:
    with pytest.raises(EnvironmentFault, match=f"its id was first and is {ID}"):
        await partition_counts(admin(answer((0, "orders", UUID))), {"orders": ["first"]})


async def test_no_topic_asks_no_broker() -> None:
    asked = admin(None)
    assert await partition_counts(asked, {}) == {}
    assert not asked.asked
