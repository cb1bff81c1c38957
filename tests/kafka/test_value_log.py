"""The past of a KPI, read from what the agent itself has published."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer

from agent.core.model.kpis import Target
from agent.core.model.results import (
    Emitted,
    PastWindow,
    TargetState,
    TargetStatus,
    WindowValue,
)
from agent.kafka import value_log
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.topics import TopicNames
from agent.kafka.value_log import past_windows, published_windows
from agent.settings import Settings, load_settings
from tests.export.invented import COMPANY, MINUTE_MS, RESPONSE, REVENUE

SLOW = Target(at_most=240, warn_at_most=200)


async def _publish(settings: Settings, *emitted: Emitted) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    try:
        publisher = Publisher(producer, TopicNames.of(settings))
        for each in emitted:
            await acknowledged(await publisher.publish_emitted(COMPANY, each))
    finally:
        await producer.stop()


def _window(kpi: str, of: str, minute: int, value: float | None) -> WindowValue:
    end_ms = minute * MINUTE_MS
    return WindowValue(kpi, (of,), end_ms - 5 * MINUTE_MS, end_ms, value, 9)


def _emitted(kpi: str, of: str, minute: int, value: float | None) -> Emitted:
    window = _window(kpi, of, minute, value)
    status = TargetStatus(window, TargetState.MET, None, 1.0, SLOW)
    return Emitted((window,), (status,))


async def test_the_windows_of_a_series_come_back_once_each_with_their_targets() -> None:
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address)
        await _publish(
            settings,
            *(_emitted("response_time", of, n, float(n)) for n in range(30) for of in ("a", "b")),
            *(_emitted("revenue", "a", n, 5.0) for n in range(30)),
            _emitted("response_time", "a", 29, 29.0),  # repeated after a restart
        )
        past = await past_windows(settings, "kpi-values", RESPONSE, ("a",), 20 * MINUTE_MS)
        assert past.is_complete
        assert past.windows == tuple(
            PastWindow(("a",), n * MINUTE_MS, float(n), 9, None, SLOW) for n in range(21, 30)
        )
        every = await past_windows(settings, "kpi-values", RESPONSE, None, 20 * MINUTE_MS)
        assert {w.dimensions for w in every.windows} == {("a",), ("b",)}
        assert len(every.windows) == 18
        revenue = await past_windows(settings, "kpi-values", REVENUE, ("a",), -1)
        assert len(revenue.windows) == 30


async def test_windows_of_an_older_declaration_are_of_no_series_of_today() -> None:
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address)
        await _publish(settings, _emitted("response_time", "a", 29, 29.0))
        renamed = replace(RESPONSE, by=("country",))
        past = await past_windows(settings, "kpi-values", renamed, None, 0)
        assert (past.windows, past.is_complete) == ((), True)
        published = await published_windows(settings, "kpi-values", [renamed], 0)
        assert not published.windows("response_time")
        assert (await past_windows(settings, "kpi-values", RESPONSE, None, 0)).windows


async def test_of_very_many_records_the_newest_are_read_and_the_answer_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(value_log, "MOST_RECORDS", 20)  # a window and its target are two
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address)
        await _publish(settings, *(_emitted("response_time", "a", n, 1.0) for n in range(40)))
        past = await past_windows(settings, "kpi-values", RESPONSE, ("a",), 0)
        assert not past.is_complete
        assert [w.end_ms // MINUTE_MS for w in past.windows] == list(range(30, 40))


async def test_without_a_broker_there_is_no_past() -> None:
    settings = load_settings(brokers="127.0.0.1:1")
    past = await past_windows(settings, "kpi-values", RESPONSE, ("a",), 0)
    assert (past.windows, past.is_complete) == ((), False)
