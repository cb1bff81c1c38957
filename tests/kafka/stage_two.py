"""What the tests of stage 2 share: rules, state on a broker, Faust and the stage as they run."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Transition
from agent.core.state.rows import row_key
from agent.core.state.series import Series
from agent.kafka.client import new_producer
from agent.kafka.embedded import PARTITIONS
from agent.kafka.faust_app import FaustApp, FrameMessage
from agent.kafka.merge_stage import MergeStage
from agent.kafka.publish import Publisher
from agent.kafka.topics import TopicNames
from agent.language.load import load
from agent.settings import Settings, load_settings
from tests.core.state.stored import row_of, series_of
from tests.kafka.support import RULES

KEY = row_key("revenue", ("a",))
ALL_PARTITIONS = list(range(PARTITIONS))
GUARD_SECONDS = 240  # against hanging only: a loaded machine may take its time


class Progress:
    """What the stage says of itself."""

    def __init__(self) -> None:
        self.partitions: frozenset[int] | None = None
        self.alerts: list[Transition] = []
        self.failed: list[tuple[int, int]] = []
        self.waiting: list[tuple[int, float]] = []

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Not of interest here."""

    def frames_lag(self, partition: int, frames: int) -> None:
        """Not of interest here."""

    def merging(self, frames: int, seconds: float) -> None:
        self.waiting.append((frames, seconds))

    def held(self, partitions: frozenset[int] | None) -> None:
        self.partitions = partitions

    def restored(self, alerts: Sequence[Transition]) -> None:
        self.alerts = list(alerts)

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        self.failed.append((partition, offset))

    def round(self, frames: int, rows: int, published: Sequence[Emitted], seconds: float) -> None:
        """Not of interest here."""

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """Not of interest here."""


class Member:
    """Anybody who works on the partitions, in the stage's place."""

    def __init__(self) -> None:
        self.partitions: Sequence[int] | None = None
        self.app: FaustApp | None = None

    async def revoked(self) -> None:
        self.partitions = None

    async def recovered(self, partitions: Sequence[int]) -> None:
        self.partitions = partitions

    async def frame(self, message: FrameMessage) -> None:
        """Not of interest here."""


def plan_of(folder: Path) -> Plan:
    (folder / "shop.yaml").write_text(RULES)
    return load(folder)


def settings_for(address: str, folder: Path | None, session_timeout: float = 6) -> Settings:
    return load_settings(
        brokers=address, create_topics=False, session_timeout=session_timeout, data_dir=folder
    )


@asynccontextmanager
async def faust_running(
    settings: Settings, member: Member | None = None
) -> AsyncIterator[FaustApp]:
    """Faust, once all partitions are recovered. Raises what ends it before.

    It may have to share them first: a member before it that did not leave in time stays in the
    group until its session is over.
    """
    member = member or Member()
    app = member.app = FaustApp(settings, PARTITIONS, member)
    app.start()
    try:
        async with asyncio.timeout(GUARD_SECONDS):
            while member.partitions != ALL_PARTITIONS:
                await asyncio.sleep(0.05)
                app.check()
        yield app
    finally:
        await app.stop()


@asynccontextmanager
async def stage_running(settings: Settings, plan: Plan, progress: Progress) -> AsyncIterator[None]:
    """The stage, once it holds all partitions, as `faust_running`. Raises what ends it."""
    producer = new_producer(settings)
    await producer.start()
    publisher = Publisher(producer, TopicNames.of(settings))
    stage = MergeStage(settings, plan, publisher, PARTITIONS, progress)
    async with asyncio.TaskGroup() as group:  # ends the test where the stage fails
        running = group.create_task(stage.run())
        try:
            async with asyncio.timeout(GUARD_SECONDS):
                while progress.partitions != set(ALL_PARTITIONS):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            yield
        finally:
            stage.stop()
            await asyncio.wait([running])
            await producer.stop()


async def write_state(settings: Settings, plan: Plan) -> None:
    """A row at position 10, then one at position 5 of a worker that had lost the partition; and
    frames enough for those positions, though none that can be read."""
    names = TopicNames.of(settings)
    producer = new_producer(settings)
    await producer.start()
    for position, first_ms in ((10, 9_000), (5, 4_000)):
        await write_row(producer, names, plan, position, first_ms)
    for partition in range(PARTITIONS):
        for _ in range(12):
            await producer.send(names.frames, b"not a frame", partition=partition)
    await producer.stop()


async def write_row(
    producer: AIOKafkaProducer, names: TopicNames, plan: Plan, position: int, first_ms: int,
    key: bytes = KEY,
) -> None:  # fmt: skip
    """A row of partition 1, as another worker writes it."""
    value = struct.pack(">q", position) + row_at(plan, first_ms)
    await producer.send_and_wait(names.series, value, struct.pack(">H", 1) + key, partition=1)


def row_at(plan: Plan, first_ms: int) -> bytes:
    return row_of(Series.new("revenue", plan.kpis["revenue"].fingerprint, ("a",), first_ms))


async def stored(app: FaustApp) -> tuple[int, list[tuple[bytes, int]]]:
    """What partition 1 has: the highest position, and each row by when its series begins."""
    position, rows = (await app.stored_rows([1]))[1]
    return position, [(key, series_of(key, row).first_ms) for key, row in rows]
