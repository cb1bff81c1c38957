"""Events from the future: evaluated by the lesser of their timestamp and the agent's clock, the
same
again after a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import Resume
from agent.core.fold.folder import Folder, FoldResult
from agent.core.model.results import Outcome, Reason
from tests.core.simulated import EVENTS, START_MS, TOPIC, plan_of, visit

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
RULES = EVENTS + "kpis: {visits: {from: visit, value: count(*), window: 1m}}\n"


def batch(events: list[tuple[int, int]], first: int = 0) -> Batch:
    """Records of one partition, as (event time, timestamp)."""
    count = len(events)
    return Batch(
        TOPIC,
        [visit(at, "eu") for at, _ in events],
        np.zeros(count, np.int32),
        np.arange(first, first + count),
        np.array([stamp for _, stamp in events], np.int64),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(plan_of(RULES, tmp_path), TOPIC, 1)
    made.assign(0, None, START_MS)
    return made


def add(folder: Folder, made: Batch, clock_ms: int = START_MS) -> FoldResult:
    return folder.fold(made, folder.decode(made), clock_ms)


def test_a_machine_a_year_ahead_does_not_move_its_partition_on(folder: Folder) -> None:
    wild = START_MS + YEAR_MS
    added = add(folder, batch([(START_MS, START_MS), (wild, wild), (START_MS + 1_000, START_MS)]))
    assert added.counts[Outcome.FOLDED, "visit", None] == 2
    ((row, reject),) = added.rejects
    assert (row, reject.reason) == (1, Reason.FUTURE_TIME)
    assert "ahead of the agent's clock by more than 1:00:00 (max_future)" in reject.detail
    assert folder.sources[0].watermark_ms == START_MS + 1_000


@pytest.mark.parametrize("stamp", [-1, 0])
def test_a_record_without_a_timestamp_is_evaluated_by_the_clock(folder: Folder, stamp: int) -> None:
    added = add(folder, batch([(START_MS, stamp), (START_MS + 3 * HOUR_MS, stamp)]))
    assert added.counts[Outcome.FOLDED, "visit", None] == 1
    assert [row for row, _ in added.rejects] == [1]


def test_an_event_as_far_ahead_as_it_may_be_is_accepted(folder: Folder) -> None:
    added = add(folder, batch([(START_MS + HOUR_MS, START_MS)]))
    assert added.counts[Outcome.FOLDED, "visit", None] == 1


def test_the_clock_goes_on_with_the_flushes_and_where_they_are_held_up(folder: Folder) -> None:
    now = START_MS + 5 * HOUR_MS
    assert add(folder, batch([(now, now)]), now).counts[Outcome.FOLDED, "visit", None] == 1
    later = START_MS + 9 * HOUR_MS
    folder.flush(later, {}, 1)
    assert not add(folder, batch([(later, later)], 1), later).rejects


def test_a_restart_evaluates_by_the_clock_of_the_first_time(tmp_path: Path) -> None:
    """What was rejected as from the future is so again, though its time has come by now."""
    plan = plan_of(RULES, tmp_path)
    ahead = START_MS + 3 * HOUR_MS
    log = [(START_MS, START_MS), (ahead, ahead), (START_MS + 5_000, START_MS), (ahead, ahead)]
    first = Folder(plan, TOPIC, 1)
    first.assign(0, None, START_MS)
    assert len(add(first, batch(log[:3])).rejects) == 1
    first.flush(START_MS + 2 * HOUR_MS, {}, 1)
    assert not add(first, batch(log[3:], 3), START_MS + 2 * HOUR_MS).rejects
    commit = first.commits()[0]

    resume = Resume.parse(commit.offset, commit.metadata)
    assert resume.offset == 0
    second = Folder(plan, TOPIC, 1)
    second.assign(0, resume, START_MS + 9 * HOUR_MS)
    added = add(second, batch(log), START_MS + 9 * HOUR_MS)
    assert added.counts == {
        (Outcome.FOLDED, "visit", None): 1
    }  # the fourth: the others are published
    assert second.sources[0].watermark_ms == ahead
    assert second.commits() == {}
    second.flush(START_MS + 9 * HOUR_MS, {}, 1)
    again = Resume.parse(*_commit(second))
    assert again.clocks[:1] == resume.clocks[:1] or again.offset > 0


def _commit(folder: Folder) -> tuple[int, str]:
    commit = folder.commits()[0]
    return commit.offset, commit.metadata


def test_a_replay_has_no_clock_but_its_timestamps(tmp_path: Path) -> None:
    folder = Folder(plan_of(RULES, tmp_path), TOPIC, 1)
    folder.assign(0, None)
    wild = START_MS + YEAR_MS
    assert not folder.add(batch([(wild, wild)])).rejects
    folder.flush(0, {}, 1)
    assert Resume.parse(*_commit(folder)).clocks == ()
