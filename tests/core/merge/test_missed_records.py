"""Windows that may lack records are marked, others are not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.core.backfill import Backfill, BackfillRequest
from agent.core.frame import Frame, decode, encode
from agent.core.merge.merger import Merger
from agent.core.merge.missed_records import MissedRecords
from tests.core.batches import batch_of
from tests.core.simulated import EVENTS, START_MS, TOPIC, World, plan_of, sale, visit

MINUTE_MS = 60_000
RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), window: 1m}}
  visits: {{from: visit, value: count(*), window: 1m}}
  per_visit: {{from: [revenue, visits], value: revenue / visits}}
"""


@pytest.mark.parametrize(
    ("span", "incomplete"),
    [
        pytest.param(None, [], id="nothing was missed"),
        pytest.param((START_MS + 90_000, START_MS + 130_000), [1, 2], id="two minutes"),
        # An event may be 10 s (the lateness) older than those before it.
        pytest.param((START_MS + 65_000, START_MS + 90_000), [0, 1], id="late events were missed"),
        pytest.param((None, START_MS + 70_000), [0, 1], id="the beginning of the log"),
    ],
)
def test_windows_that_a_gap_touches_are_incomplete(
    tmp_path: Path, span: tuple[int | None, int] | None, incomplete: list[int]
) -> None:
    log = []
    for minute in range(6):
        log += [sale(START_MS + MINUTE_MS * minute, 1.0, "a", "c", f"{minute}")]
        log += [visit(START_MS + MINUTE_MS * minute, "a")]
    world = World(plan_of(RULES, tmp_path), [log], 1)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    frame = msgspec.structs.replace(decode(world.frames[0][0]), missed=span)
    emitted = Merger(world.plan, 0, 1).apply(next(encode(frame)), 0)
    marked: dict[str, list[int]] = {name: [] for name in world.plan.kpis}
    for window in emitted.windows:
        if window.incomplete:
            marked[window.kpi].append((window.start_ms - START_MS) // MINUTE_MS)
    assert len(emitted.windows) > 6
    assert marked == dict.fromkeys(world.plan.kpis, incomplete)


def test_a_backfill_marks_what_an_earlier_log_of_the_topic_had(tmp_path: Path) -> None:
    plan = plan_of(RULES.replace("window: 1m}", "window: 1m, backfill: 1d}", 1), tmp_path)
    log = [sale(START_MS + MINUTE_MS * minute, 1.0, "a", "c", f"{minute}") for minute in range(6)]
    missed = MissedRecords(0)
    missed.note(frame_with(0, (None, START_MS + 70_000)))  # created again
    missed.note(frame_with(0, (START_MS + 130_000, START_MS + 200_000)))  # it is there now
    handoff_ms = START_MS + 5 * MINUTE_MS
    wanted = BackfillRequest("revenue", None, handoff_ms, (0,), [missed.earlier_logs()])
    backfill = Backfill(plan, [wanted], [(TOPIC, 0)], 1)
    backfill.add(batch_of(TOPIC, log))
    backfill.end((TOPIC, 0))
    marks = [window.incomplete for window in backfill.flush().windows]
    assert marks == [True, True, False, False, False]


def test_the_mark_reaches_as_far_back_as_what_a_window_is_made_of(tmp_path: Path) -> None:
    rules = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), window: 1m}}
  loyal: {{from: sale, value: retention(customer), window: 1m}}
  score: {{from: [revenue, loyal], value: revenue * loyal}}
  twice: {{from: [score], value: score * 2}}
  doubled_revenue: {{from: [revenue], value: revenue * 2}}
"""
    log = [sale(START_MS + MINUTE_MS * minute, 1.0, "a", "c", f"{minute}") for minute in range(6)]
    world = World(plan_of(rules, tmp_path), [log], 1)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    span = (START_MS + 75_000, START_MS + 90_000)  # in the second minute
    frame = msgspec.structs.replace(decode(world.frames[0][0]), missed=span)
    emitted = Merger(world.plan, 0, 1).apply(next(encode(frame)), 0)
    marked: dict[str, list[int]] = {name: [] for name in world.plan.kpis}
    for window in emitted.windows:
        if window.incomplete:
            marked[window.kpi].append((window.start_ms - START_MS) // MINUTE_MS)
    assert marked == {
        "revenue": [1],
        "doubled_revenue": [1],
        "loyal": [1, 2],
        "score": [1, 2],
        "twice": [1, 2],
    }


def frame_with(partition: int, span: tuple[int | None, int] | None) -> Frame:
    return Frame("t", partition, 2, 1, 1, None, 1, True, {}, [], missed=span)


def test_the_end_of_a_gap_may_become_known_later_and_a_second_gap_does_not_hide_the_first() -> None:
    missed = MissedRecords(0)
    missed.note(frame_with(0, (1_000, 9_000)))
    missed.note(frame_with(0, (1_000, 2_000)))
    missed.note(frame_with(0, (5_000, 6_000)))
    missed.note(frame_with(1, None))
    assert [missed.overlaps(at, at + 1_000) for at in range(0, 8_000, 1_000)] == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip


def test_what_lost_frames_covered_is_missing_up_to_the_next_frame_of_their_source() -> None:
    missed = MissedRecords(0)
    missed.note_lost_frames()
    missed.note(Frame("t", 0, 2, 1, 1, None, 9_000, True, {}, []))
    missed.note(Frame("t", 0, 2, 1, 1, None, 20_000, True, {}, []))
    assert missed.overlaps(0, 1_000) and missed.overlaps(8_000, 12_000)
    assert not missed.overlaps(10_000, 12_000)


@pytest.mark.parametrize("lost", [True, False])
def test_a_merger_that_restarts_knows_every_gap_and_that_frames_were_lost(
    tmp_path: Path, lost: bool
) -> None:
    log = [sale(START_MS + MINUTE_MS * minute, 1.0, "a", "c", f"{minute}") for minute in range(9)]
    world = World(plan_of(RULES, tmp_path), [log], 1)
    worker = world.worker()
    spans = [
        None,
        (START_MS + 150_000, START_MS + 170_000),
        (START_MS + 390_000, START_MS + 400_000),
    ]
    marked: set[int] = set()
    for number, span in enumerate(spans):
        world.read(worker, {0: 3})
        world.flush(worker)
        frame = msgspec.structs.replace(
            decode(world.frames[0][number]), missed=span, clock_ms=START_MS + 30_000
        )
        merger = world.merger(0)  # each frame meets a merger that has just restarted
        if lost and number == 0:
            merger.note_lost_frames()
        for position in range(world.positions[0], number):
            merger.apply(world.frames[0][position], position)
        world.frames[0][number] = next(encode(frame))
        emitted = merger.apply(world.frames[0][number], number)
        marked |= {(w.start_ms - START_MS) // MINUTE_MS for w in emitted.windows if w.incomplete}
        world.positions[0] = merger.needed_position()
        world.write(merger, 0)
    merger = world.merger(0)
    late = merger._missed.of_topic("shop")
    touched = {
        m
        for m in range(9)
        if late.overlaps(START_MS + m * MINUTE_MS, START_MS + (m + 1) * MINUTE_MS)
    }
    assert touched == {2, 6} | ({0} if lost else set())
    assert marked <= touched
