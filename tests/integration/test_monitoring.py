"""What the agents export, as a real Prometheus, a real Alertmanager and the boards see it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer

from agent.demo.generator import TICK_MS, Company
from tests.generate.queries import queries

from .monitoring import RULES, Alertmanager, Prometheus
from .stage import ROOT, Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.needs_prometheus, pytest.mark.timeout(400)]

BOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
FIRES_SECONDS = 90
RESOLVES_SECONDS = 150

NEVER_IN_A_GOOD_RUN = (
    "kpi_agent_dropped_series_total",  # needs a KPI with more series than it may have
    "kpi_agent_remote_write_pending_records",  # needs a receiver of remote write
)
"""Metrics whose panels are empty as long as all is well and no remote write is configured."""


@contextmanager
def living_company(stage: Stage) -> Iterator[None]:
    """The company's last minutes at once, then its life, until the block ends."""
    over = threading.Event()

    def live() -> None:
        producer = Producer({"bootstrap.servers": stage.broker.address, "compression.type": "lz4"})
        company = Company(time.time_ns() // 1_000_000)
        tick = company.first_tick
        while not over.wait(TICK_MS / 1000):
            now = company.tick_of(time.time_ns() // 1_000_000)
            for message in company.between(tick, now):
                producer.produce(stage.prefix + message.topic, message.value, message.key)
            producer.poll(0)
            tick = now
        producer.flush(10)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    server = Prometheus("prometheus", tmp_path)
    try:
        yield server
    finally:
        server.clean_up()


def test_an_alert_reaches_people_and_every_panel_has_data(
    stage: Stage, prometheus: Prometheus, alertmanager: Alertmanager
) -> None:
    stage.use_company(idle_after="10s")
    stage.create_topics()
    agents = [stage.agent("one"), stage.agent("two")]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_ready()
    targets = [agent.url.removeprefix("http://") for agent in agents]
    prometheus.start(targets, alertmanager.address)
    until(lambda: prometheus.targets_up() == len(agents), 30, prometheus.last_words)
    with living_company(stage):
        check_rules_are_loaded(prometheus)
        alert = until(
            lambda: alertmanager.alerts("slow_support"),
            FIRES_SECONDS,
            lambda: f"slow_support at the Alertmanager; {stage.words()}",
        )[0]
        check_alert(alert)
        check_every_query_finds_data(prometheus)
        until(
            lambda: not alertmanager.alerts("slow_support"),
            RESOLVES_SECONDS,
            lambda: f"slow_support resolved: {alertmanager.alerts('slow_support')}",
            every=1,
        )
    check_every_rule_is_healthy(prometheus)


def test_promtool_accepts_the_generated_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(RULES)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def check_rules_are_loaded(prometheus: Prometheus) -> None:
    """Prometheus runs just the rules of the file."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    written = [rule.get("alert") or rule["record"] for group in groups for rule in group["rules"]]
    assert sorted(rule["name"] for rule in prometheus.rules()) == sorted(written)


def check_every_rule_is_healthy(prometheus: Prometheus) -> None:
    """Every rule was evaluated, without an error."""
    until(
        lambda: all(rule["health"] == "ok" for rule in prometheus.rules()),
        60,
        lambda: str([r for r in prometheus.rules() if r["health"] != "ok"]),
    )


def check_alert(alert: dict[str, dict[str, str]]) -> None:
    """The alert says what happened, where, how bad it is, and what to do."""
    labels, annotations = alert["labels"], alert["annotations"]
    assert labels["kpi"] == "response_time"
    assert labels["region"] == "emea"
    assert labels["severity"] in ("warning", "critical")
    assert labels["team"] == "support"
    assert labels["owner"] == "head-of-support"
    assert annotations["summary"].startswith("emea waits ")
    assert annotations["description"].startswith("Move agents over")
    assert annotations["runbook_url"] == "https://example.org/runbooks/slow-support"


def check_every_query_finds_data(prometheus: Prometheus) -> None:
    """Each query of each board has had data at some time within a minute and a half."""
    left = {
        (board.name, query)
        for board in BOARDS
        for query in queries(board.read_text())
        if not any(name in query for name in NEVER_IN_A_GOOD_RUN)
    }
    assert len(left) > len(BOARDS)

    def look() -> bool:
        left.difference_update({query for query in left if prometheus.query(query[1])})
        return not left

    until(look, 90, lambda: "these have data:\n" + "\n".join(map(str, sorted(left))), every=2)
