"""Builds the mergers of assigned state partitions from the table.

A worker continues at the first frame that the rows need. Frames that were deleted before they were
merged are counted, and the windows that may lack them are marked incomplete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.state.rows import Row
from agent.errors import EnvironmentFault
from agent.kafka.faust_app import FaustApp
from agent.kafka.held_partitions import HeldPartition
from agent.kafka.stage_events import MergeProgress
from agent.kafka.topics import TopicNames

log = logging.getLogger(__name__)


class MergeRecovery:
    """Recovers state partitions for one stage 2."""

    def __init__(
        self,
        plan: Plan,
        state_partitions: int,
        names: TopicNames,
        app: FaustApp,
        progress: MergeProgress,
    ) -> None:
        self._plan = plan
        self._state_partitions = state_partitions
        self._names = names
        self._app = app
        self._progress = progress
        self._missed_up_to: dict[int, int] = {}  # missed frames before are counted already

    async def recover(self, partitions: Sequence[int]) -> dict[int, HeldPartition]:
        """Build the mergers of partitions, and seek to their next frames.

        Raises IllegalStateError if the group rebalances meanwhile, EnvironmentFault if the frames
        topic does not belong to the table.
        """
        ends = await self._app.frame_ends(partitions)
        stored = await self._app.stored_rows(partitions)
        for partition, (position, _) in stored.items():
            self._check_position(partition, position, ends.get(partition))
        starts = await self._app.seek_to_resume(partitions)
        for partition, (committed, start) in starts.items():
            self._report_missed(partition, committed, start)
        return await asyncio.to_thread(self._build, stored, starts)

    def _build(
        self,
        stored: Mapping[int, tuple[int, list[Row]]],
        starts: Mapping[int, tuple[int | None, int]],
    ) -> dict[int, HeldPartition]:
        held = {}
        for partition, (position, rows) in stored.items():
            merger = Merger(self._plan, partition, self._state_partitions)
            merger.restore(rows)
            committed, start = starts[partition]
            if committed is not None and 0 <= committed < start:
                merger.note_lost_frames()
            held[partition] = HeldPartition(partition, merger, position, max(committed or 0, start))
        return held

    def _check_position(self, partition: int, position: int, end: int | None) -> None:
        frames, series = self._names.frames, self._names.series
        if end is not None and position >= end:
            raise EnvironmentFault(
                f"topic {frames} partition {partition} ends at {end}, but topic {series} holds "
                f"state up to {position}: the frames topic was created again",
                f"Stop all agents, delete both topics ({frames} and {series}) and start again.",
            )

    def _report_missed(self, partition: int, committed: int | None, start: int) -> None:
        """Count and log the frames that were deleted before they were merged."""
        known = max(self._missed_up_to.get(partition, 0), committed if committed else 0)
        missed = max(0, start - known) if committed is not None and committed >= 0 else 0
        self._missed_up_to[partition] = start
        self._progress.missed(self._names.frames, partition, missed)
        if missed:
            log.error(
                "topic %s partition %d: offsets %d to %d were deleted before they were merged "
                "(retention.ms, retention.bytes). Windows that may lack them are marked incomplete",
                self._names.frames, partition, committed, start - 1,
            )  # fmt: skip
