"""Stage 2 on Kafka: merges frames, writes changed state, publishes results.

The steps of a round, in this order:

1. apply the frames that have arrived, in a thread;
2. write the changed rows, and wait until the changelog has them;
3. publish the results, and wait until the broker has them;
4. acknowledge the frames that a restart does not need any more.

Faust commits acknowledged frames up to the first gap. After a crash, a round is repeated: rows have
what they last emitted, so nothing is lost, and consumers drop repeated keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from aiokafka.errors import IllegalStateError

from agent.core.merge.merger import Merger
from agent.core.merge.views import active_alerts
from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.errors import EnvironmentFault, UnknownVersionError
from agent.kafka.backfill import Backfiller
from agent.kafka.faust_app import FaustApp, FrameMessage
from agent.kafka.held_partitions import HeldPartition, HeldPartitions
from agent.kafka.merge_recovery import MergeRecovery
from agent.kafka.merge_rounds import MergeRounds
from agent.kafka.publish import Publisher
from agent.kafka.stage_events import MergeProgress
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
REFETCH_SECONDS = 2.0  # frames that have not arrived by then are fetched again


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
        self._held = HeldPartitions()
        self._failure: BaseException | None = None
        self._stopping = asyncio.Event()
        self._app = FaustApp(settings, state_partitions, self)
        self._rounds = MergeRounds(plan, publisher, progress, self._held, self._app)
        self._recovery = MergeRecovery(plan, state_partitions, self._names, self._app, progress)

    @property
    def partitions(self) -> frozenset[int]:
        """The state partitions held here and ready."""
        return self._held.partitions

    def views(self) -> list[SeriesView]:
        """The series held here; those of busy or large partitions as of a moment ago."""
        return self._held.views()

    async def mergers(self) -> list[Merger]:
        """The mergers held here, while no task is under way; valid until the next await."""
        await self._held.at_rest()
        return list(self._held.mergers().values())

    # ---- start and stop

    def stop(self) -> None:
        """Ask `run` to commit, leave the group and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Merge until `stop`. Raises errors after which merging can't continue."""
        self._app.start()
        backfiller = Backfiller(
            self._settings, self._plan, self._publisher, self._state_partitions, self._progress,
            self._held,
        )  # fmt: skip
        filling = asyncio.create_task(backfiller.run(), name="backfill")
        try:
            await self._watch(filling)
        finally:
            filling.cancel()
            self._drop("stopping")
            await self._app.stop()
            await asyncio.wait([filling])

    async def _watch(self, filling: asyncio.Task[None]) -> None:
        tick = time.monotonic()
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_SECONDS)
            if self._failure is not None:
                raise self._failure
            if filling.done() and (error := filling.exception()) is not None:
                raise error
            self._app.check()
            await self._refetch_lost()
            self._rounds.report_waiting()
            gap, tick = time.monotonic() - tick, time.monotonic()
            if gap > self._settings.session_timeout:
                # The process slept: others may hold these partitions by now.
                reason = f"this worker was suspended for {gap:.0f} s"
                self._drop(reason)
                raise EnvironmentFault(f"{reason}, and starts again from what is committed")

    # ---- partitions (GroupMember)

    async def revoked(self) -> None:
        """The group rebalances."""
        self._drop("the group is rebalancing")

    def _drop(self, reason: str) -> None:
        self._held.drop(reason)
        self._rounds.drop()
        self._progress.held(None)

    async def recovered(self, partitions: Sequence[int]) -> None:
        """Build the mergers of the partitions that are ours now: the table is complete."""
        self._drop("the table was recovered")
        epoch, started = self._held.epoch, time.monotonic()
        try:
            held = await self._recovery.recover(partitions)
        except IllegalStateError as error:
            # The group rebalances again already: the next recovery builds them.
            self._expect_recovery(epoch, error)
            return
        except Exception as error:
            self._failure = error
            return
        if epoch == self._held.epoch:
            self._held.hold(held)
            self._progress.held(frozenset(held))
            mergers = [partition.merger for partition in held.values()]
            self._progress.restored(
                [step for m in mergers for step in active_alerts(self._plan, m.state)]
            )
            log.info(
                "restored %d state partitions with %d series in %.2f s",
                len(held), sum(partition.merger.state.size for partition in held.values()),
                time.monotonic() - started,
            )  # fmt: skip

    def _expect_recovery(self, epoch: int, error: Exception) -> None:
        """Fail, unless the partitions are revoked or recovered again within the session timeout."""

        def check() -> None:
            if epoch == self._held.epoch:
                self._failure = error

        asyncio.get_running_loop().call_later(self._settings.session_timeout, check)

    # ---- frames (GroupMember)

    async def frame(self, message: FrameMessage) -> None:
        """Merge a message, and do a round when it is time."""
        try:
            await self._merge(message)
            if await self._rounds.is_due():
                await self._rounds.run()
        except Exception as error:
            is_ours = not isinstance(error, EnvironmentFault)
            log.error(
                "merging stopped and restarts: %s", error, exc_info=error if is_ours else None
            )
            self._failure = error
            self._drop("a failure")

    async def _merge(self, message: FrameMessage) -> None:
        """Apply the frames, if the message is the next one of a partition held here. Others stay
        unacknowledged: for their owner, or because they were applied and are still needed."""
        held = self._held.get(message.partition)
        if held is None:
            return
        if message.offset == held.next_offset:
            await self._apply(held, message)
        elif message.offset > held.next_offset and not held.is_sought:
            await self._rewind(held)

    async def _apply(self, held: HeldPartition, message: FrameMessage) -> None:
        held.accept(message)
        self._rounds.applied(len(message.frames))
        frames = message.frames
        while frames:
            errors = await held.apply(frames, message.offset)
            frames = frames[len(errors) :]
            for error in filter(None, errors):
                if isinstance(error, UnknownVersionError):  # it must not be skipped
                    where = f"topic {self._names.frames} partition {message.partition}"
                    fault = f"{where} offset {message.offset}: {error.message}"
                    raise EnvironmentFault(fault, error.hint) from error
                log.error(
                    "topic %s partition %d offset %d: a frame can't be applied and is skipped",
                    self._names.frames, message.partition, message.offset, exc_info=error,
                )  # fmt: skip
                self._progress.frame_failed(message.partition, message.offset, error)
            while held.merger.is_behind and self._held.holds(held):
                # Very many windows close at once: they are published in parts, so that neither
                # memory nor rows grow with their number.
                await self._rounds.run()
                if self._stopping.is_set() or not self._held.holds(held):
                    return  # not acknowledged: a restart continues from the rows
                await held.catch_up()

    async def _refetch_lost(self) -> None:
        """Rewind partitions that have more frames but received none for a while."""
        if self._app.has_fetched:
            return
        for held in self._held:
            if held.seconds_waited >= REFETCH_SECONDS:
                end = self._app.known_end(held.partition)
                if end is not None and end > held.next_offset:
                    await self._rewind(held)

    async def _rewind(self, held: HeldPartition) -> None:
        """Rewind to the missing frame.

        Faust empties its queues when a rebalance ends: frames that it had fetched are lost, and its
        position is after them.
        """
        wanted = held.next_offset
        held.note_sought()
        with contextlib.suppress(IllegalStateError, AssertionError):  # not ours any more
            start = await self._app.frame_start(held.partition)
            if start > wanted:
                raise EnvironmentFault(
                    f"topic {self._names.frames} partition {held.partition}: offsets {wanted} to "
                    f"{start - 1} were deleted before they were merged"
                )
            log.info("rewinding to frame %d of state partition %d", wanted, held.partition)
            await self._app.seek(held.partition, wanted)
