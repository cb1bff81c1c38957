"""The rounds of stage 2: write changed rows, publish results, acknowledge frames.

`merge_stage` describes the order of the steps, which is essential.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from agent.core.model.plan import Plan
from agent.kafka.faust_app import FaustApp
from agent.kafka.held_partitions import HeldPartition, HeldPartitions
from agent.kafka.publish import Publisher, Send, acknowledged
from agent.kafka.stage_events import MergeProgress

ROUND_SECONDS = 0.25  # a round at the latest after this, though more frames are waiting
GATHER_SECONDS = 0.02


class MergeRounds:
    """The rounds of one stage 2, over the partitions that it holds."""

    def __init__(
        self,
        plan: Plan,
        publisher: Publisher,
        progress: MergeProgress,
        held: HeldPartitions,
        app: FaustApp,
    ) -> None:
        self._plan = plan
        self._publisher = publisher
        self._progress = progress
        self._held = held
        self._app = app
        self._frames = 0  # applied since the last round
        self._last_at = 0.0
        self._done_at = time.monotonic()  # when a round was last done, or nothing waited

    def applied(self, frames: int) -> None:
        """Note frames that are part of the next round."""
        self._frames += frames

    def drop(self) -> None:
        """Forget the frames of partitions that were dropped."""
        self._frames = 0

    def report_waiting(self) -> None:
        """Report how many frames wait, and since when no round was done while frames waited."""
        waiting = 0
        for held in self._held:
            end = self._app.known_end(held.partition)
            if end is not None:
                frames = max(0, end - held.next_offset) * held.frames_a_message
                self._progress.frames_lag(held.partition, frames)
                waiting += frames
        now = time.monotonic()
        if not waiting and not self._frames:
            self._done_at = now
        self._progress.merging(waiting + self._frames, now - self._done_at)

    async def is_due(self) -> bool:
        """Whether no frame waits, or the last round was long ago.

        A flush sends a frame of every source: frames that close nothing wait for the others, as a
        round costs more than such a frame.
        """
        if time.monotonic() - self._last_at > ROUND_SECONDS and self._app.has_fetched:
            return True
        if any(held.merger.is_full for held in self._held):
            return True
        has_emitted = any(held.has_emitted for held in self._held)
        await asyncio.sleep(0 if has_emitted or self._app.has_fetched else GATHER_SECONDS)
        return not self._app.has_fetched

    async def run(self) -> None:
        """Write changed rows, publish results, acknowledge frames that are not needed any more."""
        started, epoch = time.monotonic(), self._held.epoch
        work = [held for held in self._held if held.has_work]
        for held in work:
            await held.adopt()
            if epoch != self._held.epoch:
                return
        emitted = [each for held in work for each in held.drain_emitted()]
        needed = [(held, held.merger.needed_position()) for held in work]
        rows = await self._write_rows(work, epoch)
        if rows is None:
            return  # revoked meanwhile: the new owner publishes the results
        sends: list[Send] = []
        for each in emitted:
            sends += await self._publisher.publish_emitted(self._plan, each)
        await acknowledged(sends)
        if epoch != self._held.epoch:
            return
        for held, offset in needed:
            held.acknowledge_before(offset)
        self._done_at = self._last_at = time.monotonic()
        self._progress.round(self._frames, rows, emitted, self._done_at - started)
        self._frames = 0
        for held in work:
            await held.refresh_views()

    async def _write_rows(self, work: Sequence[HeldPartition], epoch: int) -> int | None:
        """Write changed rows, and wait until the changelog has them; returns their number. None:
        the partitions were revoked meanwhile."""
        count = 0
        for held in work:
            dirty = await held.dirty_rows()
            if epoch != self._held.epoch:
                return None
            count += len(dirty)
            if dirty:
                await self._app.write_rows(held.partition, dirty, held.position)
        await self._app.settle_rows()
        return count if epoch == self._held.epoch else None
