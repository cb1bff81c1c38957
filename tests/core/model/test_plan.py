from __future__ import annotations

from dataclasses import replace

from agent.core.model.events import Topics
from agent.core.model.plan import Plan
from tests.generate.plans import company, contract, kpi

PLAN = company()


def test_topics_and_contracts_come_in_order_of_name() -> None:
    assert PLAN.topics == ("orders", "support")
    assert [c.name for c in PLAN.contracts_of("orders")] == ["order.completed"]
    assert PLAN.contracts_of("nothing") == ()


def test_a_derived_kpi_comes_from_the_contracts_of_its_inputs() -> None:
    tickets = kpi("tickets", None, source="ticket.answered")
    mixed = kpi("mixed", None, source=None, inputs=("conversion", "tickets"))
    plan = replace(PLAN, kpis=PLAN.kpis | {"tickets": tickets, "mixed": mixed})
    assert plan.contracts_under("conversion") == {"order.completed"}
    assert plan.contracts_under("mixed") == {"order.completed", "ticket.answered"}


def test_a_kpi_serves_the_objectives_that_weigh_it_and_the_one_it_names() -> None:
    assert PLAN.objectives_of("revenue") == ("growth",)
    named = replace(PLAN.kpis["revenue"], objective="service")
    plan = replace(PLAN, kpis=PLAN.kpis | {"revenue": named})
    assert plan.objectives_of("revenue") == ("growth", "service")
    assert plan.objectives_of("nothing") == ()


def test_what_is_not_declared_has_no_dimensions_and_no_subject() -> None:
    assert PLAN.by_of("revenue") == ("region", "pod")
    assert PLAN.by_of("nothing") is None
    assert PLAN.by_of("rule/nothing") is None
    assert PLAN.subject("revenue") is PLAN.kpis["revenue"]
    assert PLAN.subject("nothing") is None
    assert PLAN.subject("rule/nothing") is None


def test_rules_are_by_their_kpi() -> None:
    assert [rule.name for rule in PLAN.rules_of("response_time")] == ["slow_support"]
    assert PLAN.rules_of("conversion") == ()


def plan_over(**topics: Topics) -> Plan:
    """Contracts by their topics."""
    contracts = {name: replace(contract(name, ""), topics=of) for name, of in topics.items()}
    return replace(PLAN, contracts=contracts, kpis={}, rules={}, objectives={})


def test_a_pattern_is_of_whole_names() -> None:
    topics = Topics(pattern="shop|shop-.+")
    matching = [name for name in ("shop", "shop-eu", "shop-", "my-shop", "shops") if name in topics]
    assert matching == ["shop", "shop-eu"]
    assert not topics.is_one and str(topics) == "{pattern: shop|shop-.+}"


def test_contracts_share_a_topic_that_is_named_or_matches() -> None:
    pattern, named = Topics(pattern="shop-.*"), Topics(("visits", "shop-eu"))
    assert pattern.shared_with(named) == named.shared_with(pattern) == "shop-eu"
    assert pattern.shared_with(Topics(pattern="shop-.*")) == "shop-.*"
    assert pattern.shared_with(Topics(("shop",))) is None


def test_every_contract_has_a_topic_for_events_that_say_none() -> None:
    plan = plan_over(a=Topics(("x", "y")), b=Topics(("z",)), c=Topics(pattern="y|q"))
    assert plan.topics == ("x", "y", "z") and plan.has_patterns
    assert plan.default_topics == ("x", "y|q", "z")
    assert plan.topics_with(["y", "unknown"]) == ("y", "z")
    assert [c.name for c in plan.contracts_of("y")] == ["a", "c"]
    assert [c.name for c in plan.contracts_of("y|q")] == ["c"]
