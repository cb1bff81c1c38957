"""When a KPI that waits for its past begins, and where its past and the live flow meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.frame import Frame
from agent.core.merge.backfill_buffer import BEGINNING_MS, BackfillBuffers
from agent.core.merge.missed_records import MissedByTopic
from agent.core.merge.watermark import Sources
from agent.core.model.plan import Plan
from tests.core.simulated import EVENTS, plan_of

MINUTE_MS = 60_000
RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), window: 1m, backfill: 1h}}
"""

Received = tuple[int, bool, int | None]
"""The last frame of a flush: its source, whether it names the KPI, and its `since_ms`."""


def buffers_of(plan: Plan, received: list[Received]) -> tuple[BackfillBuffers, bool]:
    """The buffers of a topic of two partitions after some frames; whether the KPI began."""
    sources = Sources(plan.contracts.values())
    buffers, has_begun = BackfillBuffers(plan, sources, MissedByTopic(plan)), False
    fingerprint = plan.kpis["revenue"].fingerprint
    for source, names_kpi, since_ms in received:
        filled = {"revenue": fingerprint} if names_kpi else {}
        frame = Frame(
            "shop", source, 2, 5, 0, None, 0, True, {}, [], filled=filled, since_ms=since_ms
        )
        sources.update(frame)
        has_begun = bool(buffers.note(frame)) or has_begun
    return buffers, has_begun


@pytest.mark.parametrize(
    ("received", "handoff_ms"),
    [
        pytest.param([(0, True, 10)], None, id="one source of two"),
        pytest.param([(0, True, 10), (1, True, 70_000)], 120_000, id="the slice after the latest"),
        pytest.param(
            [(0, True, 10), (0, True, 90_000), (1, True, 20)], MINUTE_MS, id="first counts"
        ),
        pytest.param([(0, True, 10), (1, False, 20)], None, id="older rules don't name the KPI"),
        pytest.param(
            [(0, True, 10), (1, True, 20), (1, False, 90_000), (1, True, 90_000)],
            120_000,
            id="a source that begins again",
        ),
        pytest.param([(0, True, None), (1, True, 70_000)], 120_000, id="a source read whole"),
    ],
)
def test_the_handoff_is_known_once_all_sources_fold_the_kpi(
    tmp_path: Path, received: list[Received], handoff_ms: int | None
) -> None:
    buffers, has_begun = buffers_of(plan_of(RULES, tmp_path), received)
    assert not has_begun
    assert buffers.note_frontier("revenue", 119_999)
    early = [pending.handoff_ms for pending in buffers.pending()]
    assert early == [at for at in (handoff_ms,) if at is not None and at <= 119_999]
    buffers.note_frontier("revenue", 10**9)
    assert [pending.handoff_ms for pending in buffers.pending()] == (
        [] if handoff_ms is None else [handoff_ms]
    )


def test_a_kpi_whose_sources_were_all_read_whole_needs_no_past(tmp_path: Path) -> None:
    buffers, has_begun = buffers_of(plan_of(RULES, tmp_path), [(0, True, None), (1, True, None)])
    assert has_begun
    assert (buffers.names, buffers.handoffs) == (frozenset(), {"revenue": BEGINNING_MS})


@pytest.mark.parametrize(
    ("handoff_ms", "sources", "is_adopted"),
    [
        pytest.param(120_000, [0, 1], True, id="as asked"),
        pytest.param(180_000, [0, 1], True, id="read further"),
        pytest.param(60_000, [0, 1], False, id="not read far enough"),
        pytest.param(120_000, [0], False, id="a source is missing"),
    ],
)
def test_a_past_is_adopted_if_it_meets_the_live_flow(
    tmp_path: Path, handoff_ms: int, sources: list[int], is_adopted: bool
) -> None:
    plan = plan_of(RULES, tmp_path)
    buffers, _ = buffers_of(plan, [(0, True, 10), (1, True, 70_000)])
    adopted = buffers.adopt(
        "revenue", handoff_ms, [("shop", p) for p in sources], [(b"key", b"row")]
    )
    rows = buffers.drain_rows()
    assert (adopted is not None) is is_adopted
    assert [key for key, _ in rows][1:2] == ([b"key"] if is_adopted else [])
    # The markers around the rows say after a crash whether all of them were written.
    for count, half in ((1, {"revenue"}), (2, {"revenue"}), (3, set[str]())) if rows else ():
        markers = {key: row for key, row in rows[:count] if key != b"key"}
        assert BackfillBuffers(plan, {}, MissedByTopic(plan)).restore(markers.items())[0] == half
