"""Records that come to a source that was idle, after their slices were sealed.

Two source partitions, one KPI: orders by region, in windows of a minute and slices of six seconds,
with a lateness of ten seconds. Times are seconds after the first window began.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest

from agent.core.merge import source_snapshots
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted
from tests.core.merge.test_merger_table import Closed, Event, closed, frame_of
from tests.core.simulated import plan_of

RULES = """
version: 1
defaults: {lateness: 10s, idle_after: 30s}
events:
  order: {topic: shop, time: at, fields: {region: string}}
kpis:
  orders: {from: order, value: count(*), by: [region], window: 1m, max_series: 2}
rules:
  now: {kpi: orders, on: current, when: value > 100}
  quiet: {kpi: orders, no_data_for: 25s}
"""

LIVELY = Event(0, 1, 45, {"oslo": 2})
IDLE = Event(1, 1, 5, {"oslo": 1}, idle=40, clock=45)
SEALED = [LIVELY, IDLE]
"""Slices are sealed up to 35 s, of which source 1, at 5 s, may send more."""
CLOSE = [Event(0, 8, 70), Event(1, 8, 70)]

TABLE: dict[str, tuple[list[Event], Closed]] = {
    "what an idle source has sent counts": ([*SEALED, *CLOSE], {"oslo@60": 3}),
    "what it sends later replaces it": (
        [*SEALED, Event(1, 2, 6, {"oslo": 4}), *CLOSE],
        {"oslo@60": 6},
    ),
    "the last of several counts": (
        [*SEALED, Event(1, 2, 6, {"oslo": 2}), Event(0, 2, 58), Event(1, 3, 7, {"oslo": 4}),
         *CLOSE],
        {"oslo@60": 6},
    ),
    "what is sent again counts once": (
        [*SEALED, Event(1, 1, 5, {"oslo": 1}, resent=True), *CLOSE],
        {"oslo@60": 3},
    ),
    "what was sent before, and comes again, counts once": (
        [*SEALED, Event(1, 2, 6, {"oslo": 4}), Event(1, 2, 6, {"oslo": 4}, resent=True), *CLOSE],
        {"oslo@60": 6},
    ),
    "it counts with the frame that lets its source pass": (
        [*SEALED, Event(1, 2, 44, {"oslo": 4}), *CLOSE],
        {"oslo@60": 6},
    ),
    "what comes once the source has passed is a repeat": (
        [*SEALED, Event(1, 2, 44, {"oslo": 4}), Event(1, 3, 45, {"oslo": 4}, resent=True), *CLOSE],
        {"oslo@60": 6},
    ),
    "a series may begin so": (
        [*SEALED, Event(1, 2, 6, {"bergen": 4}), *CLOSE],
        {"oslo@60": 3, "bergen@60": 4},
    ),
    "partials of series without room replace their own": (
        [*SEALED, Event(1, 2, 6, {"bergen": 1, "moss": 2, "voss": 3}), Event(0, 2, 58),
         Event(1, 3, 7, {"moss": 5}), *CLOSE],
        {"oslo@60": 3, "bergen@60": 1, "__other__@60": 8},
    ),
    "all columns of a partial are there before anything closes": (
        [*SEALED, Event(1, 2, 6, {"oslo": 4}, last=False), Event(0, 8, 70), Event(1, 8, 70)],
        {"oslo@60": 6},
    ),
    "a closed window stays as it is": (
        [LIVELY, IDLE, Event(0, 2, 90), Event(1, 1, 5, idle=90, clock=95),
         Event(1, 2, 6, {"oslo": 9}), Event(0, 3, 140), Event(1, 3, 140)],
        {"oslo@60": 3},
    ),
}  # fmt: skip
"""Frames, and the windows that close in the end."""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    made = plan_of(RULES, tmp_path)
    assert made.kpis["orders"].slice_ms == 6_000
    return made


def run(merger: Merger, frames: list[bytes], start: int, stop: int) -> Emitted:
    emitted = [merger.apply(frames[at], at) for at in range(start, stop)]
    windows = tuple(w for each in emitted for w in each.windows)
    transitions = tuple(t for each in emitted for t in each.transitions)
    return Emitted(windows, (), transitions, sum(each.late for each in emitted))


@pytest.mark.parametrize("claim", TABLE)
def test_a_record_counts_wherever_its_window_is_open(plan: Plan, claim: str) -> None:
    events, expected = TABLE[claim]
    emitted = run(Merger(plan, 0, 1), [frame_of(plan, e) for e in events], 0, len(events))
    assert closed(emitted) == expected
    assert emitted.late == (1 if claim == "a closed window stays as it is" else 0)


@pytest.mark.parametrize("claim", TABLE)
@pytest.mark.parametrize("every", [1, 2, 32])
def test_a_crash_after_any_row_of_any_round_changes_nothing(
    plan: Plan, claim: str, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_snapshots, "EVERY_MESSAGES", every)
    events, expected = TABLE[claim]
    frames = [frame_of(plan, event) for event in events]
    alerts = set(run(Merger(plan, 0, 1), frames, 0, len(frames)).transitions)
    for stop in range(1, len(frames)):
        for cut in range(4):
            merger, rows, read, done = Merger(plan, 0, 1), dict[bytes, bytes](), 0, list[Emitted]()
            for upto in (stop - 1, stop):
                done.append(run(merger, frames, read, upto))
                needed, writes = merger.needed_position(), merger.drain_rows()
                dies = upto == stop
                rows |= {k: row for k, row in writes[: cut if dies else None] if row is not None}
                read = upto
                if not dies:
                    position = needed
            merger = Merger(plan, 0, 1)
            merger.restore(rows.items())
            done += [run(merger, frames, position, len(frames))]
            windows = {w for each in done for w in each.windows}
            assert closed(Emitted(tuple(windows))) == expected
            assert len({(w.dimensions, w.end_ms) for w in windows}) == len(windows)
            assert {t for each in done for t in each.transitions} == alerts


def test_an_open_window_holds_each_partial_once(plan: Plan) -> None:
    events = [*SEALED, Event(1, 2, 6, {"oslo": 4}), Event(0, 2, 58), Event(1, 3, 30), *CLOSE]
    merger, seen = Merger(plan, 0, 1), []
    for position, event in enumerate(events[:-1]):
        merger.apply(frame_of(plan, event), position)
        (window,) = merger.state.open_windows()["orders"]
        (view,) = merger.views()
        assert view.current is not None and view.current.value == window.value
        seen.append(window.value)
    assert seen == list(accumulate([2, 1, 3, 0, 0, 0]))


def test_nothing_is_kept_apart_once_its_source_has_passed(plan: Plan) -> None:
    merger = Merger(plan, 0, 1)
    events = [
        *SEALED,
        Event(0, 2, 58, {"oslo": 1}, slice=42),
        Event(1, 2, 58, {"oslo": 1}, slice=42),
        Event(0, 3, 60),
        Event(1, 3, 60),
    ]
    run(merger, [frame_of(plan, event) for event in events], 0, 2)
    (series,) = merger.state.series_of("orders")
    assert series.unsettled is not None and len(series.unsettled) == 1
    for position, event in enumerate(events[2:], 2):
        merger.apply(frame_of(plan, event), position)
    assert series.unsettled is None and len(series.panes) == 1
