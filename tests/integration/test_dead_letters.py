"""Dead letters of a contract that was too strict come back by restatement, once each, though the
agent and the command are killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import datetime

import pytest
from confluent_kafka import Producer

from agent.kafka.value_log import published_windows
from agent.language.load import load
from agent.settings import load_settings

from .feeds import evaluated, read
from .stage import PARTITIONS, PERSON_SECRET, Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

RULES = """\
version: 1
defaults: {lateness: 1s, idle_after: 1h}
events:
  order:
    topic: PREFIXorders
    time: at
    fields: {amount: {type: float, minimum: MINIMUM, required: true}, region: string}
kpis:
  revenue: {from: order, value: sum(amount), by: [region], window: 5s}
  orders: {from: order, value: count(*), window: 10s every 5s}
  mean: {from: [revenue], by: [], value: max(revenue)}
  of_the_day: {from: order, value: sum(amount), window: day}
"""
SECONDS = 60
REGIONS = ("north", "south")


Windows = dict[tuple[object, ...], tuple[float | None, int]]


def write_rules(stage: Stage, minimum: int) -> None:
    stage.rules.mkdir(parents=True, exist_ok=True)
    text = RULES.replace("PREFIX", stage.prefix).replace("MINIMUM", str(minimum))
    (stage.rules / "shop.yaml").write_text(text)


def sell(stage: Stage, seconds: range) -> tuple[int, int]:
    """Orders of every region, each second and partition; every seventh is a refund, which the first
    contract rejects, and some have no amount. How many refunds, and how many without.

    The last second has neither: what is rejected moves no watermark."""
    producer = Producer({"bootstrap.servers": stage.broker.address})
    refunds = broken = 0
    for second in seconds:
        for partition in range(PARTITIONS):
            for number, region in enumerate(REGIONS):
                amount: float | None = float(second + partition)
                if second == seconds[-1]:
                    pass
                elif (second + partition + number) % 7 == 0:
                    amount, refunds = -1.0 - second, refunds + 1
                elif (second + partition + number) % 31 == 0:
                    amount, broken = None, broken + 1
                at_ms = stage.start_ms + second * 1000
                event = {"type": "order", "at": at_ms, "amount": amount, "region": region}
                producer.produce(f"{stage.prefix}orders", json.dumps(event), partition=partition)
    assert producer.flush(60) == 0
    return refunds, broken


def command(stage: Stage, *options: str) -> subprocess.Popen[str]:
    """`kpi-agent restate --dead-letters`, started."""
    settings = {
        "BROKERS": stage.broker.address, "GROUP": f"{stage.prefix}agent",
        "TOPIC_PREFIX": f"{stage.prefix}agent", "VALUES_TOPIC": stage.values_topic,
        "ALERTS_TOPIC": stage.alerts_topic,
    }  # fmt: skip
    words = ["restate", "--dead-letters", "--rules", str(stage.rules), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *words],
        env=os.environ | {f"KPI_AGENT_{name}": value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def closed(stage: Stage) -> Windows:
    """The windows as they are published and corrected."""
    plan, settings = load(stage.rules), load_settings(brokers=stage.broker.address)
    reading = published_windows(settings, stage.values_topic, plan.kpis.values(), 0)
    windows = asyncio.run(reading)
    return {
        (kpi, w.dimensions, w.start_ms): (w.value, w.events)
        for kpi in plan.kpis
        for w in windows.windows(kpi).values()
    }


def true(stage: Stage) -> Windows:
    """The windows that a replay of the topic by today's contract closes."""
    address, folder = stage.broker.address, stage.folder / "events"
    lines = evaluated(address, stage.rules, stage.topics, folder, PERSON_SECRET).closed.values()
    return {
        (
            line["kpi"],
            tuple(line["dimensions"].values()),
            round(datetime.fromisoformat(line["start"]).timestamp() * 1000),
        ): (line["value"], line["events"])
        for line in lines
    }


def wait_closed(stage: Stage, expected: Windows) -> None:
    """Wait until exactly these windows are published."""

    def others() -> list[str]:
        have = closed(stage)
        keys = have.keys() | expected.keys()
        return [
            f"{k}: {have.get(k)} {expected.get(k)}" for k in keys if have.get(k) != expected.get(k)
        ]

    until(lambda: not others(), 60, lambda: "\n".join([*others()[:5], stage.words()]))


def test_good_ones_count_once_in_closed_windows(stage: Stage) -> None:
    write_rules(stage, minimum=0)
    stage.topics = [f"{stage.prefix}orders"]
    stage.create_topics()
    refunds, broken = sell(stage, range(SECONDS))
    agent = stage.agent("agent")
    agent.start()
    agent.wait_ready()
    until(lambda: len(closed(stage)) > 20, 60, stage.words)
    agent.kill()
    agent.start()
    agent.wait_ready()
    strict = true(stage)
    wait_closed(stage, strict)
    dead = read(stage.broker.address, [f"{stage.prefix}agent-dead-letters"])
    assert len({record.headers["kpi-agent-offset"] for record in dead}) > 1
    assert all(int(r.headers["kpi-agent-timestamp"]) >= stage.start_ms for r in dead)

    write_rules(stage, minimum=-1000)
    agent.kill()
    agent.start()
    agent.wait_ready()
    mended = true(stage)
    assert mended != strict and mended.keys() == strict.keys()
    looking = command(stage)
    report, said = looking.communicate(timeout=60)
    assert looking.returncode == 0, said
    assert f"{refunds + broken} dead letters; {refunds} are good now" in report
    assert f"{broken} wrong_type" in report or f"{broken} missing_field" in report
    assert "of_the_day: windows are not closed for" in report
    assert "Nothing was published" in said
    assert closed(stage) == strict

    for seconds in (1.0, 1.6, 2.2, 2.8):
        killed = command(stage, "--apply")
        time.sleep(seconds)
        killed.kill()
        killed.communicate()
    applied = command(stage, "--apply")
    assert applied.wait(60) == 0, applied.communicate()
    assert closed(stage) == mended
    again = command(stage, "--apply")
    report, said = again.communicate(timeout=60)
    assert "0 windows are corrected" in said
    agent.kill()
    agent.start()
    agent.wait_ready()
    sell(stage, range(SECONDS, SECONDS + 20))
    until(lambda: closed(stage).keys() >= true(stage).keys(), 60, stage.words)
    # Windows that were open at the reload had lost the slices that were finished by then.
    assert command(stage, "--apply").wait(60) == 0
    assert closed(stage) == true(stage)
