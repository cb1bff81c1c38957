"""The state table: recovery fences rows that a later position has overtaken."""

from __future__ import annotations

import asyncio
import gc
import struct
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from agent.core.state.rows import row_key
from agent.core.state.series import born
from agent.kafka.client import new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.merge_stage import MergeStage
from agent.kafka.publish import Publisher
from agent.kafka.topics import TopicNames
from agent.language.load import load
from agent.settings import Settings, load_settings
from tests.core.state.stored import row_of, series_of
from tests.kafka.support import RULES

KEY = row_key("revenue", ("a",))


class Heard:
    """What the stage told."""

    def __init__(self) -> None:
        self.partitions: frozenset[int] | None = None
        self.failed: list[tuple[int, int]] = []

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Not of interest here."""

    def frames_lag(self, partition: int, frames: int) -> None:
        pass

    def merging(self, frames: int, seconds: float) -> None:
        pass

    def held(self, partitions: frozenset[int] | None) -> None:
        self.partitions = partitions

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        self.failed.append((partition, offset))

    def round(self, frames: int, rows: int, told: Sequence[Emitted], seconds: float) -> None:
        pass

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        pass


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "shop.yaml").write_text(RULES)
    return load(tmp_path)


async def started(stage: MergeStage, heard: Heard) -> asyncio.Task[None]:
    """The running stage, once it holds all partitions."""
    running = asyncio.create_task(stage.run())
    async with asyncio.timeout(40):
        while heard.partitions is None and not running.done():  # noqa: ASYNC110  another's news
            await asyncio.sleep(0.05)
    return running


async def write_state(producer: AIOKafkaProducer, names: TopicNames, plan: Plan) -> None:
    """A row at position 10, then one at position 5 of a worker that had lost the partition; and
    frames enough for those positions, though none that can be read."""
    fingerprint = plan.kpis["revenue"].fingerprint
    key = struct.pack(">H", 1) + KEY
    for position, at_ms in ((10, 9_000), (5, 4_000)):
        row = row_of(born("revenue", fingerprint, ("a",), at_ms))
        value = struct.pack(">q", position) + row
        await producer.send_and_wait(names.series, value, key, partition=1)
    for partition in range(PARTITIONS):
        for _ in range(12):
            await producer.send(names.frames, b"not a frame", partition=partition)
    await producer.flush()


def settings_for(address: str, folder: Path | None) -> Settings:
    return load_settings(brokers=address, create_topics=False, session_timeout=6, data_dir=folder)


@pytest.mark.parametrize("store", ["memory", "rocksdict"])
async def test_the_row_of_the_later_position_stands_and_unreadable_frames_are_passed_over(
    plan: Plan, tmp_path: Path, store: str
) -> None:
    with EmbeddedBroker() as broker:
        settings = settings_for(broker.address, tmp_path if store == "rocksdict" else None)
        names, heard = TopicNames.of(settings), Heard()
        producer = new_producer(settings)
        await producer.start()
        await write_state(producer, names, plan)
        stage = MergeStage(settings, plan, Publisher(producer, names), PARTITIONS, heard)
        running = await started(stage, heard)
        try:
            assert heard.partitions == frozenset(range(PARTITIONS))
            high, rows = stage._table.rows_of([1])[1]
            assert high == 10
            assert [(key, series_of(key, row).first_ms) for key, row in rows] == [(KEY, 9_000)]
            async with asyncio.timeout(20):
                while len(heard.failed) < 12 * PARTITIONS:  # noqa: ASYNC110  another's news
                    await asyncio.sleep(0.05)
        finally:
            stage.stop()
            await running
            await producer.stop()
        assert sorted(heard.failed) == [(p, at) for p in range(PARTITIONS) for at in range(12)]


def row_at(plan: Plan, first_ms: int) -> bytes:
    return row_of(born("revenue", plan.kpis["revenue"].fingerprint, ("a",), first_ms))


def first_ms_on_disk(stage: MergeStage) -> list[int]:
    """The rows of partition 1, by when their series begin."""
    return [series_of(key, row).first_ms for key, row in stage._table.rows_of([1])[1][1]]


async def test_a_row_is_on_disk_only_once_the_changelog_has_it(plan: Plan, tmp_path: Path) -> None:
    # If it were before, a worker killed in between would go on from what no other worker can know.
    with EmbeddedBroker() as broker:
        settings, heard = settings_for(broker.address, tmp_path), Heard()
        names = TopicNames.of(settings)
        producer = new_producer(settings)
        await producer.start()
        await write_state(producer, names, plan)
        stage = MergeStage(settings, plan, Publisher(producer, names), PARTITIONS, heard)
        running = await started(stage, heard)
        try:
            await stage._table.write(1, [(KEY, row_at(plan, 11_000))], 11)
            assert first_ms_on_disk(stage) == [9_000]
            await stage._table.settle()
            assert first_ms_on_disk(stage) == [11_000]
        finally:
            stage.stop()
            await running
            await producer.stop()


async def test_what_a_worker_wrote_in_its_sleep_does_not_hide_what_its_successor_wrote(
    plan: Plan, tmp_path: Path
) -> None:
    with EmbeddedBroker() as broker:
        settings = settings_for(broker.address, tmp_path)
        names = TopicNames.of(settings)
        producer = new_producer(settings)
        await producer.start()
        await write_state(producer, names, plan)
        for awake in (False, True):
            heard = Heard()
            stage = MergeStage(settings, plan, Publisher(producer, names), PARTITIONS, heard)
            running = await started(stage, heard)
            try:
                if awake:
                    assert first_ms_on_disk(stage) == [11_000]
                else:
                    value = struct.pack(">q", 11) + row_at(plan, 11_000)
                    key = struct.pack(">H", 1) + KEY
                    await producer.send_and_wait(names.series, value, key, partition=1)
                    await stage._table.write(1, [(KEY, row_at(plan, 8_000))], 8)
                    await stage._table.settle()
            finally:
                stage.stop()
                await running
        await producer.stop()


async def test_of_a_stage_that_is_over_nothing_is_left(plan: Plan) -> None:
    # Every reload of the rules begins a new one.
    with EmbeddedBroker() as broker:
        settings, heard = settings_for(broker.address, None), Heard()
        producer = new_producer(settings)
        await producer.start()
        publisher = Publisher(producer, TopicNames.of(settings))
        stage = MergeStage(settings, plan, publisher, PARTITIONS, heard)
        running = await started(stage, heard)
        stage.stop()
        await running
        await producer.stop()
        left = weakref.ref(stage)
        del stage, running
        gc.collect()
        assert left() is None


async def test_frames_that_faust_drops_at_the_end_of_a_rebalance_are_fetched_again(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedBroker() as broker:
        settings = settings_for(broker.address, None)
        names, heard = TopicNames.of(settings), Heard()
        producer = new_producer(settings)
        await producer.start()
        await write_state(producer, names, plan)
        stage = MergeStage(settings, plan, Publisher(producer, names), PARTITIONS, heard)
        consumer = stage._app.consumer
        seek, take_round = consumer.perform_seek, stage._round

        async def slow_seek() -> None:
            """As on a busy machine: frames come in before Faust empties its queues."""
            await seek()
            await asyncio.sleep(2)

        async def slow_round() -> None:
            await asyncio.sleep(1)
            await take_round()

        monkeypatch.setattr(consumer, "perform_seek", slow_seek)
        monkeypatch.setattr(stage, "_round", slow_round)
        running = await started(stage, heard)
        try:
            async with asyncio.timeout(20):
                while len(heard.failed) < 12 * PARTITIONS:  # noqa: ASYNC110  another's news
                    await asyncio.sleep(0.05)
        finally:
            stage.stop()
            await running
            await producer.stop()
        assert sorted(heard.failed) == [(p, at) for p in range(PARTITIONS) for at in range(12)]
