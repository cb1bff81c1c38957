"""A KPI that is backfilled while the agent runs, on the embedded broker."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.kafka.support import RULES, Agent, Orders, Published

pytestmark = pytest.mark.timeout(300)  # rebalances take long on the embedded broker

WITH_BIGGEST = RULES.replace(
    "rules:\n",
    "  biggest:\n"
    "    {from: order, value: sum(amount) * 2, by: [region], window: 5s, backfill: 7300d}\n"
    "rules:\n"
    "  high: {kpi: biggest, when: value > 1}\n",
)


def write_until_past(agent: Agent, orders: Orders, first: int, kpi: str) -> int:
    """Write orders as time goes on, until a KPI has its past; the number of the next one."""
    deadline = time.monotonic() + 60
    while agent.metric(f'kpi_agent_backfill_ratio{{kpi="{kpi}"}}') != 1.0:
        assert time.monotonic() < deadline, agent.get("/metrics")[1]
        orders.write(range(first, first + 10))
        first += 10
        time.sleep(0.3)
    return first


def test_a_new_kpi_gets_its_past_once_and_the_live_flow_goes_on(
    address: str, tmp_path: Path
) -> None:
    shop = tmp_path / "shop.yaml"
    shop.write_text(RULES)
    orders, published = Orders(address), Published(address)
    orders.write(range(500))
    agent = Agent(address, shop)
    try:
        published.until(lambda: len(published.windows("revenue")) >= 16)
        shop.write_text(WITH_BIGGEST)
        status, reported = agent.get("/-/reload", "POST")
        assert status == 200
        assert "biggest is backfilled (1042w6d)" in reported
        assert agent.metric('kpi_biggest{region="a"}') is None
        number = write_until_past(agent, orders, 500, "biggest")
        assert number > 510
        orders.write(range(number, number + 200))
        number += 200
        closed = 2 * ((number - 20) // 50)  # by the second of lateness
        published.until(lambda: len(published.windows("biggest")) >= closed)
        published.until(lambda: len(published.windows("revenue")) >= closed)
        # It began with the first order, though it was declared after the five hundredth.
        assert published.windows("biggest").keys() == published.windows("revenue").keys()
        assert set(published.windows("biggest").values()) == {50.0}
        assert set(published.windows("revenue").values()) == {25.0}
        assert published.contradictions() == []
        assert published.on("kpi-agent-late") == []
        # Nobody is called for what lies before the reload.
        firing = [a for a in published.values("rule") if a["rule"] == "high"]
        assert firing and min(str(a["at"]) for a in firing) > "2023-11-14T22:14:10Z"
        read = agent.metric('kpi_agent_backfill_records{kpi="biggest"}')
        assert read is not None and 500 <= read <= number
        assert agent.stop() == 0

        agent = Agent(address, shop)  # it has its past, and does not read it again
        number = write_until_past(agent, orders, number, "biggest")
        orders.write(range(number, number + 200))
        published.until(lambda: len(published.windows("biggest")) > closed + 4)
        assert agent.metric('kpi_agent_backfill_records{kpi="biggest"}') == 0.0
        assert set(published.windows("biggest").values()) == {50.0}
    finally:
        agent.kill()
        published.close()
