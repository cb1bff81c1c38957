"""What the sources had said where a restart begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.frame import Frame
from agent.core.merge.merger import Merger
from agent.core.merge.source_snapshots import EVERY_MESSAGES, MOST_KEPT, SourceSnapshots
from agent.core.merge.watermark import Sources
from agent.core.model.plan import Plan
from agent.core.state.rows import SOURCES_KEY, DamagedRow
from tests.core.merge.test_merger_table import RULES, Event, frame_of
from tests.core.simulated import plan_of


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(RULES, tmp_path)


def test_a_restart_reads_from_the_last_snapshot_before_what_it_needs(plan: Plan) -> None:
    snapshots = SourceSnapshots(Sources(plan.contracts.values()))
    for position in range(3 * EVERY_MESSAGES):
        snapshots.note(position, position - 1)
    assert snapshots.before(2 * EVERY_MESSAGES - 1) == EVERY_MESSAGES
    assert snapshots.before(10 * EVERY_MESSAGES) == 2 * EVERY_MESSAGES


def test_snapshots_are_few_however_long_a_source_holds_back_the_others(plan: Plan) -> None:
    snapshots = SourceSnapshots(Sources(plan.contracts.values()))
    for number in range(10 * MOST_KEPT):
        snapshots.note(number * EVERY_MESSAGES, number * EVERY_MESSAGES - 1)
    assert snapshots.before(EVERY_MESSAGES - 1) == 0
    assert len(snapshots._snapshots) <= MOST_KEPT


def test_a_restart_passes_over_what_the_rows_hold(plan: Plan) -> None:
    merger = Merger(plan, 0, 1)
    for position in range(EVERY_MESSAGES + 1):
        source = position % 2
        event = Event(source, position, 500.0, {"oslo": position}, slice=420 + 60 * source)
        merger.apply(frame_of(plan, event), position)
    # The first slice needs the first frame: nothing is passed over.
    assert merger.needed_position() == 0
    for position in range(EVERY_MESSAGES + 1, 2 * EVERY_MESSAGES + 2):
        merger.apply(frame_of(plan, Event(position % 2, position, 900.0)), position)
    needed = merger.needed_position()
    assert needed == 2 * EVERY_MESSAGES
    restarted = Merger(plan, 0, 1)
    restarted.restore((k, row) for k, row in merger.drain_rows() if row is not None)
    stale = frame_of(plan, Event(0, 1, 950.0, {"oslo": 9}, slice=900))
    assert not restarted.apply(stale, needed - 1).stale
    assert restarted.apply(stale, needed).stale == 1


def test_a_restart_knows_when_the_log_of_an_empty_topic_began(plan: Plan) -> None:
    def frame(log: int, watermark_s: int | None, idle_s: int, clock_s: int) -> Frame:
        at_ms = None if watermark_s is None else watermark_s * 1_000
        return Frame(
            "shop", 0, 1, 1, at_ms, idle_s * 1_000, clock_s * 1_000, True, {}, [],
            topic_id=f"log {log}", epoch=log,
        )  # fmt: skip

    sources, restarted = Sources(plan.contracts.values()), Sources(plan.contracts.values())
    for each in (frame(0, 500, 0, 500), frame(1, None, 0, 510), frame(1, None, 60, 570)):
        sources.update(each)
        sources.of_contract("order").watermark_ms()
    snapshots = SourceSnapshots(sources)
    snapshots.note(0, -1)
    ((_, row),) = snapshots.rows(0)
    SourceSnapshots(restarted).restore(row)
    for of in (sources, restarted):
        of.update(frame(1, None, 90, 600))
        assert of.of_contract("order").watermark_ms() == 590_000


def test_a_row_that_can_not_be_read_is_damaged(plan: Plan) -> None:
    with pytest.raises(DamagedRow, match="the sources is damaged"):
        Merger(plan, 0, 1).restore([(SOURCES_KEY, b"\x01\xc1")])
