"""Maintenance through the whole core: what it changes, and what it must not change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, TargetState
from agent.core.pipeline import Pipeline, in_event_time_order
from tests.core.batches import batch_of

MINUTE_MS = 60_000
OSLO = ZoneInfo("Europe/Oslo")
# Saturday evening until Sunday noon; clocks go back in the night.
START_MS = int(datetime(2025, 10, 25, 18, tzinfo=OSLO).timestamp()) * 1000
SPAN_MINUTES = 19 * 60

RULES = """
version: 1
defaults: {lateness: 0s, timezone: Europe/Oslo}
events:
  sale: {topic: shop, time: at, fields: {amount: float, region: string}}
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 20m every 10m,
            target: [{at_least: 20}, {from: 2025-10-26, at_least: 50}]}
rules:
  low: {kpi: revenue, when: value < 30, for: 30m}
  under: {kpi: revenue, when: value < target}
  fell: {kpi: revenue, when: "change('previous') < 0"}
  falling: {kpi: revenue, when: declining(2), for: 20m}
  quiet: {kpi: revenue, no_data_for: 1h}
maintenance:
  night: {every: week, on: sunday, at: "01:30", for: 3h, match: {region: north}}
  saturdays: {every: week, on: saturday, from: 2025-10-25T23:40}
"""


sales = st.lists(
    st.tuples(
        st.integers(0, SPAN_MINUTES * 60 - 1),
        st.sampled_from(["north", "south"]),
        st.integers(1, 40),
    ),
    min_size=20,
    max_size=120,
).map(sorted)


def run(plan: Plan, events: list[tuple[int, str, int]], cuts: list[int]) -> Emitted:
    """Send the events through the core, in batches that end at the cuts."""
    pipeline, emitted, first = Pipeline(plan), [], 0
    for cut in [*sorted(cuts), len(events)]:
        some = events[first:cut]
        lines = [
            msgspec.json.encode(
                {"type": "sale", "at": START_MS + s * 1000, "region": r, "amount": a}
            )
            for s, r, a in some
        ]
        assert not pipeline.add(batch_of("shop", lines, offset=first)).rejects
        emitted.append(pipeline.flush())
        first = cut
    published = in_event_time_order([*emitted, pipeline.finish()])
    # What happens at one instant may be published in any order.
    return replace(
        published,
        windows=tuple(sorted(published.windows, key=lambda w: (w.end_ms, w.dimensions))),
        transitions=tuple(
            sorted(published.transitions, key=lambda t: (t.at_ms, t.dimensions, t.rule))
        ),
    )


def calm_at(region: str, minute_ms: int) -> str | None:
    """Whether a minute is in maintenance, by a look at the clock of Oslo."""
    clock = datetime.fromtimestamp(minute_ms / 1000, OSLO)
    if region == "north":
        # 01:30 comes once in that night, 02:00 to 03:00 twice: three hours are over at 03:30.
        start = datetime(2025, 10, 26, 1, 30, tzinfo=OSLO).timestamp()
        if start <= minute_ms / 1000 < start + 3 * 3600:
            return "night"
    late = clock.replace(tzinfo=None) >= datetime(2025, 10, 25, 23, 40)
    return "saturdays" if clock.weekday() == 5 and late else None


@settings(max_examples=15)
@given(sales, st.data())
def test_maintenance_takes_out_what_it_touches_and_nothing_else(
    plan: Plan, events: list[tuple[int, str, int]], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=4))
    without = run(replace(plan, maintenance={}), events, [])
    with_rests = run(plan, events, cuts)
    # The values are those that there would be without.
    assert [structs.replace(w, maintenance=None) for w in with_rests.windows] == list(
        without.windows
    )
    published = {(s.window.dimensions, s.window.end_ms): s for s in with_rests.targets}
    plain = {(s.window.dimensions, s.window.end_ms): s for s in without.targets}
    for window in with_rests.windows:
        minutes = range(window.start_ms, window.end_ms, MINUTE_MS)
        names = {calm_at(str(window.dimensions[0]), at) for at in minutes} - {None}
        # Of two that touch it, the one that is declared first.
        assert window.maintenance == ("night" if "night" in names else next(iter(names), None))
        key = window.dimensions, window.end_ms
        if window.maintenance is not None:
            assert (published[key].state, published[key].attainment) == (TargetState.NO_DATA, None)
        else:
            assert published[key].state == plain[key].state
            assert published[key].target.at_least == (
                50 if window.start_ms >= calendar_ms("2025-10-26") else 20
            )
    # No rule on values takes a step with a window in maintenance.
    calm = {(w.dimensions, w.end_ms) for w in with_rests.windows if w.maintenance is not None}
    steps = [t for t in with_rests.transitions if t.rule != "quiet"]
    assert not [t for t in steps if (t.dimensions, t.at_ms) in calm]
    # However the records come, the same is published.
    assert with_rests.transitions == run(plan, events, []).transitions


def test_a_window_in_maintenance_is_no_past_though_it_closes_together_with_later_ones(
    plan: Plan,
) -> None:
    # Every value differs from that of the window before.
    events = [(m * 60, "north", 1 + m * m % 37) for m in range(0, SPAN_MINUTES, 5)]
    at_once = run(plan, events, [])
    assert at_once.transitions == run(plan, events, list(range(len(events)))).transitions
    calm_ends = {w.end_ms for w in at_once.windows if w.maintenance is not None}
    fell = [t.at_ms for t in at_once.transitions if t.rule == "fell" and t.state == "firing"]
    assert len(fell) > 10
    assert not [at for at in fell if at - 20 * MINUTE_MS in calm_ends]


def calendar_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=OSLO).timestamp()) * 1000


@settings(max_examples=15)
@given(sales)
def test_an_hour_of_silence_is_an_hour_outside_of_maintenance(
    plan: Plan, events: list[tuple[int, str, int]]
) -> None:
    with_rests = run(plan, events, [])
    for fired in (t for t in with_rests.transitions if t.rule == "quiet" and t.state == "firing"):
        region = str(fired.dimensions[0])
        # Events are known to their slice of five minutes.
        ends = [
            (START_MS + s * 1000) // 300_000 * 300_000 + 300_000
            for s, r, _ in events
            if r == region
        ]
        last = max(end for end in ends if end <= fired.at_ms)
        silent = [at for at in range(last, fired.at_ms, MINUTE_MS) if calm_at(region, at) is None]
        assert len(silent) == 60
        assert calm_at(region, fired.at_ms - MINUTE_MS) is None
