"""The whole `run` path on the embedded broker, with agents that are killed and join."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Message

from agent.core.changes.inventory import from_bytes
from agent.core.changes.outline import public_outline
from agent.language.load import load
from tests.integration.waiting import until
from tests.kafka.support import RULES, Agent, Orders, Published

pytestmark = pytest.mark.timeout(300)  # rebalances take long on the embedded broker


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "shop.yaml").write_text(RULES)
    return folder


def wait_ready(agent: Agent, seconds: float = 80) -> None:
    deadline = time.monotonic() + seconds
    while agent.get("/-/ready")[0] != 200:
        assert time.monotonic() < deadline, agent.get("/-/ready")[1]
        time.sleep(0.1)


def headers_of(message: Message) -> dict[str, str]:
    """The headers of a message as text."""
    headers = message.headers()
    assert isinstance(headers, list)
    return {name: bytes(value or b"").decode() for name, value in headers}  # type: ignore[arg-type]


def assert_exact(published: Published, orders: int) -> None:
    """Every full window of `orders` orders, ten a second, holds what was written, once."""
    revenue, counts = published.windows("revenue"), published.windows("orders")
    seconds = orders // 10
    assert len(revenue) >= 2 * (seconds // 5 - 1)
    assert set(revenue.values()) == {25.0}
    inner = sorted(counts)[1:]  # the first window began before the first order
    assert {counts[key] for key in inner} == {100.0}
    assert published.contradictions() == []


def test_a_killed_agent_is_replaced_without_loss_and_nothing_counts_twice(
    address: str, rules: Path
) -> None:
    orders, published = Orders(address), Published(address)
    orders.write(range(500))
    first = Agent(address, rules)
    try:
        published.until(lambda: len(published.windows("revenue")) >= 10)
        for start in range(500, 1500, 50):  # read, flushed and published in part when the cut comes
            orders.write(range(start, start + 50))
            time.sleep(0.05)
    finally:
        first.kill()
    orders.write(range(1500, 2000))
    orders.raw(b"rubbish", 0)
    orders.flush()
    second = Agent(address, rules)
    try:
        published.until(lambda: len(published.windows("revenue")) >= 78)
        published.until(lambda: bool(published.on("kpi-agent-dead-letters")))
        assert_exact(published, 2000)
        [dead] = published.on("kpi-agent-dead-letters")
        assert dead.value() == b"rubbish"
        headers = headers_of(dead)
        assert headers["kpi-agent-topic"] == "orders"
        assert headers["kpi-agent-partition"] == "0"
        assert headers["kpi-agent-offset"] == "500"
        assert headers["kpi-agent-reason"] == "not_json"
        assert second.stop() == 0
    finally:
        second.kill()
        published.close()


def test_starting_at_the_latest_leaves_out_what_was_written_before(
    address: str, rules: Path
) -> None:
    orders, published = Orders(address), Published(address)
    orders.write(range(500))
    agent = Agent(address, rules, start_from="latest")
    try:
        wait_ready(agent)
        orders.write(range(500, 1000))
        published.until(lambda: len(published.windows("revenue")) >= 16)
        agent.kill()
        orders.write(range(1000, 1100))
        agent = Agent(address, rules, start_from="latest")  # goes on where it was
        published.until(lambda: len(published.windows("revenue")) >= 22)
        assert set(published.windows("revenue").values()) == {25.0}
        assert min(start for _, start in published.windows("revenue")) == "2023-11-14T22:14:10Z"
        assert published.contradictions() == []
    finally:
        agent.kill()
        published.close()


def test_a_missing_topic_is_waited_for_and_rules_are_reloaded_whole_or_not_at_all(
    address: str, rules: Path
) -> None:
    agent, published = Agent(address, rules), Published(address)
    try:
        deadline = time.monotonic() + 120
        while "orders" not in agent.get("/-/ready")[1]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert agent.get("/-/healthy")[0] == 200
        at_start = agent.counters()
        orders = Orders(address)
        orders.write(range(300))
        published.until(lambda: len(published.windows("revenue")) >= 8)
        wait_ready(agent)
        # An increase from nothing is none: no alert sees the first error of a counter that is born
        # with it. Only what was missed is by partition, and its alert compares with nothing.
        born = {name for name in agent.counters() - at_start if "records_missed" not in name}
        assert born == set()

        shop, plan = rules / "shop.yaml", load(rules)
        shop.write_text(RULES.replace("sum(amount)", "sum(amuont)"))
        status, reported = agent.get("/-/reload", "POST")
        assert status == 400 and "amount" in reported
        assert agent.get("/-/ready")[0] == 200
        status, reported = agent.get("/api/v1/explain?rule=low&series=region=a")
        assert status == 200, reported
        [series] = json.loads(reported)["series"]
        assert (status, series["dimensions"]) == (200, {"region": "a"})
        assert series["alerts"][0]["when"]["clauses"][0]["values"] == "25 < 20"
        assert agent.get("/api/v1/explain?rule=lo")[0] == 404
        status, reported = agent.get("/api/v1/rules")
        used = from_bytes(reported.encode())
        assert used.rules == public_outline(plan)
        assert used.held is not None and used.held.series["revenue"] == 2

        more = RULES.replace(
            "rules:\n", "  biggest: {from: order, value: max(amount), window: 5s}\nrules:\n"
        )
        shop.write_text(more)
        status, reported = agent.get("/-/reload", "POST")
        assert status == 200
        assert reported.startswith("1 KPI added; all state is kept; ")
        orders.write(range(300, 800))
        published.until(lambda: len(published.windows("biggest")) >= 5)
        published.until(lambda: len(published.windows("revenue")) >= 30)
        assert set(published.windows("revenue").values()) == {25.0}
        assert published.contradictions() == []
        assert agent.stop() == 0
    finally:
        agent.kill()
        published.close()


def test_a_reload_that_is_asked_for_while_it_starts_does_not_end_it(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shop.yaml").write_text(RULES)
    options = ["--brokers", "127.0.0.1:1", "--rules", str(rules), "--port", "0"]
    command = [sys.executable, "-m", "agent", "run", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: held_back(process.pid, signal.SIGHUP), 20, "the signal is held back")
            process.send_signal(signal.SIGHUP)
            assert process.stderr is not None
            assert any("serving http" in line for line in process.stderr)
        finally:
            process.kill()


def held_back(pid: int, number: signal.Signals) -> bool:
    """Whether a process lets a signal wait (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.split("SigBlk:")[1].split()[0], 16) >> (number - 1) & 1)
