"""Agents that write their windows to a real Prometheus, which is down for a while, as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.kafka.embedded import EmbeddedBroker
from tests.integration.monitoring import Server
from tests.integration.waiting import until
from tests.kafka.support import RULES, Agent, Orders, Published

pytestmark = [pytest.mark.timeout(300), pytest.mark.needs_prometheus]

OUT_OF_ORDER = "storage: {tsdb: {out_of_order_time_window: 30d}}\n"
START_S = Orders.START_MS // 1000


class Receiver(Server):
    """A Prometheus that only receives; what it has, it keeps when it ends."""

    def start(self, config: str) -> None:
        file = self.folder / "prometheus.yml"
        file.write_text(config)
        self.launch(
            [
                "prometheus",
                "--web.enable-remote-write-receiver",
                f"--config.file={file}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=warn",
            ]
        )
        self.wait_ready()

    def samples(self, selector: str) -> dict[tuple[str, float], float]:
        """All samples of some series, by region and time (s)."""
        answer = self.get("/api/v1/query", query=f"{selector}[1h]", time=str(START_S + 1800))
        series: list[dict[str, Any]] = answer["data"]["result"]
        return {
            (each["metric"].get("region", ""), at): float(value)
            for each in series
            for at, value in each["values"]
        }


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    server = Receiver("prometheus", tmp_path)
    try:
        yield server
    finally:
        server.clean_up()


def expected(published: Published, kpi: str) -> dict[tuple[str, float], float | None]:
    """What was published of a KPI, by region and end of the window."""
    return {
        (str(w["dimensions"].get("region", "")), at_s(w["end"])): w["value"]
        for w in published.values("window")
        if w["kpi"] == kpi
    }


def at_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("config", ["", OUT_OF_ORDER], ids=["in order", "out of order"])
def test_windows_stand_at_their_own_times_though_receiver_and_agent_fail(
    receiver: Receiver, config: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shop.yaml").write_text(RULES)
    settings = {
        "remote_write_url": f"http://{receiver.address}/api/v1/write",
        "external_labels": "environment=test",
    }

    def metric(agent: Agent, name: str) -> float | None:
        return agent.metric(f'kpi_agent_remote_write_{name}{{environment="test"}}')

    receiver.start(config)
    with EmbeddedBroker() as broker:
        orders, published = Orders(broker.address), Published(broker.address)
        orders.write(range(600))  # replayed: a minute of two years ago
        agents = [Agent(broker.address, rules, **settings)]

        def stored(kpi: str = "kpi_revenue") -> int:
            return len(receiver.samples(kpi))

        try:
            published.until(lambda: len(published.windows("revenue")) >= 20)
            until(lambda: stored() >= 20, 60, lambda: f"20 samples, not {stored()}")
            receiver.terminate()
            orders.write(range(600, 1200))
            published.until(
                lambda: (
                    len(published.windows("revenue")) >= 46
                    and len(published.windows("orders")) >= 23
                )
            )
            until(lambda: metric(agents[0], "failures_total"), 30, "a failure")
            assert agents[0].get("/-/ready")[0] == 200
            assert (metric(agents[0], "pending_records") or 0) > 0
            agents[0].kill()
            agents.append(Agent(broker.address, rules, **settings))
            receiver.start(config)
            wanted = expected(published, "revenue")
            until(lambda: stored() >= len(wanted), 90, lambda: f"{len(wanted)}, not {stored()}")
            assert receiver.samples("kpi_revenue") == wanted
            orders_wanted = expected(published, "orders")
            labelled = 'kpi_orders{environment="test",job="kpi-agent"}'
            until(lambda: stored(labelled) >= len(orders_wanted), 30, "the windows of orders")
            assert receiver.samples(labelled) == orders_wanted
            until(lambda: stored("kpi_target_state") >= len(wanted), 30, "the target states")
            assert set(receiver.samples("kpi_target_state")) == set(wanted)
            assert set(receiver.samples('kpi_target_revenue{band="at_least"}').values()) <= {20.0}
            until(lambda: metric(agents[1], "pending_records") == 0, 30, "nothing pending")
            if config == OUT_OF_ORDER:  # else what is sent twice is refused the second time
                lines = agents[1].get("/metrics")[1].splitlines()
                dropped = [line for line in lines if "remote_write_dropped_total{" in line]
                assert len(dropped) == 5
                assert all(line.endswith(" 0.0") for line in dropped), dropped
        finally:
            for agent in agents:
                agent.kill()
            published.close()


def test_corrections_reach_a_prometheus_that_takes_older_samples(
    receiver: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shop.yaml").write_text(RULES)
    receiver.start(OUT_OF_ORDER)
    with EmbeddedBroker() as broker:
        orders, published = Orders(broker.address), Published(broker.address)
        url = f"http://{receiver.address}/api/v1/write"
        agents = [Agent(broker.address, rules, remote_write_url=url)]
        try:
            orders.write(range(600))
            published.until(lambda: len(published.windows("revenue")) >= 20)
            late = {"id": 9_001, "at": Orders.START_MS + 7_000, "amount": 5.0, "region": "a"}
            orders.raw(json.dumps(late).encode(), 0)
            orders.flush()
            published.until(lambda: len(published.on("kpi-agent-late")) == 1)
            before = expected(published, "revenue")
            until(lambda: receiver.samples("kpi_revenue") == before, 60, "all samples")
            period = ["--since", "2023-11-14T22:13:20", "--until", "2023-11-14T22:13:30"]
            place = ["--brokers", broker.address, "--rules", str(rules)]
            assert main(["restate", "revenue", *period, *place, "--apply"]) == 0
            corrected = before | {("a", Orders.START_MS / 1000 + 10): 30.0}
            published.until(lambda: expected(published, "revenue") == corrected)
            until(lambda: receiver.samples("kpi_revenue") == corrected, 60, "the correction")
            alerts = len(published.values("rule"))
            agents[0].kill()  # the next publishes the last results again
            agents.append(Agent(broker.address, rules, remote_write_url=url))
            orders.write(range(600, 900))
            published.until(lambda: len(published.windows("revenue")) >= 32)
            until(lambda: len(receiver.samples("kpi_revenue")) >= 32, 60, "the next windows")
            assert receiver.samples("kpi_revenue").items() >= corrected.items()
            capsys.readouterr()
            assert main(["restate", "revenue", *period, *place]) == 0
            assert "0 to correct, 0 to add" in capsys.readouterr().out
            assert len(published.values("rule")) == alerts
        finally:
            for agent in agents:
                agent.kill()
            published.close()
