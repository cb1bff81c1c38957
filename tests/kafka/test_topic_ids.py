"""What brokers say of topics; and what asking for ids relies on in aiokafka."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest_v5

from agent.kafka import topic_ids
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.topic_ids import TopicMetadata, describe

UUID = bytes(range(16))
PARTITION = (0, 0, 1, 5, [1], [1], [], {})


def answer(*topics: tuple[int, str, bytes]) -> Any:
    """A broker's answer, through the bytes of the protocol."""
    described = [
        (code, name, uuid, False, [PARTITION, PARTITION], 0, {}) for code, name, uuid in topics
    ]
    made = topic_ids._Response_v11(0, [(1, "host", 9092, None, {})], "cluster", 1, described, {})
    return topic_ids._Response_v11.decode(made.encode())


def admin(response: Any) -> Any:
    """An admin client whose broker answers so."""
    asked: list[Any] = []

    async def send(request: Any) -> Any:
        asked.append(request)
        return response

    return SimpleNamespace(_send_request=send, asked=asked)


async def test_topics_are_reported_apart_by_their_ids() -> None:
    described = await describe(
        admin(answer((0, "orders", UUID), (3, "gone", bytes(16)))), ["orders"]
    )
    assert described == {"orders": TopicMetadata("AAECAwQFBgcICQoLDA0ODw", 2)}


async def test_another_error_is_raised_with_the_topic() -> None:
    with pytest.raises(TopicAuthorizationFailedError, match="orders"):
        await describe(admin(answer((29, "orders", bytes(16)))), ["orders"])


async def test_of_all_topics_those_are_left_out_that_the_broker_has_an_error_for() -> None:
    described = await describe(admin(answer((0, "orders", UUID), (5, "new", bytes(16)))), None)
    assert described.keys() == {"orders"}


@pytest.mark.parametrize("newest", [13, 9])
def test_all_topics_are_asked_for_by_none(newest: int) -> None:
    request = topic_ids._MetadataRequest(None, False).prepare({3: (0, newest)})
    asked = request.encode()
    assert asked.startswith(b"\x00" if newest > 9 else b"\xff\xff\xff\xff")


async def test_no_topic_asks_no_broker() -> None:
    asked = admin(None)
    assert await describe(asked, []) == {}
    assert not asked.asked


@pytest.mark.parametrize(
    ("newest", "version"), [(13, 11), (12, 11), (9, 5)], ids=["Kafka 4", "Kafka 3", "Kafka 2.4"]
)
def test_a_broker_is_asked_as_it_speaks_and_never_to_create_a_topic(
    newest: int, version: int
) -> None:
    request = topic_ids._MetadataRequest(["orders"], False).prepare({3: (0, newest)})
    assert version == request.API_VERSION
    assert request.allow_auto_topic_creation is False
    assert b"orders" in request.encode()
    assert MetadataRequest_v5.API_KEY == topic_ids.METADATA_API


async def test_a_broker_without_ids_says_the_partitions() -> None:
    assert hasattr(AIOKafkaAdminClient, "_send_request")
    with EmbeddedBroker() as broker:
        client = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await client.start()
        try:
            assert await describe(client, ["orders"]) == {}
            await describe(client, ["orders"], auto_create=True)
            described = await describe(client, ["orders"])
            assert described["orders"].partitions == PARTITIONS
            assert "orders" in await describe(client, None)
        finally:
            await client.close()
