"""The frames of a flush: one of each live source to each state partition, whatever has changed.

Sales by region, in windows of a minute; times are seconds after a whole minute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from agent.core.fold.checkpoint import Resume, SourceProgress
from agent.core.fold.frame_builder import FrameBuilder
from agent.core.fold.future_clock import FutureClock
from agent.core.fold.kpi_fold import KpiFold, RowsToFold
from agent.core.frame import Frame, decode
from agent.core.model.plan import Plan
from tests.core.simulated import EVENTS, START_MS

CLOCK_MS = START_MS + 600_000
STATE_PARTITIONS = 2
RULES = f"""{EVENTS}kpis:
  visits: {{from: visit, value: count(*), by: [region], window: 1m, backfill: 1d}}
rules:
  gone: {{kpi: visits, no_data_for: 5m, per: kpi}}
"""


class Stage:
    """The builder, with the partials and the sources that it reads."""

    def __init__(self, plan: Plan, resume: Resume | None = None) -> None:
        contract, kpi = plan.contracts["visit"], plan.kpis["visits"]
        self.fold = KpiFold((kpi,), contract, ["visits"], STATE_PARTITIONS)
        clock = FutureClock([contract])
        self.most_ms = clock.step_end_ms(CLOCK_MS) + clock.most_ms
        self.builder = FrameBuilder("shop", STATE_PARTITIONS, [kpi], clock)
        begin = resume or Resume(0, 0, None, None)
        self.sources = {0: SourceProgress.resumed(begin)}
        self.builder.assign(0, begin.offset > 0 and begin.floor_ms is None)

    def add(self, *visits: tuple[float, str]) -> None:
        """Fold visits of source partition 0, as (time, region)."""
        count = len(visits)
        times = np.array([START_MS + round(at * 1000) for at, _ in visits], np.int64)
        table = pl.DataFrame(
            {"_row": range(count), "_partition": [0] * count, "_time": times,
             "region": [region for _, region in visits]},
            schema_overrides={"_row": pl.UInt32, "_partition": pl.Int32},
        )  # fmt: skip
        for number, folded in self.fold.fold(RowsToFold(table, None, {}), np.ones(count, np.bool_)):
            self.fold.buffer(number, folded.collect())
        self.sources[0].advance(times, self.sources[0].covered + count)

    def flush(self, idle_ms: int | None = None) -> list[tuple[int, Frame]]:
        frames = self.builder.build(
            [self.fold], self.sources, CLOCK_MS, {0: idle_ms}, 1, {"other": 3}
        )
        return [(target, decode(data)) for target, data in frames]


def counts(frames: Sequence[tuple[int, Frame]]) -> list[int]:
    """The counts of all partials, in ascending order."""
    return sorted(
        int(count)
        for _, frame in frames
        for block in frame.blocks
        for column in block.columns[:1]
        for count in np.frombuffer(column, np.int64)  # type: ignore[arg-type]
    )


def test_every_state_partition_has_a_frame_even_if_nothing_changed(plan: Plan) -> None:
    frames = Stage(plan).flush(idle_ms=5)
    assert [target for target, _ in frames] == [0, 1]
    for _, frame in frames:
        assert (frame.topic, frame.partition, frame.covered) == ("shop", 0, 0)
        assert (frame.watermark_ms, frame.idle_ms, frame.clock_ms) == (None, 5, CLOCK_MS)
        assert (frame.partitions, frame.siblings) == (1, {"other": 3})
        assert frame.last and not frame.blocks


def test_a_partial_is_sent_when_it_changed_with_all_that_it_has(plan: Plan) -> None:
    stage = Stage(plan)
    stage.add((0, "a"), (1, "a"), (2, "b"))
    assert counts(stage.flush()) == [1, 2]
    stage.add((3, "a"))
    frames = stage.flush()
    assert counts(frames) == [3]
    assert {(frame.covered, frame.watermark_ms) for _, frame in frames} == {(4, START_MS + 3_000)}
    assert counts(stage.flush()) == []


def test_each_slice_with_events_is_active_once(plan: Plan) -> None:
    stage = Stage(plan)
    stage.add(*((at, region) for at in (0, 1, 61) for region in "abcdef"))
    slices = [START_MS, START_MS + 60_000]
    frames = stage.flush()
    assert all(frame.blocks for _, frame in frames)
    assert [frame.active for _, frame in frames] == [{"visits": slices}] * 2
    assert [frame.active for _, frame in stage.flush()] == [{}] * 2


def test_the_first_frames_of_an_owner_are_marked_as_resent(plan: Plan) -> None:
    stage = Stage(plan)
    assert [[frame.resent for _, frame in stage.flush()] for _ in range(2)] == [
        [True, True],
        [False, False],
    ]


def test_a_source_that_is_rebuilding_sends_nothing(plan: Plan) -> None:
    stage = Stage(plan, Resume(1, 3, START_MS, START_MS))
    assert stage.flush() == []
    stage.add((0, "a"), (1, "a"))
    assert [frame.covered for _, frame in stage.flush()] == [3, 3]


@pytest.mark.parametrize(
    ("resume", "since"),
    [
        (None, None),
        (Resume(7, 7, START_MS, START_MS), START_MS),
        (Resume(7, 7, None, None), "the most that the clock allows"),
    ],
    ids=["the log from its start", "a known past", "an unknown past"],
)
def test_since_when_an_owner_has_all_events_of_a_kpi_with_backfill(
    resume: Resume | None, since: int | str | None, plan: Plan
) -> None:
    stage = Stage(plan, resume)
    expected = stage.most_ms if isinstance(since, str) else since
    for _, frame in stage.flush():
        assert frame.filled == {"visits": plan.kpis["visits"].fingerprint}
        assert frame.since_ms == expected
