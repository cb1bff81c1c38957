"""The consumer of the source topics: fetches, positions and commits.

A thin wrapper of aiokafka's consumer. It reads record batches (`batch_fetch`), never resets offsets
by itself (`auto_offset_reset` is `none`: a reset would hide a gap), and a waiting fetch can be
interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from agent.kafka.batch_fetch import enable_batch_fetch, refresh_metadata
from agent.kafka.client import connection
from agent.kafka.fetched import Fetched
from agent.settings import Settings

log = logging.getLogger(__name__)

_unless_revoked = contextlib.suppress(IllegalStateError, AssertionError)
"""What aiokafka raises about a partition that is just being revoked."""

MAX_POLL_RECORDS = 30_000  # two batches are in memory at a time
MAX_FETCH_BYTES = 32 * 1024 * 1024
MAX_PARTITION_FETCH_BYTES = 8 * 1024 * 1024
FETCH_MARGIN_SECONDS = 0.25
COMMIT_TIMEOUT_SECONDS = 10.0

Commits = Mapping[TopicPartition, OffsetAndMetadata]
OnRebalance = Callable[[Sequence[TopicPartition]], Awaitable[None]]


class SourceConsumer:
    """Reads the source partitions that the group `<group>-ingest` has assigned here."""

    def __init__(
        self, settings: Settings, on_revoked: OnRebalance, on_assigned: OnRebalance
    ) -> None:
        """`on_revoked` and `on_assigned` are called in rebalances; aiokafka swallows their
        exceptions."""
        self.group = f"{settings.group}-ingest"
        self._consumer = AIOKafkaConsumer(
            **connection(settings),
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            max_poll_records=MAX_POLL_RECORDS,
            fetch_max_bytes=MAX_FETCH_BYTES,
            max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.session_timeout * 1000 / 4),
        )
        self._listener = _Listener(on_revoked, on_assigned)
        self._fetching: asyncio.Future[Mapping[TopicPartition, Fetched]] | None = None

    async def start(self) -> None:
        """Connect; nothing is read before `subscribe`."""
        await self._consumer.start()
        enable_batch_fetch(self._consumer)

    async def stop(self) -> None:
        """Leave the group."""
        await self._consumer.stop()

    # ---- the group

    def subscribe(self, topics: Collection[str]) -> None:
        """Replace the subscription; the next rebalance assigns partitions of these topics."""
        self._consumer.subscribe(list(topics), listener=self._listener)

    @property
    def is_subscribed(self) -> bool:
        """Whether any topic is subscribed to."""
        return bool(self._consumer.subscription())

    def rejoin(self) -> None:
        """Refresh the metadata, so that the group assigns new partitions."""
        refresh_metadata(self._consumer)

    async def commit(self, commits: Commits) -> bool:
        """Commit offsets; returns whether the group has accepted them. A lost membership is no
        error: the group reassigns the partitions, and their next owner reads from the last
        commit."""
        try:
            await asyncio.wait_for(self._consumer.commit(dict(commits)), COMMIT_TIMEOUT_SECONDS)
        except (CommitFailedError, IllegalStateError):
            log.info("offsets not committed: the group is rebalancing")
        except TimeoutError:
            log.warning("offsets not committed within %.0f s", COMMIT_TIMEOUT_SECONDS)
        else:
            return True
        return False

    # ---- records

    async def fetch(self, timeout_ms: int) -> Mapping[TopicPartition, Fetched]:
        """Fetch records, waiting up to a timeout; none if `interrupt` is called.

        During a rebalance, `getmany` exceeds its timeout; it is cancelled before it returns any
        record. Raises OffsetOutOfRangeError, with the positions that are out of their logs'
        ranges.
        """
        fetching = asyncio.ensure_future(self._consumer.getmany(timeout_ms=timeout_ms))
        self._fetching = fetching
        try:
            await asyncio.wait([fetching], timeout=timeout_ms / 1000 + FETCH_MARGIN_SECONDS)
        finally:
            fetching.cancel()
        await asyncio.wait([fetching])
        if fetching.cancelled():
            return {}
        try:
            fetched: Mapping[TopicPartition, Fetched] = fetching.result()
        except NoOffsetForPartitionError:
            return {}  # a response from before `seek`
        except OffsetOutOfRangeError as error:
            out = {tp: at for tp, at in error.args[0].items() if await self._is_at(tp, at)}
            if out:
                raise OffsetOutOfRangeError(out) from error
            return {}
        return fetched

    def interrupt(self) -> None:
        """End a waiting fetch."""
        if self._fetching is not None:
            self._fetching.cancel()

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Continue reading a partition at an offset."""
        self._consumer.seek(tp, offset)

    def pause(self, tp: TopicPartition) -> None:
        """Fetch nothing of a partition until it is assigned again."""
        self._consumer.pause(tp)

    async def _is_at(self, tp: TopicPartition, offset: int) -> bool:
        with _unless_revoked:
            return bool(await self._consumer.position(tp) == offset)
        return False

    # ---- positions

    def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic, by metadata of the last half minute."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    async def remaining(self, tp: TopicPartition) -> int | None:
        """How many records of a partition are not read yet, by the last response of its broker;
        None if that is not known, or the partition is just being revoked."""
        with _unless_revoked:
            position, end = await self._consumer.position(tp), self.end(tp)
            return None if end is None else max(0, end - position)
        return None

    def end(self, tp: TopicPartition) -> int | None:
        """The end offset of a partition, by the last response of its broker, if there was one."""
        with _unless_revoked:
            return cast("int | None", self._consumer.highwater(tp))
        return None

    async def is_at_end(self, tps: Iterable[TopicPartition]) -> bool:
        """Whether partitions are read to their ends, by the last responses of their brokers."""
        for tp in tps:
            if await self.remaining(tp) != 0:
                return False
        return True

    def answered_ms(self, tp: TopicPartition) -> int | None:
        """When the broker last responded to a fetch of a partition (wall clock), if it did."""
        with _unless_revoked:
            return cast("int | None", self._consumer.last_poll_timestamp(tp))
        return None

    async def log_starts(self, tps: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The first offset of each log."""
        starts: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(list(tps))
        return starts

    async def log_ends(self, tps: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The last stable offset of each log."""
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(list(tps))
        return ends


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped
    """Passes rebalances on."""

    def __init__(self, on_revoked: OnRebalance, on_assigned: OnRebalance) -> None:
        self._on_revoked, self._on_assigned = on_revoked, on_assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._on_revoked(sorted(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._on_assigned(sorted(assigned))
