"""A round of stage 2: rows, then results, then acknowledgements; on the embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.kafka.client import new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.faust_app import FaustApp, FrameMessage
from agent.kafka.fetched import Record
from agent.kafka.held_partitions import HeldPartition, HeldPartitions
from agent.kafka.merge_rounds import MergeRounds
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.topic_reader import read_newest
from agent.kafka.topics import TopicNames
from agent.settings import Settings
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale
from tests.kafka.stage_two import (
    ALL_PARTITIONS,
    GUARD_SECONDS,
    Member,
    Progress,
    faust_running,
    settings_for,
)

RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m}}
"""


class Holder(Member):
    """Applies the frames of all state partitions, and leaves the rounds to the test."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.held = HeldPartitions()
        self.messages: list[FrameMessage] = []
        self._plan = plan

    async def recovered(self, partitions: Sequence[int]) -> None:
        self.held.hold(
            {p: HeldPartition(p, Merger(self._plan, p, PARTITIONS), -1, 0) for p in partitions}
        )
        await super().recovered(partitions)

    async def frame(self, message: FrameMessage) -> None:
        held = self.held.get(message.partition)
        if held is not None and message.offset == held.next_offset:
            held.accept(message)
            await held.apply(message.frames, message.offset)
            self.messages.append(message)


class StageTwo:
    """Stage 2 with the frames of one flush applied, before the first round."""

    def __init__(self, settings: Settings, plan: Plan, holder: Holder, app: FaustApp) -> None:
        self.names = TopicNames.of(settings)
        self.progress = Progress()
        self.holder = holder
        self._settings = settings
        self._producer = new_producer(settings)
        publisher = Publisher(self._producer, self.names)
        self.rounds = MergeRounds(plan, publisher, self.progress, holder.held, app)
        self._publisher = publisher

    async def start(self, frames: Sequence[tuple[int, bytes]]) -> None:
        await self._producer.start()
        await acknowledged(await self._publisher.frames(frames))
        async with asyncio.timeout(GUARD_SECONDS):
            while len(self.holder.messages) < PARTITIONS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        self.rounds.applied(sum(len(message.frames) for message in self.holder.messages))

    async def stop(self) -> None:
        await self._producer.stop()

    async def published(self) -> int:
        """The number of records on the values topic."""
        return len(await self._records(self.names.values))

    async def written(self) -> set[int]:
        """The state partitions with rows on the changelog."""
        return {record.partition for record in await self._records(self.names.series)}

    async def _records(self, topic: str) -> list[Record]:
        return await read_newest(self._settings, topic, ALL_PARTITIONS, 1_000)

    def unacknowledged(self) -> set[tuple[int, int]]:
        """Partition and offset of the frames that are not acknowledged."""
        return {(m.partition, m.offset) for m in self.holder.messages if not m.event.acked}


@asynccontextmanager
async def stage_two(broker: EmbeddedBroker, folder: Path) -> AsyncIterator[StageTwo]:
    """Sales of ten minutes in two regions, of which all but the last can close."""
    plan = plan_of(RULES, folder)
    log = [sale(START_MS + 60_000 * i, 1.0, "ab"[i % 2], "c", f"n{i}") for i in range(10)]
    world = World(plan, [log], PARTITIONS)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    frames = [(p, frame) for p, frames in enumerate(world.frames) for frame in frames]
    settings, holder = settings_for(broker.address, None, session_timeout=60), Holder(plan)
    async with faust_running(settings, holder) as app:
        stage = StageTwo(settings, plan, holder, app)
        await stage.start(frames)
        try:
            yield stage
        finally:
            await stage.stop()


async def test_a_round_writes_rows_publishes_results_and_acknowledges_frames(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    async with stage_two(broker, tmp_path) as stage:
        messages = {(m.partition, m.offset) for m in stage.holder.messages}
        emitted = [held for held in stage.holder.held if held.has_emitted]
        assert emitted
        assert (await stage.published(), await stage.written()) == (0, set())
        assert stage.unacknowledged() == messages

        await stage.rounds.run()

        assert await stage.published() > 0
        assert {held.partition for held in emitted} <= await stage.written()
        needed = {held.partition: held.merger.needed_position() for held in stage.holder.held}
        assert stage.unacknowledged() == {(p, o) for p, o in messages if o >= needed[p]}
        assert not any(held.has_emitted for held in stage.holder.held)


async def test_a_round_whose_partitions_are_revoked_publishes_and_acknowledges_nothing(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    async with stage_two(broker, tmp_path) as stage:
        running = asyncio.create_task(stage.rounds.run())
        await asyncio.sleep(0)  # it awaits the first rows
        stage.holder.held.drop("a rebalance")
        await running
        assert await stage.published() == 0
        assert len(stage.unacknowledged()) == len(stage.holder.messages)


@pytest.mark.parametrize("is_done", [False, True])
async def test_frames_wait_until_their_round_is_done(
    broker: EmbeddedBroker, tmp_path: Path, is_done: bool
) -> None:
    async with stage_two(broker, tmp_path) as stage:
        count = sum(len(message.frames) for message in stage.holder.messages)
        if is_done:
            await stage.rounds.run()
        stage.rounds.report_waiting()
        [(frames, seconds)] = stage.progress.waiting
        assert frames == (0 if is_done else count)
        assert seconds >= 0 and (not is_done or seconds == 0)
