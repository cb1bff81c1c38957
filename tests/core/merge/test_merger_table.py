"""The merger's table: what each event does in each state, as the head of `merger` says it.

Two source partitions, one KPI: orders by region, in windows of a minute, with a lateness of ten
seconds. Times are seconds after the first window began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import pytest

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import Block, Frame, encode, series_key
from agent.core.merge import source_snapshots
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from tests.core.simulated import START_MS

RULES = """
version: 1
defaults: {lateness: 10s, idle_after: 30s}
events:
  order: {topic: shop, time: at, fields: {region: string}}
kpis:
  orders: {from: order, value: count(*), by: [region], window: 1m}
"""


@dataclass(frozen=True)
class Event:
    """A frame of a source partition: how many orders each region has had in a slice so far, up to
    an offset, and how far its event time is."""

    source: int
    covered: int
    reached: float | None
    orders: Mapping[str, int] = field(default_factory=dict)
    slice: int = 0
    last: bool = True
    resent: bool = False
    topic: str = "shop"
    fingerprint: str | None = None
    idle: float | None = None
    clock: float = 1_000.0


@dataclass(frozen=True)
class Restart:
    """The rows are written, and another merger starts from them."""


RESTART = Restart()
Closed = dict[str, float]


def frame_of(plan: Plan, event: Event) -> bytes:
    kpi = plan.kpis["orders"]
    columns = len(Aggregator(kpi).columns())
    counts = np.array(list(event.orders.values()), np.int64).tobytes()
    keys = [series_key((region,)) for region in event.orders]
    start_ms = START_MS + event.slice * 1_000
    fingerprint = event.fingerprint or kpi.fingerprint
    blocks = [Block("orders", fingerprint, start_ms, keys, [counts] * columns)] if keys else []
    return next(
        encode(
            Frame(
                event.topic, event.source, 2, event.covered,
                None if event.reached is None else START_MS + int(event.reached * 1_000),
                None if event.idle is None else int(event.idle * 1_000),
                START_MS + int(event.clock * 1_000), event.last, {}, blocks, event.resent,
            )
        )
    )  # fmt: skip


def closed(emitted: Emitted) -> Closed:
    """The windows that hold orders, by region and the second at which they end."""
    return {
        f"{window.dimensions[0]}@{(window.end_ms - START_MS) // 1_000}": window.value or 0.0
        for window in emitted.windows
        if window.events
    }


OPEN = [Event(0, 1, 5, {"oslo": 2}), Event(1, 1, 5)]
CLOSED = [*OPEN, Event(0, 2, 70), Event(1, 2, 70)]
LONG_AGO = Event(0, 1, 5, {"oslo": 9})

TABLE: dict[str, tuple[list[Event | Restart], list[Closed]]] = {
    "partials of a source replace those that it sent before": (
        [*OPEN, Event(0, 2, 70, {"oslo": 5}), Event(1, 2, 70)],
        [{}, {}, {}, {"oslo@60": 5}],
    ),
    "partials of several sources add up": (
        [*OPEN, Event(0, 2, 70), Event(1, 2, 70, {"oslo": 3})],
        [{}, {}, {}, {"oslo@60": 5}],
    ),
    "each series has a window of its own": (
        [Event(0, 1, 70, {"oslo": 2, "bergen": 1}), Event(1, 1, 70)],
        [{}, {"oslo@60": 2, "bergen@60": 1}],
    ),
    "the slowest source holds a window open": (
        [*OPEN, Event(0, 2, 500)],
        [{}, {}, {}],
    ),
    "a source that no frame has come from holds it open": (
        [Event(0, 1, 500, {"oslo": 2})],
        [{}],
    ),
    "a window stays open for the lateness": (
        [*OPEN, Event(0, 2, 69.999), Event(1, 2, 69.999), Event(0, 3, 70), Event(1, 3, 70)],
        [{}, {}, {}, {}, {}, {"oslo@60": 2}],
    ),
    "windows close in the order of their ends, however far one frame goes": (
        [Event(0, 1, 5, {"oslo": 2}), Event(0, 2, 65, {"oslo": 3}, slice=60), Event(0, 3, 400),
         Event(1, 1, 400)],
        [{}, {}, {}, {"oslo@60": 2, "oslo@120": 3}],
    ),
    "a source that is idle holds nothing open": (
        [*OPEN, Event(0, 2, 100, clock=100), Event(1, 1, 5, idle=40, clock=100)],
        [{}, {}, {}, {"oslo@60": 2}],
    ),
    "the watermark moves with the last frame of a flush": (
        [*OPEN, Event(1, 2, 70), Event(0, 2, 70, last=False), Event(0, 2, 70, {"oslo": 4})],
        [{}, {}, {}, {}, {"oslo@60": 4}],
    ),
    "a frame that covers less is passed over": (
        [*OPEN, Event(0, 5, 6, {"oslo": 5}), Event(0, 3, 6, {"oslo": 3}), Event(0, 6, 70),
         Event(1, 2, 70)],
        [{}, {}, {}, {}, {}, {"oslo@60": 5}],
    ),
    "a topic that is not declared is passed over": (
        [*OPEN, Event(0, 9, 999, {"oslo": 9}, topic="other"), Event(0, 2, 70), Event(1, 2, 70)],
        [{}, {}, {}, {}, {"oslo@60": 2}],
    ),
    "partials of a KPI that is declared otherwise are passed over": (
        [*OPEN, Event(0, 2, 70, {"oslo": 9}, fingerprint="before"), Event(1, 2, 70)],
        [{}, {}, {}, {"oslo@60": 2}],
    ),
    "a partial for a sealed slice changes nothing": (
        [*CLOSED, Event(0, 3, 71, {"oslo": 9})],
        [{}, {}, {}, {"oslo@60": 2}, {}],
    ),
    "after a restart an open window is made of the frames that are read again": (
        [*OPEN, RESTART, Event(0, 1, 5, {"oslo": 2}, resent=True), Event(1, 1, 5, resent=True),
         Event(0, 2, 70), Event(1, 2, 70)],
        [{}, {}, {}, {}, {}, {}, {"oslo@60": 2}],
    ),
    "after a restart what the rows emitted last is emitted again, once": (
        [*CLOSED, RESTART, Event(0, 3, 71), Event(1, 3, 71)],
        [{}, {}, {}, {"oslo@60": 2}, {}, {"oslo@60": 2}, {}],
    ),
    "after a restart a sealed slice stays sealed": (
        [*CLOSED, RESTART, LONG_AGO, Event(1, 1, 5), Event(0, 3, 500), Event(1, 3, 500)],
        [{}, {}, {}, {"oslo@60": 2}, {}, {"oslo@60": 2}, {}, {}, {}],
    ),
}  # fmt: skip
"""Events, and what each of them closes."""

COUNTED: dict[str, tuple[list[Event], tuple[int, int]]] = {
    "nothing, where all is in time": (CLOSED, (0, 0)),
    "a partial for a sealed slice, as late": ([*CLOSED, Event(0, 3, 71, {"oslo": 9})], (1, 0)),
    "none that was in time when it was sent first": (
        [*CLOSED, Event(0, 3, 71, {"oslo": 9}, resent=True)],
        (0, 0),
    ),
    "none that an earlier frame covered": ([*CLOSED, Event(0, 2, 71, {"oslo": 9})], (0, 0)),
    "a frame that covers less, as stale": ([*CLOSED, Event(0, 1, 71, {"oslo": 9})], (0, 1)),
}
"""Events, and how many partials are counted as late and frames as stale."""

POSITIONS: dict[str, tuple[list[Event], int]] = {
    "the last frame, where nothing is held": ([Event(0, 1, 5), Event(1, 1, 5)], 1),
    "the first frame of an open slice": ([Event(1, 1, 5), *OPEN], 1),
    "the last frame, once all slices are sealed": (CLOSED, 3),
    "the first frame of the slices that are left": (
        [*OPEN, Event(0, 2, 65, {"oslo": 1}, slice=60), Event(0, 3, 70), Event(1, 3, 70)],
        2,
    ),
}
"""Events, and the first of them that a restart needs."""


def apply(merger: Merger, data: bytes, position: int) -> Emitted:
    emitted = merger.apply(data, position)
    assert not merger.is_behind
    return emitted


@pytest.mark.parametrize("claim", TABLE)
def test_what_an_event_closes(plan: Plan, claim: str) -> None:
    events, expected = TABLE[claim]
    merger, rows, by_frame = Merger(plan, 0, 1), {}, []
    for position, event in enumerate(events):
        if isinstance(event, Event):
            by_frame.append(closed(apply(merger, frame_of(plan, event), position)))
            continue
        rows.update(merger.drain_rows())
        merger = Merger(plan, 0, 1)
        merger.restore((key, row) for key, row in rows.items() if row is not None)
        by_frame.append({})
    assert by_frame == expected


@pytest.mark.parametrize("claim", COUNTED)
def test_what_is_counted(plan: Plan, claim: str) -> None:
    events, expected = COUNTED[claim]
    merger = Merger(plan, 0, 1)
    emitted = [apply(merger, frame_of(plan, e), i) for i, e in enumerate(events)]
    assert (sum(e.late for e in emitted), sum(e.stale for e in emitted)) == expected


@pytest.mark.parametrize("claim", POSITIONS)
def test_what_a_restart_needs(plan: Plan, claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_snapshots, "EVERY_MESSAGES", 1)
    events, expected = POSITIONS[claim]
    merger = Merger(plan, 0, 1)
    for position, event in enumerate(events):
        apply(merger, frame_of(plan, event), position)
    assert merger.needed_position() == expected


def test_bytes_that_are_no_frame_change_nothing(plan: Plan) -> None:
    merger = Merger(plan, 0, 1)
    apply(merger, frame_of(plan, OPEN[0]), 0)
    before = merger.needed_position()
    with pytest.raises(msgspec.DecodeError):
        merger.apply(b"no frame", 1)
    assert merger.needed_position() == before
    emitted = [apply(merger, frame_of(plan, e), i) for i, e in enumerate(CLOSED[1:], 2)]
    assert closed(emitted[-1]) == {"oslo@60": 2}


def test_a_frame_is_the_same_whichever_position_it_has(plan: Plan) -> None:
    at_once, later = Merger(plan, 0, 1), Merger(plan, 0, 1)
    frames = [frame_of(plan, replace(event, clock=50)) for event in CLOSED]
    assert [apply(at_once, f, i) for i, f in enumerate(frames)] == [
        apply(later, f, 100 * i) for i, f in enumerate(frames)
    ]
