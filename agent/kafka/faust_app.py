"""The Faust app of stage 2, and all use of Faust's internals.

Faust provides stage 2 with its consumer group, the fetched frames, a table with a changelog, and
recovery. No other module imports Faust's app, consumer or streams; the table is `state_table.py`,
its databases `state_store.py`. `INTERNALS` lists the undocumented interfaces in use; a test of that
list fails when a new version changes one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP

from agent.core.state.rows import Row
from agent.errors import EnvironmentFault, InternalError
from agent.kafka.client import (
    FETCHER_WAKEUP_MS,
    METADATA_MAX_AGE_MS,
    PRODUCER_BATCH_BYTES,
    faust_credentials,
)
from agent.kafka.frame_batches import split
from agent.kafka.state_store import make_private
from agent.kafka.state_table import Event, StateTable
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

COMMIT_SECONDS = 3.0
DAY_SECONDS = 86_400.0
FRAMES_BUFFER = 8_192
STOP_TIMEOUT_SECONDS = 5.0
STALL_SECONDS = 30.0
"""A recovery that reads nothing for so long is stuck."""

INTERNALS: tuple[tuple[str, str], ...] = (
    ("faust.transport.consumer:ThreadDelegateConsumer._thread", "the consumer's thread"),
    ("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._consumer", "aiokafka's consumer"),
    ("faust.transport.consumer:Consumer.perform_seek", "seeks after a rebalance"),
    ("faust.transport.consumer:ThreadDelegateConsumer.seek_to_committed", "answers with offsets"),
    ("faust.transport.consumer:ThreadDelegateConsumer.seek_wait", "seeks in the thread"),
    ("faust.transport.consumer:ThreadDelegateConsumer.earliest_offsets", "where logs begin"),
    ("faust.transport.consumer:ThreadDelegateConsumer.highwaters", "where logs end, asked now"),
    ("faust.transport.consumer:ThreadDelegateConsumer.highwater", "the same, as last published"),
    ("aiokafka.consumer.fetcher:Fetcher._fetcher_timeout", "how often it looks for work"),
    ("aiokafka.consumer.consumer:AIOKafkaConsumer._coordinator", "knows of a lost membership"),
    ("aiokafka.consumer.group_coordinator:GroupCoordinator.check_errors", "raises it"),
    ("faust.assignor.partition_assignor:PartitionAssignor.assigned_actives", "what is ours"),
    ("faust.tables.recovery:Recovery.signal_recovery_start", "whether a recovery is due"),
    ("faust.tables.recovery:Recovery.in_recovery", "whether one is under way"),
    ("faust.tables.recovery:Recovery.active_remaining_total", "how many rows it has to read"),
    ("faust.app.base:App.crashed", "whether a service of the app has failed"),
    ("faust.app.base:App.crash_reason", "and why"),
    ("faust.streams:Stream.noack", "events that we acknowledge"),
    ("faust.tables.base:Collection._on_changelog_sent", "notes offsets on disk"),
    ("faust.tables.base:Collection._new_store_by_url", "makes the table's store"),
    ("faust.tables.base:Collection.send_changelog", "writes rows"),
    ("faust.tables.base:Collection.apply_changelog_batch", "reads rows"),
    ("faust.stores.rocksdb:Store._dbs", "the databases that are open"),
    ("faust.stores.rocksdb:Store._db_for_partition", "opens one"),
    ("faust.stores.rocksdb:Store._open_for_partition", "opens one, without looking"),
    ("faust.stores.rocksdb:Store.partition_path", "where one lies"),
    ("faust.stores.rocksdb:Store.offset_key", "the row that holds its offset"),
    ("faust.stores.memory:Store.data", "rows in memory"),
)
"""The undocumented interfaces of Faust and aiokafka in use: `module:Class.name`, and their
purpose."""


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """One message of the frames topic. Faust commits up to the first message not acknowledged."""

    partition: int
    offset: int
    frames: Sequence[bytes]
    event: Event

    def acknowledge(self) -> None:
        """Acknowledge it: a restart does not need it."""
        self.event.ack()


class GroupMember(Protocol):
    """The receiver of the group's events and of the frames of assigned partitions."""

    async def revoked(self) -> None:
        """The group rebalances: no partition is ours until `recovered`."""

    async def recovered(self, partitions: Sequence[int]) -> None:
        """The table is recovered, and these state partitions are ours."""

    async def frame(self, message: FrameMessage) -> None:
        """A message was fetched. Must not raise."""


class _RecoveryProgress:
    """Whether Faust's recovery reads its rows: it would wait without end for those that its
    consumer fetched and dropped in a rebalance."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._unread = 0  # rows, when some were last read
        self._read_at = 0.0

    def check(self, unread: int) -> None:
        """Raise EnvironmentFault if the same number of rows has been unread for long."""
        if not unread or unread != self._unread:
            self._unread, self._read_at = unread, time.monotonic()
        elif time.monotonic() - self._read_at > STALL_SECONDS:
            raise EnvironmentFault(
                f"topic {self._topic}: nothing was read for {STALL_SECONDS:.0f} s, though "
                f"{unread} rows of the state are left"
            )


class FaustApp:
    """One run of Faust for stage 2."""

    def __init__(self, settings: Settings, state_partitions: int, member: GroupMember) -> None:
        self._settings = settings
        self._state_partitions = state_partitions
        self._member = member
        self._names = TopicNames.of(settings)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._fetched: Any = None  # the queue of events that are fetched
        self._starting: asyncio.Task[Any] | None = None
        self._is_assigned = False  # False from a revocation to the next assignment
        self._progress = _RecoveryProgress(self._names.series)
        self._app = self._new_app()
        self._table = self._new_table()
        self._app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        self._app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        frames = self._raw_topic(self._names.frames)
        self._app.agent(frames, name="merge")(self._on_frames)

    # ---- start and stop

    def start(self) -> None:
        """Join the group in the background; `check` raises its failures."""
        self._starting = asyncio.create_task(self._app.start())

    def check(self) -> None:
        """Raise the error of a crashed app, table, group membership or recovery."""
        if self._starting is not None and self._starting.done():
            error = self._starting.exception()
            if error is not None:
                raise error
        self._table.check()
        if self._app.crashed:
            raise self._app.crash_reason or InternalError("the Faust app crashed")
        # Faust would notice the end of its membership at its next fetch, which never happens
        # while no partition is assigned.
        coordinator = getattr(self._client(), "_coordinator", None)
        if coordinator is not None and hasattr(coordinator, "check_errors"):
            coordinator.check_errors()
        recovery = cast(Any, self._app.tables).recovery
        is_reading = self._is_assigned and recovery.in_recovery
        self._progress.check(recovery.active_remaining_total() if is_reading else 0)

    async def stop(self) -> None:
        """Commit, leave the group, close the databases; give up after some seconds."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting], timeout=STOP_TIMEOUT_SECONDS)
        # Without a broker the consumer's thread may end unnoticed; mode would wait for a minute.
        thread = getattr(self._app.consumer, "_thread", None)
        if thread is not None:
            thread.shutdown_timeout = STOP_TIMEOUT_SECONDS
        databases = self._table.databases()
        # mode swallows a cancellation half-way through its services: wait beside it.
        stop = asyncio.create_task(self._app.stop())
        done, _ = await asyncio.wait([stop], timeout=STOP_TIMEOUT_SECONDS + 1)
        if not done or stop.exception() is not None:
            log.warning(
                "the Faust app did not stop cleanly: its group waits for the session timeout"
            )
        # All apps of a process share a signal's receivers: this one would stay forever.
        self._app.on_partitions_revoked.disconnect(self._on_revoked, weak=False)
        self._app.on_partitions_assigned.disconnect(self._on_assigned, weak=False)
        # Faust leaves this to the garbage collector: a hanging task would keep them locked.
        for database in databases:
            database.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    # ---- frames

    @property
    def has_fetched(self) -> bool:
        """Whether more messages are fetched and not delivered yet."""
        return self._fetched is not None and not self._fetched.empty()

    def known_end(self, partition: int) -> int | None:
        """The end offset of a partition's frames, as last fetched; None: not known, or not ours."""
        with contextlib.suppress(IllegalStateError, AssertionError):
            offset: int | None = self._app.consumer.highwater(TP(self._names.frames, partition))
            return offset
        return None

    async def frame_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The end offsets of partitions' frames. Raises IllegalStateError if they are not ours."""
        tps = [TP(self._names.frames, p) for p in partitions]
        ends = await self._app.consumer.highwaters(*tps)
        return {tp.partition: end for tp, end in ends.items() if end is not None}

    async def frame_start(self, partition: int) -> int:
        """The first offset of a partition's frames. Raises IllegalStateError if it is not ours."""
        tp = TP(self._names.frames, partition)
        return (await self._consumer.earliest_offsets(tp)).get(tp) or 0

    async def seek(self, partition: int, offset: int) -> None:
        """Continue reading at an offset. Raises IllegalStateError if the partition is not ours."""
        await self._consumer.seek_wait({TP(self._names.frames, partition): offset})

    async def seek_to_resume(
        self, partitions: Iterable[int]
    ) -> Mapping[int, tuple[int | None, int]]:
        """Seek to the committed offsets, or the starts of the logs; returns both by partition
        (committed None: nothing was committed).

        Faust seeks only where something was committed: frames that it fetched before the recovery
        and dropped would never be read.
        """
        tps = [TP(self._names.frames, p) for p in partitions]
        if not tps:
            return {}
        committed = {tuple(tp): at for tp, at in (await self._consumer.seek_to_committed()).items()}
        starts = await self._consumer.earliest_offsets(*tps)
        positions = {tp.partition: (committed.get(tuple(tp)), starts.get(tp) or 0) for tp in tps}
        await self._consumer.seek_wait(
            {tp: max(positions[tp.partition][0] or 0, positions[tp.partition][1]) for tp in tps}
        )
        return positions

    # ---- the table

    async def stored_rows(self, partitions: Iterable[int]) -> Mapping[int, tuple[int, list[Row]]]:
        """The rows of partitions, each with its highest position (-1: no rows). Raises
        DamagedState."""
        return await asyncio.to_thread(self._table.rows_of, partitions)

    async def write_rows(
        self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], position: int
    ) -> None:
        """Send rows as of a position to the changelog; None deletes."""
        await self._table.write(partition, rows, position)

    async def settle_rows(self) -> None:
        """Wait until the changelog has the rows that were sent."""
        await self._table.settle()

    # ---- inside Faust

    @property
    def _consumer(self) -> Any:
        """Faust's consumer, whose type leaves some of its methods out."""
        return self._app.consumer

    def _client(self) -> Any:
        """aiokafka's consumer, in Faust's thread; None before it has begun."""
        return getattr(getattr(self._app.consumer, "_thread", None), "_consumer", None)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self._is_assigned = False
        await self._member.revoked()

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        self._is_assigned = True

    async def _on_recovered(self) -> None:
        # When the group rebalances during a recovery, Faust ends the recovery as if the changelog
        # were read, though the assignor has the next partitions already; another one follows.
        recovery = cast(Any, self._app.tables).recovery
        is_next_due = recovery.signal_recovery_start.is_set()
        if not self._is_assigned or is_next_due:
            log.info("a recovery was cut short: the partitions are assigned again")
            return
        self._client()._fetcher._fetcher_timeout = FETCHER_WAKEUP_MS / 1000  # Faust has no setting
        assigned = self._app.assignor.assigned_actives()
        ours = sorted(tp.partition for tp in assigned if tp.topic == self._names.frames)
        await self._member.recovered(ours)

    async def _on_frames(self, stream: Any) -> None:
        self._fetched = stream.channel
        async for event in stream.noack().events():
            message = event.message
            frames = split(message.value or b"")
            # Unacknowledged messages must not keep their bytes in memory.
            message.value = event.value = None
            await self._member.frame(FrameMessage(message.partition, message.offset, frames, event))

    def _new_app(self) -> faust.App:
        settings = self._settings
        return faust.App(
            f"{settings.group}-merge",
            broker=[f"aiokafka://{address}" for address in settings.bootstrap],
            broker_credentials=faust_credentials(settings),
            store="memory://" if settings.data_dir is None else "rocksdb://?driver=rocksdict",
            datadir=self._data_folder(),
            Table=StateTable,
            topic_allow_declare=False,  # `topics.ensure` makes them
            topic_disable_leader=True,
            topic_partitions=self._state_partitions,
            autodiscover=False,
            web_enabled=False,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            stream_buffer_maxsize=FRAMES_BUFFER,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
            consumer_max_fetch_size=8 * 1024 * 1024,
            broker_max_poll_records=5_000,
            broker_commit_interval=COMMIT_SECONDS,
            # Frames of unfinished slices stay unacknowledged: no sign of a stuck agent.
            broker_commit_livelock_soft_timeout=DAY_SECONDS,
            stream_processing_timeout=DAY_SECONDS,
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.session_timeout / 4,
            producer_acks=-1,
            producer_compression_type="zstd",
            producer_linger=0.005,
            producer_max_batch_size=PRODUCER_BATCH_BYTES,
            worker_redirect_stdouts=False,
        )

    def _raw_topic(self, name: str, **options: Any) -> Any:
        """A topic with bytes as keys and values, which we decode: a bad one must not stop Faust."""
        return self._app.topic(
            name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
            allow_empty=True, **options,
        )  # fmt: skip

    def _new_table(self) -> StateTable:
        changelog = self._raw_topic(
            self._names.series, partitions=self._state_partitions, compacting=True, acks=False,
            internal=True, maxsize=131_072,
        )  # fmt: skip
        table = self._app.Table(
            "series", key_type=bytes, value_type=bytes, partitions=self._state_partitions,
            changelog_topic=changelog,
        )  # fmt: skip
        table.on_recover(self._on_recovered)
        return cast(StateTable, table)

    def _data_folder(self) -> Path:
        """The folder of Faust, which must exist even if everything is kept in memory.

        Raises EnvironmentFault if it can't be created.
        """
        if self._settings.data_dir is not None:
            folder = self._settings.data_dir / "faust"
            try:
                make_private(folder)
            except OSError as error:
                raise EnvironmentFault(
                    f"the folder for the state can't be made: {folder}: {error.strerror}",
                    "Let data_dir name a folder that this user may write to.",
                ) from error
            return folder
        self._scratch = tempfile.TemporaryDirectory(prefix="kpi-agent-")
        return Path(self._scratch.name)
