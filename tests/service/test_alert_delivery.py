"""An agent that sends its alerts itself, and its successor; a real Alertmanager, no Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from tests.integration.monitoring import Alertmanager
from tests.integration.waiting import until
from tests.kafka.support import RULES, Agent, Orders

pytestmark = [pytest.mark.timeout(300), pytest.mark.needs_prometheus]


def write(orders: Orders, numbers: Iterable[int], amount: float) -> None:
    """Orders of this amount, ten a second, by turns over two regions."""
    for number in numbers:
        at = Orders.START_MS + number * 100
        order = {"id": number, "at": at, "amount": amount, "region": "ab"[number % 2]}
        orders.raw(json.dumps(order).encode(), number % PARTITIONS)
    orders.flush()


def test_alerts_reach_alertmanager_outlive_their_worker_and_end(
    alertmanager: Alertmanager, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shop.yaml").write_text(RULES)
    settings = {"alertmanagers": f"http://{alertmanager.address}", "alert_resend": 2}

    def regions() -> set[str]:
        return {alert["labels"]["region"] for alert in alertmanager.alerts("low")}

    with EmbeddedBroker() as broker:
        orders = Orders(broker.address)
        write(orders, range(300), amount=0.1)
        first = Agent(broker.address, rules, **settings)
        try:
            until(lambda: len(regions()) == 2, 80, lambda: f"two alerts, not {regions()}")
        finally:
            first.kill()
        second = Agent(broker.address, rules, **settings)
        try:
            until(lambda: second.get("/-/ready")[0] == 200, 80, "ready")
            # Longer than an alert lives that nobody sends again: the second agent does.
            time.sleep(10)
            assert len(regions()) == 2
            write(orders, range(300, 600), amount=5.0)
            until(lambda: not regions(), 80, lambda: f"no alert, not {regions()}")
            assert second.metric("kpi_agent_alert_delivery_up") == 1
        finally:
            second.kill()
