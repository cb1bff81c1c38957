"""What brokers say of the source topics while they are read."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agent.core.model.events import Contract, Topics
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.client import connection, new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.source_topics import (
    existing,
    partition_counts,
    source_topics,
    unmatched,
    warn_of_producers_clocks,
)
from agent.kafka.topics import TopicNames
from agent.settings import load_settings
from tests.generate.plans import company, contract
from tests.kafka.test_topic_ids import UUID, admin, answer

ID = "AAECAwQFBgcICQoLDA0ODw"
NAMES = TopicNames.of(load_settings())
ALL = Topics(pattern=".*")


def plan_of(**topics: Topics) -> Plan:
    contracts: dict[str, Contract] = {
        name: replace(contract(name, ""), topics=of) for name, of in topics.items()
    }
    return replace(company(), contracts=contracts, kpis={}, rules={}, objectives={})


ORDERS = plan_of(a=Topics(("orders",)))


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
    assert await partition_counts(made, ORDERS, NAMES, {"orders": [""]}) == {"orders": PARTITIONS}


async def test_nothing_is_known_while_no_broker_answers(
    client: tuple[EmbeddedBroker, AIOKafkaAdminClient], caplog: pytest.LogCaptureFixture
) -> None:
    broker, made = client
    broker.close()
    assert await existing(made) is None
    assert await partition_counts(made, ORDERS, NAMES, {"orders": [""]}) == {}
    with caplog.at_level(logging.WARNING, "agent"):
        await warn_of_producers_clocks(made, ["orders"])
    assert not [record for record in caplog.records if record.name.startswith("agent")]


@pytest.mark.parametrize("read_by", [[ID], ["", ID], [""], []])
async def test_a_topic_read_by_its_id_is_the_same(read_by: list[str]) -> None:
    assert await partition_counts(
        admin(answer((0, "orders", UUID))), ORDERS, NAMES, {"orders": read_by}
    ) == {"orders": 2}


async def test_a_topic_with_another_id_was_created_again() -> None:
    with pytest.raises(EnvironmentFault, match=f"its id was first and is {ID}"):
        await partition_counts(
            admin(answer((0, "orders", UUID))), ORDERS, NAMES, {"orders": ["first"]}
        )


async def test_a_lookup_topic_is_looked_at_and_not_counted() -> None:
    topics = {"orders": [ID], "rates": [ID]}
    both = answer((0, "orders", UUID), (0, "rates", UUID))
    assert await partition_counts(admin(both), ORDERS, NAMES, topics) == {"orders": 2}
    with pytest.raises(EnvironmentFault, match="topic rates was deleted and created again"):
        await partition_counts(admin(both), ORDERS, NAMES, topics | {"rates": ["first"]})


async def test_no_topic_asks_no_broker() -> None:
    asked = admin(None)
    assert await partition_counts(asked, ORDERS, NAMES, {}) == {}
    assert not asked.asked


def test_no_pattern_matches_what_the_agent_writes_or_what_is_internal() -> None:
    there = ["shop", "__consumer_offsets", "_schemas", *NAMES.configs()]
    assert source_topics(plan_of(a=ALL), NAMES, there) == ["_schemas", "shop"]


def test_a_topic_that_is_named_may_be_any() -> None:
    plan = plan_of(a=ALL, b=Topics((NAMES.values, "__internal")))
    there = ["shop", "__internal", *NAMES.configs()]
    assert source_topics(plan, NAMES, there) == ["__internal", NAMES.values, "shop"]


def test_what_is_missing_is_named_and_so_is_a_pattern_that_nothing_matches() -> None:
    plan = plan_of(a=Topics(("shop", "shop-eu")), b=Topics(pattern="web-.*"), c=ALL)
    assert unmatched(plan, ["shop"]) == ["shop-eu", "{pattern: web-.*}"]
    assert unmatched(plan, ["shop", "shop-eu", "web-a"]) == []


def test_a_topic_that_patterns_read_in_two_formats_is_refused_with_its_events() -> None:
    plan = plan_of(a=ALL, b=Topics(pattern="s.*"))
    contracts = dict(plan.contracts) | {"b": replace(plan.contracts["b"], format="avro")}
    with pytest.raises(EnvironmentFault, match=r"topic shop is read in .* a, b"):
        source_topics(replace(plan, contracts=contracts), NAMES, ["orders", "shop"])
