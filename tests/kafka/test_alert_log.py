"""The last transitions of alerts: kept by event time, each once, there again after a restart."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from confluent_kafka import Producer

from agent.core.output.messages import iso
from agent.kafka import alert_log
from agent.kafka.alert_log import AlertLog
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.settings import load_settings
from tests.kafka.support import until


def transition(number: int, state: str = "firing", **more: Any) -> tuple[bytes, bytes]:
    """Key and value of a message of the alerts topic; `number` is its second of event time."""
    named = {
        "rule": "low", "severity": "warning", "kpi": "revenue", "dimensions": {"region": "a"},
        "episode": iso(number * 1000), "state": state,
    }  # fmt: skip
    body = {**named, "at": iso(number * 1000), "kind": "rule", **more}
    return json.dumps(named).encode(), json.dumps(body).encode()


def log_of(*messages: tuple[bytes, bytes | None]) -> AlertLog:
    log = AlertLog(load_settings(), "kpi-alerts")
    for key, value in messages:
        log.add(key, value)
    return log


def test_the_newest_by_event_time_come_first_and_a_repeat_counts_once() -> None:
    second = transition(2, processed="2026-01-01T00:00:02Z")
    again = transition(2, processed="2026-01-01T00:00:09Z")
    log = log_of(transition(3), transition(1), second, again)
    assert [alert["at"] for alert in log.transitions()] == [iso(3_000), iso(2_000), iso(1_000)]
    assert log.changes == 4


def test_milliseconds_that_are_left_out_are_zero() -> None:
    log = log_of(transition(1), transition(1, "resolved", at="1970-01-01T00:00:01.500Z"))
    assert [alert["state"] for alert in log.transitions()] == ["resolved", "firing"]


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_log, "KEPT", 10)
    log = log_of(*(transition(number) for number in [*range(50, 100), *range(50)]))
    assert [alert["at"] for alert in log.transitions()] == [
        iso(n * 1000) for n in range(99, 89, -1)
    ]


@pytest.mark.parametrize("value", [None, b"", b"rubbish", b"[1]", b'{"at": 5}', b'{"rule": "x"}'])
def test_what_is_no_transition_is_passed_over(value: bytes | None) -> None:
    assert log_of((b"key", value)).transitions() == []


async def test_a_worker_that_starts_has_what_was_published_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_log, "KEPT", 5)
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address})
        for number in range(40):
            key, value = transition(number)
            producer.produce("kpi-alerts", value, key, partition=number % PARTITIONS)
        producer.flush()
        log = AlertLog(load_settings(brokers=broker.address), "kpi-alerts")
        reading = asyncio.create_task(log.run())
        try:
            await until(lambda: log.complete)
            assert [alert["at"] for alert in log.transitions()] == [
                iso(n * 1000) for n in range(39, 34, -1)
            ]
            assert log.changes == 5 * PARTITIONS
            producer.produce("kpi-alerts", *reversed(transition(50)))
            producer.flush()
            await until(lambda: log.transitions()[0]["at"] == iso(50_000))
        finally:
            reading.cancel()
            await asyncio.wait([reading])
