from __future__ import annotations

from dataclasses import replace

from tests.generate.plans import company, kpi

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
