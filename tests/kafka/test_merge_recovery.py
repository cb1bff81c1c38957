"""Where a worker continues in the frames log, and what it says where frames are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import pytest

from agent.core.merge.merger import Merger
from agent.core.merge.source_snapshots import EVERY_MESSAGES
from agent.core.model.plan import Plan
from agent.core.state.rows import Row
from agent.kafka.faust_app import FaustApp
from agent.kafka.merge_recovery import MergeRecovery
from agent.kafka.topics import TopicNames
from agent.settings import load_settings
from tests.core.merge.test_merger_table import RULES, Event, frame_of
from tests.core.simulated import plan_of
from tests.kafka.stage_two import Progress

MERGED = 3 * EVERY_MESSAGES
"""So many messages were merged; a restart needs the last `EVERY_MESSAGES`, and some more."""


class Log:
    """State partition 0 as a broker has it, which can delete records: the embedded one can't."""

    def __init__(self, rows: list[Row], committed: int | None, start: int) -> None:
        self.rows, self.committed, self.start = rows, committed, start

    async def frame_ends(self, partitions: Iterable[int]) -> Mapping[int, int]:
        return {0: 1_000}

    async def stored_rows(self, partitions: Iterable[int]) -> Mapping[int, tuple[int, list[Row]]]:
        return {0: (MERGED - 1 if self.rows else -1, self.rows)}

    async def seek_to_resume(
        self, partitions: Iterable[int]
    ) -> Mapping[int, tuple[int | None, int]]:
        return {0: (self.committed, self.start)}


class Missed(Progress):
    """How many frames were missed."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[int] = []

    def missed(self, topic: str, partition: int, records: int) -> None:
        self.frames.append(records)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(RULES, tmp_path)


def rows_of(plan: Plan) -> list[Row]:
    merger = Merger(plan, 0, 1)
    for position in range(MERGED):
        merger.apply(frame_of(plan, Event(position % 2, position, 900.0)), position)
    return [(key, row) for key, row in merger.drain_rows() if row is not None]


@pytest.mark.parametrize(
    ("has_rows", "committed", "start", "missed"),
    [
        (True, MERGED, 0, 0),
        (True, MERGED, MERGED, 0),
        (True, MERGED, MERGED + 5, 5),
        # The group has forgotten what it acknowledged, or never did: the rows say what they need.
        (True, None, 0, 0),
        (True, None, 2 * EVERY_MESSAGES, 0),
        (True, -1, MERGED + 5, EVERY_MESSAGES + 5),
        (True, None, MERGED + 5, EVERY_MESSAGES + 5),
        # Nothing was merged yet.
        (False, None, 0, 0),
        (False, None, 7, 7),
    ],
)
async def test_frames_that_were_deleted_before_they_were_merged_are_missed_once(
    plan: Plan, has_rows: bool, committed: int | None, start: int, missed: int
) -> None:
    log, progress = Log(rows_of(plan) if has_rows else [], committed, start), Missed()
    names = TopicNames.of(load_settings(brokers="localhost:9092"))
    recovery = MergeRecovery(plan, 1, names, cast(FaustApp, log), progress)
    held = (await recovery.recover([0]))[0]
    assert progress.frames == [missed]
    assert held.next_offset == max(committed or 0, start)
    await recovery.recover([0])
    assert progress.frames == [missed, 0]
    for position in range(MERGED, MERGED + 4):
        held.merger.apply(frame_of(plan, Event(position % 2, position, 1_000.0)), position)
    assert held.merger._missed.of_topic("shop").touch(880_000, 890_000) is bool(missed)
