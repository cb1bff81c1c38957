"""Closed windows computed again: what is restated together, and what is corrected."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from agent.core.model.kpis import OTHER
from agent.core.model.plan import Plan
from agent.core.model.results import Correction, Emitted, Number, TargetState, WindowValue
from agent.core.output.value_messages import PublishedWindows, ValueMessage
from agent.core.pipeline import Pipeline
from agent.core.restatement import (
    Period,
    TooManySeries,
    corrections,
    events_from_ms,
    losing_events,
    related,
    restatement_plan,
)
from agent.language.load import load
from tests.core.batches import batch_of

MINUTE_MS = 60_000
START_MS = 1_741_000_020_000
RULES = """
version: 1
defaults: {lateness: 10s}
events:
  order: {topic: orders, time: at, id: id, fields: {amount: {type: float}, region: string}}
  visit: {topic: visits, time: at, fields: {region: string}}
kpis:
  orders: {from: order, value: count(*), by: [region], window: 1m, target: {at_least: 1}}
  visits: {from: visit, value: count(*), by: [region], window: 1m}
  conversion: {from: [orders, visits], value: orders / visits, by: [region], window: 1m}
  visitors: {from: visit, value: count(*), window: day}
  revenue: {from: order, value: sum(amount), by: [region], window: 1m,
    target: {at_least: kpi(goal)}}
  goal: {from: order, value: max(amount), by: [region], window: 1m}
"""
PERIOD = Period(START_MS, START_MS + 10 * MINUTE_MS)


def window(minute: int, value: Number, events: int, region: str = "a") -> WindowValue:
    start_ms = START_MS + minute * MINUTE_MS
    return WindowValue("orders", (region,), start_ms, start_ms + MINUTE_MS, value, events)


def corrected(
    plan: Plan, published: list[WindowValue], computed: list[WindowValue]
) -> list[Correction]:
    old = PublishedWindows()
    for each in published:
        old.add(ValueMessage(("region",), each))
    return corrections(plan, ["orders"], old, Emitted(tuple(computed)), PERIOD)


def test_a_kpi_is_restated_with_its_inputs_and_all_that_is_computed_from_them(plan: Plan) -> None:
    together = ("orders", "visits", "conversion")
    assert related(plan, "orders") == related(plan, "conversion") == together
    assert related(plan, "visitors") == ("visitors",)
    assert related(plan, "goal") == ("revenue", "goal")


def test_events_are_read_from_the_start_of_the_first_window(plan: Plan) -> None:
    asked = Period(START_MS + 30_000, START_MS + 60_000)
    assert events_from_ms(plan, ["orders"], asked) == START_MS
    assert events_from_ms(plan, ["visitors"], asked) % 86_400_000 == 0


def test_windows_that_differ_are_corrected_and_missing_ones_added(plan: Plan) -> None:
    before = [window(0, 1, 1), window(1, 5, 5), window(2, 1, 1)]
    after = [window(0, 2, 2), window(0, 3, 3, "b"), window(1, 5, 5), window(2, 1, 1)]
    assert corrected(plan, before, after) == [
        Correction(after[0], before[0]),
        Correction(after[1], None),
    ]


def test_windows_that_are_not_closed_or_outside_the_period_stay_as_they_are(plan: Plan) -> None:
    before = [window(-1, 1, 1), window(0, 1, 1), window(10, 1, 1)]
    after = [window(-1, 2, 2), window(0, 1, 1), window(10, 2, 2)]
    assert corrected(plan, before, after) == []
    assert corrected(plan, [window(0, 1, 1)], [window(0, 1, 1), window(1, 9, 9)]) == []


def test_windows_without_events_and_values_but_for_rounding_stay_as_they_are(plan: Plan) -> None:
    before = [window(0, 0, 0), window(1, 0.1 + 0.2, 2), window(2, None, 1)]
    after = [window(1, 0.3, 2), window(2, None, 1), window(1, 0, 0, "b")]
    assert corrected(plan, before, after) == []


def test_a_window_that_lost_all_its_events_gets_the_value_of_no_events(plan: Plan) -> None:
    [made] = corrected(plan, [window(0, 2, 2)], [])
    assert (made.window.value, made.window.events, made.before) == (0, 0, window(0, 2, 2))
    assert made.status is not None and made.status.state is TargetState.MISSED
    assert list(losing_events([made])) == [made]


def test_what_was_folded_into_other_is_not_restated(plan: Plan) -> None:
    with pytest.raises(TooManySeries, match="orders"):
        corrected(plan, [window(0, 2, 2, OTHER)], [])


@pytest.mark.parametrize("flushed", [1, 3, 100])
def test_late_events_count_and_late_repeats_do_not(plan: Plan, flushed: int) -> None:
    events = [
        (0.5, "o1"),
        (1.5, "o2"),
        (5.5, "o3"),
        (0.6, "late"),
        (0.5, "o1"),  # again, when its window is long closed
        (30.5, "after the period"),
        (1.2, "later still"),
        (-9.0, "before the period"),
    ]
    asked = restatement_plan(plan, ["orders"], PERIOD)
    pipeline = Pipeline(asked, {"orders": 1})
    lines = [
        f'{{"type": "order", "at": {START_MS + round(minute * MINUTE_MS)}, "id": "{number}", '
        f'"region": "a", "amount": 1}}'.encode()
        for minute, number in events
    ]
    for begin in range(0, len(lines), flushed):
        pipeline.add(batch_of("orders", lines[begin : begin + flushed], offset=begin))
        assert pipeline.flush().windows == ()
    windows = pipeline.advance_to(PERIOD.until_ms).windows
    counts = {(w.start_ms - START_MS) // MINUTE_MS: w.events for w in windows if w.events}
    assert counts == {0: 2, 1: 2, 5: 1}


def test_an_id_that_is_used_again_in_a_later_window_counts_there(plan: Plan) -> None:
    asked = restatement_plan(plan, ["orders"], PERIOD)
    pipeline = Pipeline(asked, {"orders": 1})
    # As in the live flow, a retry with a new time counts once while its first window is open.
    minutes = {"retry": (0.99, 1.01), "again": (2.5, 4.5)}
    lines = [
        f'{{"type": "order", "at": {START_MS + round(minute * MINUTE_MS)}, "id": "{name}", '
        f'"region": "a", "amount": 1}}'.encode()
        for name, both in minutes.items()
        for minute in both
    ]
    pipeline.add(batch_of("orders", lines))
    windows = pipeline.advance_to(PERIOD.until_ms).windows
    counts = {(w.start_ms - START_MS) // MINUTE_MS: w.events for w in windows if w.events}
    assert counts == {0: 1, 2: 1, 4: 1}


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
def test_calendar_windows_are_restated_whole(timezone: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(RULES.replace("defaults: {", f"defaults: {{timezone: {timezone}, "))
    plan = load(path)
    asked = restatement_plan(plan, ["visitors"], Period(START_MS, START_MS + MINUTE_MS))
    pipeline = Pipeline(asked, {"visits": 1})
    times = [START_MS + hour * 3_600_000 for hour in (0, 30, -20, 0, 60, -40, 1)]
    lines = [f'{{"type": "visit", "at": {at}, "region": "a"}}'.encode() for at in times]
    pipeline.add(batch_of("visits", lines))
    assert pipeline.flush().windows == ()
    end_ms = plan.kpis["visitors"].window.first_end_after(START_MS)
    [day] = [w for w in pipeline.advance_to(end_ms).windows if w.end_ms == end_ms]
    assert day.start_ms == events_from_ms(plan, ["visitors"], Period(START_MS, end_ms))
    assert day.events == sum(day.start_ms <= at < end_ms for at in times) == 3


def test_hidden_windows_stay_hidden_until_enough_people_are_in_them(plan: Plan) -> None:
    hidden = structs.replace(window(0, None, 0), hidden=True)
    assert corrected(plan, [hidden], [hidden]) == []
    assert corrected(plan, [hidden], [window(0, 9, 9)]) == [Correction(window(0, 9, 9), hidden)]
    [made] = corrected(plan, [window(0, 9, 9)], [hidden])
    assert made.window == hidden
