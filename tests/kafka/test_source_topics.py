"""Which topics events are read from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.model.events import Contract, Topics
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.source_topics import source_topics, unmatched
from agent.kafka.topics import TopicNames
from agent.settings import load_settings
from tests.generate.plans import company, contract

NAMES = TopicNames.of(load_settings())
ALL = Topics(pattern=".*")


def plan_of(**topics: Topics) -> Plan:
    contracts: dict[str, Contract] = {
        name: replace(contract(name, ""), topics=of) for name, of in topics.items()
    }
    return replace(company(), contracts=contracts, kpis={}, rules={}, objectives={})


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
