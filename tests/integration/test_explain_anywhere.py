"""Two agents on a real Kafka: each explains every series, whichever of them holds it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from .agents import Agent
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]


def explained(agent: Agent, rule: str, series: str = "") -> Any:
    """What an agent says of a rule: {count, series}, or why not."""
    return agent.json(f"/api/v1/explain?rule={rule}&series={quote(series)}")


def regions(agent: Agent) -> list[str]:
    """The regions that a board shows."""
    return [row["series"] for row in agent.json("/api/v1/kpis/revenue")["rows"]]


def held(agent: Agent) -> set[str]:
    """The regions whose rule states an agent exports: those of the series that it holds."""
    return {
        labels["region"]
        for name, labels, _ in agent.samples()
        if name == "kpi_rule_state" and labels["rule"] == "revenue_collapses"
    }


def test_each_of_two_agents_explains_every_series(stage: Stage) -> None:
    stage.use_company()
    stage.create_topics()
    stage.send(stage.company_parts(1)[0])
    first, second = stage.agent("one"), stage.agent("two")
    for agent in (first, second):
        agent.start()
    for agent in (first, second):
        agent.wait_ready()
    stage.wait_counted()
    until(
        lambda: len(regions(first)) == len(regions(second)) > 2,
        60,
        lambda: f"both boards show all regions: {regions(first)}, {regions(second)}",
    )
    assert held(first) and held(second) and held(first).isdisjoint(held(second))

    for region in regions(first):
        by_first, by_second = (
            explained(a, "revenue_collapses", f"region={region}") for a in (first, second)
        )
        assert by_first == by_second
        assert (by_first["count"], by_first["series"][0]["dimensions"]) == (1, {"region": region})
        for agent in (first, second):
            _, page = agent.get(f"/kpis/revenue?series=region%3D{region}")
            assert "The value is" in page and "no worker" not in page
    everything = explained(first, "revenue_collapses")
    assert everything["count"] == len(regions(first))
    assert everything == explained(second, "revenue_collapses")

    elsewhere = next(iter(held(second)))
    path = "/api/v1/explain?rule=revenue_collapses&series=region%3D"
    second.kill()
    until(
        lambda: first.get(f"{path}{elsewhere}")[0] == 200,
        90,
        lambda: f"one explains {elsewhere}: {first.last_words()}",
    )
    assert elsewhere in held(first)
