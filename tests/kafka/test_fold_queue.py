"""Batches in the order of the log, and frames behind what they cover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Folder
from agent.core.frame import decode
from agent.kafka.fold_queue import FoldQueue, IdleSnapshot
from agent.kafka.lookup_reader import LookupReader
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.side_outputs import Sent, SideOutputs
from agent.language.load import load
from agent.settings import Settings
from tests.kafka.fetched import fetched, record
from tests.kafka.support import RULES

NOW_MS = 1_700_000_100_000
TP = TopicPartition("orders", 0)


class Progress:
    """Counts what was folded."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}

    def folded(self, _topic: str, added: Any, _seconds: float) -> None:
        for (outcome, *_), number in added.counts.items():
            self.outcomes[outcome.value] = self.outcomes.get(outcome.value, 0) + number

    def watermark(self, *_: object) -> None:
        """Not of interest here."""

    def shortened(self, *_: object) -> None:
        """Not of interest here."""


class Outputs:
    """Keeps the offsets of what was set aside."""

    def __init__(self) -> None:
        self.dead: list[int] = []

    async def dead_letter(self, record: ConsumerRecord[Any, Any], *_: object) -> Sent:
        self.dead.append(record.offset)
        return Sent("dead", record, [], None)


def order(offset: int) -> ConsumerRecord[Any, Any]:
    at = 1_700_000_000_000 + offset * 100
    event = {"id": offset, "at": at, "amount": 1.0, "region": "a"}
    return replace(record(0, offset, msgspec.json.encode(event)), timestamp=at)


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[FoldQueue]:
    (tmp_path / "rules.yaml").write_text(RULES)
    plan = load(tmp_path)
    folder = Folder(plan, "orders", 1)
    folder.assign(0, None)
    outputs = cast(SideOutputs, Outputs())
    registry = SchemaRegistry(Settings(), plan)
    made = FoldQueue(
        {"orders": folder}, outputs, cast(Any, Progress()), lambda: NOW_MS, registry,
        LookupReader(Settings(), plan),
    )  # fmt: skip
    yield made
    made.close()


async def counts() -> Mapping[str, int]:
    return {"orders": 1}


def idle() -> IdleSnapshot:
    return IdleSnapshot(NOW_MS, {"orders": {0: None}})


async def test_a_flush_covers_what_was_added_before_and_nothing_later(queue: FoldQueue) -> None:
    await queue.add({TP: fetched(*map(order, range(3)))})
    first = queue.flush(idle(), counts())
    await queue.add({TP: fetched(*map(order, range(3, 5)))})
    assert queue.unflushed == 2
    (_, message), *_ = (await first).frames
    assert decode(message).covered == 3
    (_, message), *_ = (await queue.flush(idle(), counts())).frames
    assert decode(message).covered == 5


async def test_a_flush_names_what_was_set_aside_of_the_records_that_it_covers(
    queue: FoldQueue,
) -> None:
    await queue.add({TP: fetched(order(0), record(0, 1, b"rubbish"))})
    first = queue.flush(idle(), counts())
    await queue.add({TP: fetched(record(0, 2, b"rubbish"))})
    assert [sent.record.offset for sent in (await first).sent] == [1]
    second = await queue.flush(idle(), counts())
    assert [sent.record.offset for sent in second.sent] == [2]
    assert list(second.commits) == [TP]


async def test_at_most_two_fetches_are_under_way(queue: FoldQueue) -> None:
    started = asyncio.get_running_loop().time()
    for first in range(0, 30, 3):
        await queue.add({TP: fetched(*map(order, range(first, first + 3)))})
    await queue.add({})  # nothing came: all is folded
    await queue.drain()
    assert queue.folders["orders"].sources[0].covered == 30
    assert asyncio.get_running_loop().time() - started < 60


async def test_a_fault_while_folding_is_raised_by_the_next_fetch(queue: FoldQueue) -> None:
    def fail(_: Batch, *__: object) -> None:
        raise ValueError("ours")

    queue.folders["orders"].fold = fail  # type: ignore[method-assign,assignment]
    await queue.add({TP: fetched(order(0))})
    with pytest.raises(ValueError, match="ours"):
        await queue.add({})
