"""What the embedded broker does, and what it lacks: the head of `agent.kafka.embedded`."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from agent.kafka.embedded import PARTITIONS, EmbeddedBroker


def send(broker: EmbeddedBroker, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(topic, value)
    assert producer.flush(10) == 0


def test_a_topic_appears_on_first_use_with_its_partitions() -> None:
    with EmbeddedBroker() as broker:
        send(broker, "orders", b"1")
        topics = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=60).topics
    assert sorted(topics["orders"].partitions) == list(range(PARTITIONS))


def test_topics_can_not_be_created() -> None:
    with EmbeddedBroker() as broker:
        admin = AdminClient({"bootstrap.servers": broker.address})
        asked = admin.create_topics([NewTopic("orders", 2, 1)], request_timeout=5)
        with pytest.raises(KafkaException):
            asked["orders"].result(60)


def test_two_brokers_know_nothing_of_each_other() -> None:
    with EmbeddedBroker() as one_broker, EmbeddedBroker() as other:
        send(one_broker, "orders", b"1")
        assert one_broker.address != other.address
        assert "orders" not in Producer({"bootstrap.servers": other.address}).list_topics().topics


def test_a_closed_broker_answers_nobody() -> None:
    broker = EmbeddedBroker()
    broker.close()
    client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=1)
