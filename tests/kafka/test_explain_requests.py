"""Workers that ask each other for explanations over the board topic of an embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent import clock
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault, RulesError
from agent.kafka import explain_requests
from agent.kafka.board_topic import BoardReader
from agent.kafka.client import new_producer
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.explain_requests import (
    FORGOTTEN_MS,
    FRESH_MS,
    ExplainReply,
    ExplainRequest,
    ExplainRequests,
)
from agent.kafka.publish import Publisher
from agent.kafka.topics import TopicNames
from agent.language.load import load
from agent.settings import Settings, load_settings
from tests.kafka.support import RULES

CONFIG_HASH = "c0ffee"


class Worker:
    """Explains over the state partitions that it holds, and counts what it is asked."""

    def __init__(self, name: str, *partitions: int) -> None:
        self.requests = ExplainRequests(name)
        self.name, self.partitions = name, frozenset(partitions)
        self.asked: list[tuple[str, str]] = []

    async def explain(
        self, rule: str, series: str
    ) -> tuple[frozenset[int], int, Sequence[dict[str, Any]]]:
        self.asked.append((rule, series))
        if rule == "broken":
            raise ZeroDivisionError
        if rule == "gone":
            raise RulesError("no rule is called gone")
        return self.partitions, 1, [{"by": self.name}]

    @asynccontextmanager
    async def at_work(
        self, settings: Settings, plan: Plan, config_hash: str = CONFIG_HASH
    ) -> AsyncIterator[None]:
        names = TopicNames.of(settings)
        board = BoardReader(settings, names.board, plan, self.requests)
        producer = new_producer(settings)
        await producer.start()
        tasks = [
            asyncio.create_task(board.run()),
            asyncio.create_task(
                self.requests.run(Publisher(producer, names), config_hash, self.explain)
            ),
        ]
        try:
            async with asyncio.timeout(30):
                while not board.complete:  # noqa: ASYNC110  another task reads it
                    await asyncio.sleep(0.02)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await producer.stop()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    file = tmp_path / "shop.yaml"
    file.write_text(RULES)
    return load(file)


async def test_whoever_holds_a_series_replies_and_nothing_is_left_on_the_topic(plan: Plan) -> None:
    first, second, third = Worker("one", 0), Worker("two", 1, 2), Worker("three", 3)
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address, create_topics=False)
        async with (
            first.at_work(settings, plan),
            second.at_work(settings, plan),
            third.at_work(settings, plan),
        ):
            [reply] = await first.requests.ask(CONFIG_HASH, "low", "region=a", {2})
            assert (reply.partitions, reply.count, reply.series) == ((1, 2), 1, ({"by": "two"},))
            replies = await third.requests.ask(CONFIG_HASH, "low", "", {0, 1, 2})
            assert sorted(reply.series[0]["by"] for reply in replies) == ["one", "two"]
            assert second.asked == [("low", "region=a"), ("low", "")]
            async with asyncio.timeout(30):
                while first.requests.forgotten(2**62):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)


async def test_who_gets_no_reply_says_for_which_partitions_and_goes_on(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_requests, "REPLY_SECONDS", 0.5)
    first, other_rules = Worker("one", 0), Worker("two", 1)
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address, create_topics=False)
        async with (
            first.at_work(settings, plan),
            other_rules.at_work(settings, plan, "other rules"),
        ):
            with pytest.raises(EnvironmentFault, match="state partition 1 within"):
                await first.requests.ask(CONFIG_HASH, "low", "", {1})
            assert other_rules.asked == []
            for rule in ("gone", "broken"):
                with pytest.raises(EnvironmentFault):
                    await other_rules.requests.ask(CONFIG_HASH, rule, "", {0})
            [reply] = await other_rules.requests.ask(CONFIG_HASH, "low", "", {0})
            assert reply.series == ({"by": "one"},)


async def test_before_its_stage_runs_a_worker_can_not_ask() -> None:
    with pytest.raises(EnvironmentFault, match="state partitions 1, 2 within"):
        await ExplainRequests("one").ask(CONFIG_HASH, "low", "", {2, 1})


def request(number: int, at_ms: int) -> ExplainRequest:
    return ExplainRequest("two", number, CONFIG_HASH, "low", "", (0,), at_ms)


async def test_requests_that_are_read_again_later_are_not_replied_to() -> None:
    worker, now_ms = Worker("one", 0), clock.now_ms()
    for number, at_ms in enumerate((now_ms, now_ms - 2 * FRESH_MS, now_ms - FORGOTTEN_MS - 5_000)):
        worker.requests.add(b"key%d" % number, request(number, at_ms))

    class Board:
        written: list[dict[bytes, bytes | None]] = []  # noqa: RUF012

        async def board(self, rows: dict[bytes, bytes | None]) -> list[object]:
            self.written.append(rows)
            return []

    running = asyncio.create_task(worker.requests.run(Board(), CONFIG_HASH, worker.explain))
    await asyncio.sleep(0.05)
    running.cancel()
    [rows] = Board.written
    [value] = rows.values()
    assert msgspec.json.decode(value or b"", type=ExplainReply).number == 0
    assert worker.requests.forgotten(now_ms) == [b"key2"]
