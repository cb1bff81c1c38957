"""The order of stage 1, on the embedded broker: nothing is committed before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agent.core.fold.checkpoint import COMMIT_VERSION, Resume
from agent.core.frame import decode
from agent.kafka import partition_counts, source_consumer, source_topics
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.ingest_stage import IngestStage
from agent.kafka.publish import Publisher, Send
from agent.kafka.side_outputs import SideOutputs
from agent.language.load import load
from agent.settings import Settings, load_settings
from tests.kafka.support import RULES, Orders

TPS = [TopicPartition("orders", p) for p in range(PARTITIONS)]


class HeldBack:
    """A publisher whose frames are acknowledged when the test says so, once they cover a record."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def frames(self, frames: Iterable[tuple[int, bytes]]) -> list[Send]:
        self.sent += [data for _, data in frames]
        if self.covered():
            return [Send("frames", 0, self.answer)]
        return []

    def covered(self) -> int:
        """How many records the frames cover."""
        newest = {(f := decode(data)).partition: f.covered for data in self.sent}
        return sum(newest.values())


class Progress:
    """Takes every report, and keeps what was assigned."""

    def __init__(self) -> None:
        self.read: int | None = None
        self.paused: list[tuple[str, int]] = []
        self.records_missed = 0

    def missed(self, _topic: str, _partition: int, records: int) -> None:
        self.records_missed += records

    def assigned(self, partitions: int, paused: list[tuple[str, int]]) -> None:
        self.read, self.paused = partitions, paused

    def __getattr__(self, _name: str) -> Any:
        return lambda *_, **__: None


@contextlib.asynccontextmanager
async def running(
    settings: Settings, publisher: HeldBack, progress: Progress | None = None
) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    stage = IngestStage(
        settings, load(settings.rules), cast(Publisher, publisher),
        cast(SideOutputs, SettlesNothing()), admin, 1, cast(Any, progress or Progress()),
    )  # fmt: skip
    task = asyncio.create_task(stage.run())
    try:
        yield admin
    finally:
        stage.stop()
        await asyncio.wait([task], timeout=60)
        await admin.close()


class SettlesNothing:
    """Side outputs to which nothing is sent."""

    async def settle(self, _sends: Iterable[object]) -> None:
        pass


async def committed(admin: AIOKafkaAdminClient, settings: Settings) -> int:
    """How many records are committed as read."""
    offsets = await admin.list_consumer_group_offsets(f"{settings.group}-ingest", partitions=TPS)
    return sum(
        Resume.parse(at.offset, at.metadata or "").covered
        for at in offsets.values()
        if at.offset >= 0
    )


async def until(look: Any, seconds: float = 120) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await look():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_offsets_are_committed_once_the_frames_that_cover_them_are_acknowledged(
    tmp_path: Path,
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    with EmbeddedBroker() as broker:
        orders = Orders(broker.address)
        orders.write(range(100))
        settings = load_settings(brokers=broker.address, rules=tmp_path, flush_interval=0.1)
        publisher = HeldBack()
        async with running(settings, publisher) as admin:

            async def is_sent() -> bool:
                return publisher.covered() > 0

            async def is_committed() -> bool:
                return await committed(admin, settings) == 100

            await until(is_sent)
            await asyncio.sleep(0.5)
            assert await committed(admin, settings) == 0
            publisher.answer.set_result(None)
            await until(is_committed)


@pytest.mark.timeout(120)
async def test_a_partition_that_a_later_version_committed_is_left_alone_and_reported(
    tmp_path: Path,
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    with EmbeddedBroker() as broker:
        Orders(broker.address).write(range(100))
        settings = load_settings(brokers=broker.address, rules=tmp_path, flush_interval=0.1)
        later = f"{COMMIT_VERSION + 1};what nobody knows yet"
        writer = AIOKafkaConsumer(
            bootstrap_servers=broker.address, group_id=f"{settings.group}-ingest",
            enable_auto_commit=False,
        )  # fmt: skip
        await writer.start()
        writer.assign(TPS)
        await writer.commit({TPS[0]: (1, later)})
        await writer.stop()
        publisher, progress = HeldBack(), Progress()
        publisher.answer.set_result(None)
        async with running(settings, publisher, progress) as admin:

            async def others_are_committed() -> bool:
                at = await admin.list_consumer_group_offsets(writer_group, partitions=TPS)
                return sum(at[tp].offset >= 0 for tp in TPS) == PARTITIONS

            writer_group = f"{settings.group}-ingest"
            await until(others_are_committed)
            assert (progress.read, progress.paused) == (PARTITIONS - 1, [("orders", 0)])
            kept = await admin.list_consumer_group_offsets(writer_group, partitions=TPS[:1])
            assert kept[TPS[0]].metadata == later
            assert {decode(data).partition for data in publisher.sent} == {1, 2, 3}


@pytest.mark.timeout(120)
async def test_what_was_not_read_of_a_topic_that_is_created_again_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    monkeypatch.setattr(source_consumer, "MAX_POLL_RECORDS", 10)  # it lags
    publisher, progress = HeldBack(), Progress()
    publisher.answer.set_result(None)
    count = source_topics.partition_counts

    async def recreated(*asked: Any) -> Any:  # the embedded broker gives no ids
        if publisher.covered() > 0:
            raise source_topics.RecreatedTopicError("orders", "first", "second")
        return await count(*asked)

    monkeypatch.setattr(partition_counts, "partition_counts", recreated)
    with EmbeddedBroker() as broker:
        Orders(broker.address).write(range(4_000))
        settings = load_settings(brokers=broker.address, rules=tmp_path, flush_interval=0.1)
        async with running(settings, publisher, progress):

            async def is_missed() -> bool:
                return progress.records_missed > 0

            await until(is_missed)
    assert progress.records_missed <= 4_000 - publisher.covered()
    assert "was deleted, and created again, before offsets" in caplog.text
