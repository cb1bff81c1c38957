"""What people are published over a restart of the agent: one alert, once, on either way.

A real Prometheus with the generated rules, a real Alertmanager, and a receiver that notes what
it is published. The agent's scrape is played, its delivery is the real one.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from agent.core.model.results import AlertPhase
from agent.export.agent_state import Alert
from agent.export.alertmanager import Delivery
from agent.export.metrics.exposition import Exposition
from agent.language.load import load
from tests.export.running_agent import FilledFleet, running_agent

from .monitoring import Alertmanager, Prometheus, Server
from .waiting import until

pytestmark = [pytest.mark.needs_prometheus, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PLAN = load(ROOT / "rules")
RULE, KPI, REGION = "slow_support", "response_time", "emea"
DOWN_SECONDS = 12
AWAY_SECONDS = 65


class HttpServer:
    """A server on a port of its own."""

    def __init__(self) -> None:
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(world.get())

            def do_POST(self) -> None:
                world.post(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer("")

            def _answer(self, text: str | None) -> None:
                self.send_response(200 if text is not None else 503)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def get(self) -> str | None:
        return ""

    def post(self, body: bytes) -> None:
        pass

    def close(self) -> None:
        self._server.shutdown()


class Receiver(HttpServer):
    """Whom Alertmanager says."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []
        super().__init__()

    def post(self, body: bytes) -> None:
        for alert in json.loads(body)["alerts"]:
            labels = alert["labels"]
            if labels["alertname"] == RULE and "escalation" not in labels:
                self.published.append((alert["status"], labels["region"]))


class PlayedAgent(HttpServer):
    """An agent's `/metrics`, while it is up."""

    EXTRA: ClassVar[str] = 'kpi_agent_build_info{version="1"} 1\n'

    def __init__(self, sends: bool) -> None:
        self.up = True
        self.phase = AlertPhase.FIRING
        self._sends = sends
        super().__init__()

    def get(self) -> str | None:
        if not self.up:
            return None
        number = 2 if self.phase is AlertPhase.FIRING else 0
        labels = f'rule="{RULE}",severity="critical",kpi="{KPI}",region="{REGION}"'
        sends = "kpi_agent_alert_delivery_up 1\n" if self._sends else ""
        return f"kpi_rule_state{{{labels}}} {number}\n{self.EXTRA}{sends}"

    def alerts(self) -> list[Alert] | None:
        if not self.up:
            return None
        now_ms = time.time_ns() // 1_000_000
        return [Alert(RULE, "critical", KPI, (REGION,), self.phase, now_ms - 60_000, 900.0)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def config(tmp_path: Path, receiver: Receiver) -> Path:
    """Whom Alertmanager says, and when: at once."""
    config = {
        "route": {
            "receiver": "people", "group_by": ["alertname"], "group_wait": "0s",
            "group_interval": "1s", "repeat_interval": "1h",
        },
        "receivers": [
            {"name": "people", "webhook_configs": [{"url": f"http://{receiver.address}/"}]}
        ],
    }  # fmt: skip
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def alertmanager(tmp_path: Path, config: Path) -> Iterator[Alertmanager]:
    server = Alertmanager("alertmanager", tmp_path)
    server.start(config)
    yield server
    server.clean_up()


class PlayedFleet(FilledFleet):
    """The alerts of a played agent, as they are when they are asked for."""

    def __init__(self, agent: PlayedAgent) -> None:
        super().__init__()
        self._agent = agent

    def own_alerts(self) -> Sequence[Alert]:
        return self._agent.alerts()


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Server]:
    server = Prometheus("prometheus", tmp_path)
    yield server
    server.clean_up()


def restart(agent: PlayedAgent, receiver: Receiver) -> None:
    """Down for some scrapes, and up again; nobody is published anything."""
    published = list(receiver.published)
    agent.up = False
    time.sleep(DOWN_SECONDS)
    agent.up = True
    time.sleep(DOWN_SECONDS)
    assert receiver.published == published


def test_by_prometheus_a_restart_ends_nothing_and_the_end_is_reported_once(
    prometheus: Prometheus, alertmanager: Alertmanager, receiver: Receiver
) -> None:
    agent = PlayedAgent(sends=False)
    prometheus.start([agent.address], alertmanager.address)
    until(lambda: receiver.published, 60, prometheus.last_words)
    restart(agent, receiver)
    agent.phase = AlertPhase.RESOLVED
    until(lambda: len(receiver.published) > 1, 30, "the end")
    assert receiver.published == [("firing", REGION), ("resolved", REGION)]
    agent.close()


async def test_with_both_ways_open_the_agents_word_is_the_only_one(
    prometheus: Prometheus, alertmanager: Alertmanager, receiver: Receiver
) -> None:
    agent = PlayedAgent(sends=True)
    await asyncio.to_thread(prometheus.start, [agent.address], alertmanager.address)

    def delivery() -> Delivery:
        return Delivery(
            running_agent(PLAN, fleet=PlayedFleet(agent)), [f"http://{alertmanager.address}"],
            lambda: time.time_ns() // 1_000_000, resend_seconds=2,
        )  # fmt: skip

    running = asyncio.create_task(delivery().run())
    await asyncio.to_thread(until, lambda: receiver.published, 60, "the alert")
    await asyncio.to_thread(until, prometheus.targets_up, 30, prometheus.last_words)
    await asyncio.sleep(5)
    running.cancel()
    await asyncio.to_thread(restart, agent, receiver)
    running = asyncio.create_task(delivery().run())
    await asyncio.sleep(5)
    agent.phase = AlertPhase.RESOLVED
    await asyncio.to_thread(until, lambda: len(receiver.published) > 1, 30, "the end")
    await asyncio.sleep(5)
    assert receiver.published == [("firing", REGION), ("resolved", REGION)]
    running.cancel()
    agent.close()


@pytest.mark.parametrize("sends", [True, False], ids=["by the agent", "by Prometheus"])
async def test_an_alertmanager_that_is_away_for_a_minute_says_nothing_of_it(
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    receiver: Receiver,
    config: Path,
    sends: bool,
) -> None:
    agent = PlayedAgent(sends)
    await asyncio.to_thread(prometheus.start, [agent.address], alertmanager.address)
    delivery = Delivery(
        running_agent(PLAN, fleet=PlayedFleet(agent)), [f"http://{alertmanager.address}"],
        lambda: time.time_ns() // 1_000_000,
    )  # fmt: skip
    running = asyncio.create_task(delivery.run() if sends else asyncio.sleep(0))
    await asyncio.to_thread(until, lambda: receiver.published, 60, "the alert")
    alertmanager.signal(signal.SIGSTOP)  # connections hang, as those to a lost route do
    await asyncio.sleep(AWAY_SECONDS)
    alertmanager.signal(signal.SIGCONT)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(alertmanager.terminate)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(alertmanager.start, config)
    await asyncio.to_thread(until, lambda: alertmanager.alerts(RULE), 120, "sent to it again")
    assert receiver.published == [("firing", REGION)]
    agent.phase = AlertPhase.RESOLVED
    await asyncio.to_thread(until, lambda: len(receiver.published) > 1, 120, "the end")
    assert receiver.published == [("firing", REGION), ("resolved", REGION)]
    running.cancel()
    agent.close()


async def test_an_agent_that_sends_says_so_from_its_first_scrape_on() -> None:
    state = running_agent(PLAN)
    Delivery(state, ["http://am:9093"], lambda: 0)
    scrape = await Exposition(state).scrape("", "")
    text = b"".join(scrape.chunks).decode()
    assert "kpi_agent_alert_delivery_up 0.0" in text
    assert 'kpi_agent_alerts_delivered_total{alertmanager="http://am:9093"} 0.0' in text
    assert 'kpi_agent_alert_delivery_failures_total{alertmanager="http://am:9093"} 0.0' in text
