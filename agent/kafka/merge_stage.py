"""Stage 2 on Kafka: a Faust app whose one agent merges frames and says what they close.

The order that nothing may change, in rounds over whatever frames have come: apply the frames →
write the rows that changed and wait for the changelog's acknowledgement → tell the world and wait
→ acknowledge the frames that are not needed any more. Faust commits acknowledged frames up to the
first gap. A crash anywhere repeats a round: rows carry what they last told, so nothing is lost,
and consumers drop repeated keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP

from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, SeriesView
from agent.errors import EnvironmentFault, InternalError
from agent.kafka.backfill import Backfiller, Filled
from agent.kafka.client import (
    LOOK_AGAIN_MS,
    METADATA_MAX_AGE_MS,
    PRODUCER_BATCH_BYTES,
    faust_credentials,
)
from agent.kafka.frame_batches import split
from agent.kafka.publish import Publisher, Send, acknowledged
from agent.kafka.stage_events import MergeProgress
from agent.kafka.state_table import Event, StateTable
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

ROUND_SECONDS = 0.25  # a round at the latest after this, though more frames are waiting
GATHER_SECONDS = 0.02
TICK_SECONDS = 1.0
COMMIT_SECONDS = 3.0
DAY_SECONDS = 86_400.0
STALL_SECONDS = 2.0  # frames that are there and have not come by then are fetched again
FRAMES_BUFFER = 8_192
HEAVY_FRAME_BYTES = 64 * 1024
HEAVY_SERIES = 2_000
"""A frame so large, or for so many series, may take tenths of a second: it is applied beside the
event loop, which goes on with heartbeats, fetches and scrapes. Others are not worth a thread. The
views of so many series are worked out there, too, when frames have come, not when they are asked
for."""
LOOK_SHARE = 3  # of the time, at most the third part goes into the views of many series
STOP_TIMEOUT_SECONDS = 5.0
BUSY_SECONDS = 0.02  # until looking again whether a thread is done

Told = Callable[[Emitted], None]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Held:
    """One state partition held here. `high` is the highest position that any row is true for,
    `next` the offset of the frame to come, `waiting` the frames not acknowledged yet, in order."""

    merger: Merger
    high: int
    next: int
    waiting: deque[Event] = field(default_factory=deque)
    last: Event | None = None
    joined: int = 1  # frames in the last message
    busy: bool = False  # a thread works on the merger
    views: list[SeriesView] = field(default_factory=list)  # as last looked at
    look_at: float = 0.0  # when to look again, where there are many
    sought: int = -1  # the offset that reading last went back to
    moved_at: float = field(default_factory=time.monotonic)  # when `next` last moved
    closings: list[Emitted] = field(default_factory=list)
    filled: list[Filled] = field(default_factory=list)  # to be adopted in the next round

    @property
    def is_heavy(self) -> bool:
        """Whether so many series are held that work on all of them takes long."""
        return self.merger.size > HEAVY_SERIES


class MergeStage:
    """Stage 2 of this worker. `state_partitions` is the number of the frames topic's partitions."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        publisher: Publisher,
        state_partitions: int,
        progress: MergeProgress,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._publisher = publisher
        self._state_partitions = state_partitions
        self._progress = progress
        self._names = TopicNames.of(settings)
        self._held: dict[int, _Held] = {}
        self._epoch = 0
        self._missed_up_to: dict[int, int] = {}  # frames before are counted as missed, if they were
        self._round_at = 0.0
        self._frames_since_round = 0
        self._failure: BaseException | None = None
        self._stopping = asyncio.Event()
        self._queue: Any = None  # of frames that Faust has fetched
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._app, self._table = self._new_app()

    @property
    def partitions(self) -> frozenset[int]:
        """The state partitions held here and ready."""
        return frozenset(self._held)

    def views(self) -> list[SeriesView]:
        """The series held here; of a partition with many, or one that is being worked on, as they
        were when they were last looked at: a moment ago."""
        for held in self._held.values():
            if not held.busy and not held.is_heavy:
                held.views = held.merger.views()
        return list(chain.from_iterable(held.views for held in self._held.values()))

    async def mergers(self) -> list[Merger]:
        """The mergers held here, between two pieces of their work; look at them before the next
        await."""
        await self._at_rest()
        return [held.merger for held in self._held.values()]

    async def _at_rest(self) -> None:
        while any(held.busy for held in self._held.values()):  # noqa: ASYNC110  tenths of a second
            await asyncio.sleep(BUSY_SECONDS)

    def stop(self) -> None:
        """Ask `run` to commit, leave the group and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Merge until `stop`. Raises what makes it impossible to go on."""
        starting = asyncio.create_task(self._app.start())
        backfiller = Backfiller(
            self._settings, self._plan, self._publisher, self._state_partitions, self._progress,
            lambda: {p: held.merger for p, held in self._held.items()}, self._at_rest, self._give,
        )  # fmt: skip
        filling = asyncio.create_task(backfiller.run(), name="backfill")
        try:
            await self._watch(starting, filling)
        finally:
            filling.cancel()
            await self._close(starting)
            await asyncio.wait([filling])

    async def _watch(self, starting: asyncio.Task[Any], filling: asyncio.Task[None]) -> None:
        tick = time.monotonic()
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_SECONDS)
            if self._failure is not None:
                raise self._failure
            for task in (starting, filling):
                if task.done() and (error := task.exception()) is not None:
                    raise error
            if self._app.crashed:
                raise self._app.crash_reason or InternalError("the Faust app crashed")
            self._check_membership()
            await self._wake_stalled()
            self._tell_lag()
            gap, tick = time.monotonic() - tick, time.monotonic()
            if gap > self._settings.session_timeout:
                # The process slept: others may hold these partitions by now.
                self._drop(f"this worker slept for {gap:.0f} s")
                raise EnvironmentFault(f"this worker slept for {gap:.0f} s and starts anew")

    def _check_membership(self) -> None:
        """Raise what ended the consumer's membership for good. Faust would notice at its next
        fetch, which never comes where the group gave it nothing to fetch."""
        coordinator = getattr(self._client(), "_coordinator", None)
        if coordinator is not None and hasattr(coordinator, "check_errors"):
            coordinator.check_errors()

    def _client(self) -> Any:
        """aiokafka's consumer, in Faust's thread; None before it has begun."""
        return getattr(getattr(self._app.consumer, "_thread", None), "_consumer", None)

    async def _close(self, starting: asyncio.Task[Any]) -> None:
        self._drop("stopping")
        starting.cancel()
        await asyncio.wait([starting], timeout=STOP_TIMEOUT_SECONDS)
        # Without a broker the consumer's thread may end without saying so; mode waits for a minute.
        thread = getattr(self._app.consumer, "_thread", None)
        if thread is not None:
            thread.shutdown_timeout = STOP_TIMEOUT_SECONDS
        databases = self._table.databases()
        # mode swallows a cancellation half-way through its services: wait beside it.
        stop = asyncio.create_task(self._app.stop())
        done, _ = await asyncio.wait([stop], timeout=STOP_TIMEOUT_SECONDS + 1)
        if not done or stop.exception() is not None:
            log.warning(
                "the Faust app did not stop in good order: its group will miss it for a while"
            )
        # All apps of a process share a signal's receivers: this stage would stay for good.
        self._app.on_partitions_revoked.disconnect(self._revoked, weak=False)
        # Faust leaves this to the garbage collector: a task that hangs would keep them locked.
        for database in databases:
            database.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    # ---- the Faust app

    def _new_app(self) -> tuple[faust.App, StateTable]:
        settings = self._settings
        app = faust.App(
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
        frames = app.topic(
            self._names.frames, key_type=bytes, value_type=bytes, key_serializer="raw",
            value_serializer="raw", allow_empty=True,
        )  # fmt: skip
        changelog = app.topic(
            self._names.series, key_type=bytes, value_type=bytes, key_serializer="raw",
            value_serializer="raw", partitions=self._state_partitions, compacting=True, acks=False,
            internal=True, maxsize=131_072, allow_empty=True,
        )  # fmt: skip
        table = app.Table(
            "series", key_type=bytes, value_type=bytes, partitions=self._state_partitions,
            changelog_topic=changelog,
        )  # fmt: skip
        table.on_recover(self._recovered)
        app.on_partitions_revoked.connect(self._revoked, weak=False)
        app.agent(frames, name="merge")(self._merge)
        return app, cast(StateTable, table)

    def _data_folder(self) -> Path:
        """Faust wants a folder, which must be there, even when it keeps everything in memory.

        Raises EnvironmentFault where the setting's can't be made.
        """
        if self._settings.data_dir is not None:
            folder = self._settings.data_dir / "faust"
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise EnvironmentFault(
                    f"the folder for the state can't be made: {folder}: {error.strerror}",
                    "Let data_dir name a folder that this user may write to.",
                ) from error
            return folder
        self._scratch = tempfile.TemporaryDirectory(prefix="kpi-agent-")
        return Path(self._scratch.name)

    # ---- partitions

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self._drop("the group is being rearranged")

    def _drop(self, why: str) -> None:
        """Forget all mergers. They are rebuilt from the table, even for partitions that stay: in
        between somebody else may have held them."""
        self._epoch += 1
        if self._held:
            log.info("put down %d state partitions: %s", len(self._held), why)
        self._held = {}
        self._progress.held(None)

    async def _recovered(self) -> None:
        """The table is complete: build the mergers of the partitions that are ours now."""
        self._drop("the table was recovered")
        self._client()._fetcher._fetcher_timeout = LOOK_AGAIN_MS / 1000  # Faust has no setting
        epoch = self._epoch
        started = time.monotonic()
        ours = sorted(
            tp.partition
            for tp in self._app.assignor.assigned_actives()
            if tp.topic == self._names.frames
        )
        try:
            ends = await self._app.consumer.highwaters(*(TP(self._names.frames, p) for p in ours))
            stored = await asyncio.to_thread(self._table.rows_of, ours)
            for partition, (high, _) in stored.items():
                self._check_position(partition, high, ends)
            starts = await self._seek(ours)
            held = await asyncio.to_thread(self._build, stored, starts)
        except IllegalStateError as error:
            # The group is being rearranged again already: the recovery that follows builds them.
            self._expect_recovery(epoch, error)
            return
        except Exception as error:
            self._failure = error
            return
        if epoch == self._epoch:
            self._held = held
            self._progress.held(frozenset(held))
            log.info(
                "took on %d state partitions with %d series in %.2f s",
                len(held), sum(len(rows) for _, rows in stored.values()),
                time.monotonic() - started,
            )  # fmt: skip

    def _expect_recovery(self, epoch: int, error: Exception) -> None:
        """Fail, unless the partitions were rearranged or recovered again before long."""

        def check() -> None:
            if epoch == self._epoch:
                self._failure = error

        asyncio.get_running_loop().call_later(self._settings.session_timeout, check)

    async def _seek(self, partitions: Iterable[int]) -> dict[int, int]:
        """Go to where reading must begin: the committed offset, or the log's start.

        Faust seeks only where something was committed; what it had fetched before the recovery
        and dropped would be passed over for good.
        """
        consumer: Any = self._app.consumer  # its type leaves seek_to_committed out
        tps = [TP(self._names.frames, p) for p in partitions]
        if not tps:
            return {}
        committed = {tuple(tp): at for tp, at in (await consumer.seek_to_committed()).items()}
        starts = await consumer.earliest_offsets(*tps)
        at = {tp: max(committed.get(tuple(tp)) or 0, starts.get(tp) or 0) for tp in tps}
        for tp in tps:
            self._report_missed(tp.partition, committed.get(tuple(tp)), starts.get(tp) or 0)
        await consumer.seek_wait(at)
        return {tp.partition: offset for tp, offset in at.items()}

    def _report_missed(self, partition: int, committed: int | None, start: int) -> None:
        """Count and log the frames that were deleted before they were merged."""
        known = max(self._missed_up_to.get(partition, 0), committed if committed else 0)
        missed = max(0, start - known) if committed is not None and committed >= 0 else 0
        self._missed_up_to[partition] = start
        self._progress.missed(self._names.frames, partition, missed)
        if missed:
            log.error(
                "topic %s partition %d: offsets %d to %d were deleted before they were merged "
                "(retention.ms, retention.bytes): windows that were open then may lack events",
                self._names.frames, partition, committed, start - 1,
            )  # fmt: skip

    def _build(self, stored: Any, starts: Mapping[int, int]) -> dict[int, _Held]:
        held = {}
        for partition, (high, rows) in stored.items():
            merger = Merger(self._plan, partition, self._state_partitions)
            merger.restore(rows)
            held[partition] = _Held(merger, high, starts[partition], views=merger.views())
        return held

    def _check_position(self, partition: int, high: int, ends: Any) -> None:
        end = ends.get(TP(self._names.frames, partition))
        if end is not None and high >= end:
            raise EnvironmentFault(
                f"topic {self._names.frames} partition {partition} ends at {end}, but topic "
                f"{self._names.series} holds state up to {high}: the frames were made anew",
                f"Stop all agents, delete both topics ({self._names.frames} and "
                f"{self._names.series}) and start again.",
            )

    # ---- frames

    async def _merge(self, stream: Any) -> None:
        """The agent. It never raises: what goes wrong ends in `_failure`, and the stage anew."""
        self._queue = stream.channel
        async for event in stream.noack().events():
            try:
                await self._take(event)
                if await self._is_round_due(stream.channel):
                    await self._round()
                    self._round_at = time.monotonic()
            except Exception as error:
                mine = not isinstance(error, EnvironmentFault)
                log.error(
                    "the merge can not go on, and starts anew", exc_info=error if mine else None
                )
                self._failure = error
                self._drop("a failure")

    async def _is_round_due(self, channel: Any) -> bool:
        """Whether no frame waits, or they have gone on for long.

        A flush sends a frame from every source: those that close nothing wait for the others, as
        a round costs more than such a frame.
        """
        if time.monotonic() - self._round_at > ROUND_SECONDS and not channel.empty():
            return True
        if any(held.merger.is_full for held in self._held.values()):
            return True
        has_closed = any(held.closings for held in self._held.values())
        await asyncio.sleep(0 if has_closed or not channel.empty() else GATHER_SECONDS)
        return bool(channel.empty())

    async def _wake_stalled(self) -> None:
        """Go back where frames are known to be there and none has come for a while."""
        now = time.monotonic()
        if self._queue is None or not self._queue.empty():
            return
        for partition, held in list(self._held.items()):
            if now - held.moved_at < STALL_SECONDS:
                continue
            held.moved_at = now
            with contextlib.suppress(IllegalStateError, AssertionError):  # not ours any more
                end = self._app.consumer.highwater(TP(self._names.frames, partition))
                if end is not None and end > held.next:
                    await self._go_back(partition, held)

    def _tell_lag(self) -> None:
        for partition, held in self._held.items():
            with contextlib.suppress(IllegalStateError, AssertionError):  # not ours any more
                end = self._app.consumer.highwater(TP(self._names.frames, partition))
                if end is not None:
                    self._progress.frames_lag(partition, max(0, end - held.next) * held.joined)

    async def _go_back(self, partition: int, held: _Held) -> None:
        """Read again from the frame that is missing.

        Faust empties its queues when a rebalance ends; frames that it had fetched by then are
        gone from there, and its position is behind them.
        """
        held.sought = wanted = held.next
        consumer: Any = self._app.consumer  # its type leaves seek_wait out
        tp = TP(self._names.frames, partition)
        with contextlib.suppress(IllegalStateError, AssertionError):  # not ours any more
            start = (await consumer.earliest_offsets(tp)).get(tp) or 0
            if start > wanted:
                raise EnvironmentFault(
                    f"topic {self._names.frames} partition {partition}: offsets {wanted} to "
                    f"{start - 1} were deleted before they were merged"
                )
            log.info("going back to frame %d of state partition %d", wanted, partition)
            await consumer.seek_wait({tp: wanted})

    async def _take(self, event: Event) -> None:
        """Apply the frame, if it is the next of a partition held here. Others stay unacknowledged:
        for their owner, or because they were applied and are needed still."""
        partition, offset = event.message.partition, event.message.offset
        held = self._held.get(partition)
        if held is None:
            return
        if offset == held.next:
            await self._apply(held, event)
        elif offset > held.next and held.sought != held.next:
            await self._go_back(partition, held)

    async def _apply(self, held: _Held, event: Event) -> None:
        """Apply the frames of one message."""
        message = event.message
        held.next = message.offset + 1
        held.moved_at = time.monotonic()
        frames = split(message.value or b"")
        # What waits for its acknowledgement must not hold on to its bytes.
        message.value = None
        event.value = None
        held.waiting.append(event)
        held.last = event
        held.high = max(held.high, message.offset)
        held.joined = len(frames)
        self._frames_since_round += len(frames)
        for frame in frames:
            await self._apply_frame(held, frame, message.partition, message.offset)

    async def _apply_frame(self, held: _Held, frame: bytes, partition: int, offset: int) -> None:
        """Apply one frame. One that can't be applied is counted and passed over."""
        try:
            heavy = held.is_heavy or len(frame) > HEAVY_FRAME_BYTES
            closings = await _worked(held, heavy, held.merger.apply, frame, offset)
        except Exception as error:
            log.exception("frame at offset %d of partition %d passed over", offset, partition)
            self._progress.frame_failed(partition, offset, error)
            return
        if closings:
            held.closings.append(closings)
        while held.merger.is_behind and self._held.get(partition) is held:
            # Very many windows close at once: they are told by and by, so that neither memory nor
            # rows grow with them, and others have their turn on the event loop.
            await self._round()
            if self._stopping.is_set() or self._held.get(partition) is not held:
                return  # the frame is not acknowledged: a restart goes on from the rows
            closings = await _worked(held, True, held.merger.catch_up)
            if closings:
                held.closings.append(closings)

    async def _round(self) -> None:
        """Write what changed, tell it, acknowledge what is not needed any more."""
        started, epoch = time.monotonic(), self._epoch
        work = [held for held in self._held.values() if held.last is not None]
        for held in work:
            await self._adopt(held)
            if epoch != self._epoch:
                return
        closings = [(held, held.closings) for held in work]
        for held in work:
            held.closings = []
        needed = [(held, held.merger.needed_position()) for held in work]
        rows = 0
        for held in work:
            dirty = await _worked(held, held.is_heavy, held.merger.drain_rows)
            if epoch != self._epoch:
                return
            if dirty and held.last is not None:
                rows += len(dirty)
                partition = held.last.message.partition
                await self._table.write(partition, dirty, held.high)
        await self._table.settle()
        if epoch != self._epoch:
            return  # taken away meanwhile: whoever has it now tells it
        sends: list[Send] = []
        told = [one for _, several in closings for one in several]
        for one in told:
            sends += await self._publisher.closings(self._plan, one)
        await acknowledged(sends)
        if epoch != self._epoch:
            return
        self._acknowledge(needed)
        self._progress.round(self._frames_since_round, rows, told, time.monotonic() - started)
        self._frames_since_round = 0
        for held in work:
            await self._look(held)

    async def _look(self, held: _Held) -> None:
        """Work out the views of a partition with many series, for whoever asks."""
        started = time.monotonic()
        if held.is_heavy and started > held.look_at:
            held.views = await _worked(held, True, held.merger.views)
            now = time.monotonic()
            held.look_at = now + (LOOK_SHARE - 1) * (now - started)

    async def _give(self, partition: int, filled: Filled) -> None:
        """Hand a past to the merger of a partition; return when it took it, or is put down."""
        held = self._held[partition]
        held.filled.append(filled)
        while held.filled and self._held.get(partition) is held:  # noqa: ASYNC110  one round
            await asyncio.sleep(BUSY_SECONDS)

    async def _adopt(self, held: _Held) -> None:
        """Let a merger take on the pasts that were read for it. One that doesn't fit any more is
        read once more."""
        given, held.filled = held.filled, []
        for one in given:
            args = one.kpi, one.cut_ms, one.sources, one.rows
            await _worked(held, len(one.rows) > HEAVY_SERIES, held.merger.adopt, *args)

    def _acknowledge(self, needed: Iterable[tuple[_Held, int]]) -> None:
        for held, position in needed:
            while held.waiting and held.waiting[0].message.offset < position:
                held.waiting.popleft().ack()


async def _worked(
    held: _Held, heavy: bool, work: Callable[Parameters, Result], /, *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:  # fmt: skip
    """Have a merger do something; beside the event loop if that may take long."""
    if not heavy:
        return work(*args, **kwargs)
    held.busy = True
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    finally:
        held.busy = False
