"""A base KPI: slices in, windows out.

Each case is a list of steps. `Slice` is what a source has counted in the slice that begins at a
minute; `Advance` moves the frontier. Minutes are those after 09:00 UTC, a whole hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from agent.core.evaluate.evaluator import Evaluator
from agent.core.frame import Block, series_key
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.live_series import series_limit
from agent.core.model.kpis import OTHER
from agent.core.model.plan import Plan
from tests.core.simulated import EVENTS

MINUTE_MS = 60_000
NINE_MS = 1_760_000_400_000
RULES = f"""{EVENTS}kpis:
  tumbling:
    {{from: visit, value: count(*), by: [region], window: 5m, expire_after: 10m, max_series: 2}}
  hopping: {{from: visit, value: count(*), by: [region], window: 4m every 2m, expire_after: 8m}}
  daily: {{from: visit, value: count(*), by: [region], window: day, timezone: Europe/Oslo}}
rules:
  quiet: {{kpi: hopping, no_data_for: 5m}}
"""


@dataclass(frozen=True)
class Slice:
    """How many events a source has of a region in the slice that begins at a minute, so far.
    `late`: how many partials are too late."""

    minute: int
    region: str
    count: int
    source: int = 0
    late: int = 0


@dataclass(frozen=True)
class Advance:
    """The frontier reaches a minute. `closed`: "region@end" to the value of each window that
    closes, in order. `expired`: the regions that expire."""

    minute: int
    closed: dict[str, float]
    expired: str = ""


def base_kpi(plan: Plan, name: str, is_read: bool = False) -> BaseKpi:
    return BaseKpi(Evaluator(plan, plan.kpis[name]), series_limit(plan.kpis[name], 1), is_read)


def minute_ms(minute: int) -> int:
    return NINE_MS + minute * MINUTE_MS


def update(state: BaseKpi, of: Slice) -> int:
    counts = np.array([of.count], np.int64).tobytes()
    block = Block(
        state.kpi.name, state.kpi.fingerprint, minute_ms(of.minute), [series_key((of.region,))],
        [counts],
    )  # fmt: skip
    return state.update(block, of.source, 0)


def run(state: BaseKpi, steps: Sequence[Slice | Advance]) -> None:
    """Do the steps, and compare what each returns."""
    for step in steps:
        if isinstance(step, Slice):
            assert update(state, step) == step.late, step
            continue
        result = state.advance(minute_ms(step.minute))
        closed = {
            f"{window.dimensions[0]}@{(window.end_ms - NINE_MS) // MINUTE_MS}": window.value
            for window, _, _ in result.closed
        }
        assert list(closed.items()) == list(step.closed.items()), step
        assert sorted(str(region) for (region,) in result.expired) == list(step.expired), step


TUMBLING: dict[str, list[Slice | Advance]] = {
    "a window closes when the frontier reaches its end": [
        Slice(0, "a", 3), Advance(4, {}), Advance(5, {"a@5": 3}), Advance(6, {}),
    ],
    "the counts of sources add up": [
        Slice(0, "a", 3), Slice(0, "a", 4, source=1), Advance(5, {"a@5": 7}),
    ],
    "a newer partial of the same source replaces the one before": [
        Slice(0, "a", 3), Slice(0, "a", 5), Advance(5, {"a@5": 5}),
    ],
    "windows close in the order of their ends, however far the frontier advances": [
        Slice(5, "a", 2), Slice(0, "a", 1), Slice(5, "b", 3),
        Advance(10, {"a@5": 1, "a@10": 2, "b@10": 3}),
    ],
    "windows without events close, too": [
        Slice(0, "a", 1), Slice(10, "a", 2), Advance(15, {"a@5": 1, "a@10": 0, "a@15": 2}),
    ],
    "a partial of a sealed slice is late, and changes nothing": [
        Slice(0, "a", 1), Advance(5, {"a@5": 1}), Slice(0, "a", 9, late=1), Slice(5, "a", 2),
        Advance(10, {"a@10": 2}),
    ],
    "a series expires in the first window that ends more than expire_after after its events": [
        Slice(0, "a", 1), Slice(15, "b", 1), Advance(15, {"a@5": 1, "a@10": 0, "a@15": 0}),
        Advance(20, {"a@20": 0, "b@20": 1}, expired="a"), Advance(25, {"b@25": 0}),
    ],
    "an expired series begins again with its next event": [
        Slice(0, "a", 1), Advance(20, {"a@5": 1, "a@10": 0, "a@15": 0, "a@20": 0}, expired="a"),
        Slice(30, "a", 4), Advance(35, {"a@35": 4}),
    ],
    "an event that is not sealed yet does not keep its series from expiring and beginning again": [
        Slice(0, "a", 1), Slice(30, "a", 4),
        Advance(20, {"a@5": 1, "a@10": 0, "a@15": 0, "a@20": 0}), Advance(35, {"a@35": 4}),
    ],
    "a frontier that does not advance closes nothing": [
        Slice(0, "a", 1), Advance(5, {"a@5": 1}), Advance(5, {}), Advance(3, {}),
    ],
    "series beyond max_series are folded into one": [
        Slice(0, "a", 1), Slice(0, "b", 2), Slice(0, "c", 3), Slice(0, "d", 4),
        Advance(5, {"a@5": 1, "b@5": 2, f"{OTHER}@5": 7}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", TUMBLING.values(), ids=TUMBLING)
def test_windows_of_five_minutes(steps: list[Slice | Advance], plan: Plan) -> None:
    run(base_kpi(plan, "tumbling"), steps)


HOPPING: dict[str, list[Slice | Advance]] = {
    "a slice counts in every window that contains it": [
        Slice(0, "a", 1), Slice(2, "a", 2), Slice(4, "a", 4),
        Advance(8, {"a@2": 1, "a@4": 3, "a@6": 6, "a@8": 4}),
    ],
    "the same, if the frontier advances minute by minute": [
        Slice(0, "a", 1), Slice(2, "a", 2), Slice(4, "a", 4), Advance(1, {}),
        Advance(2, {"a@2": 1}), Advance(3, {}), Advance(4, {"a@4": 3}), Advance(6, {"a@6": 6}),
        Advance(8, {"a@8": 4}),
    ],
    "a partial of a sealed slice is late, even if a window that contains it is open": [
        Slice(0, "a", 1), Advance(2, {"a@2": 1}), Slice(0, "a", 9, late=1),
        Advance(4, {"a@4": 1}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", HOPPING.values(), ids=HOPPING)
def test_windows_of_four_minutes_every_two(steps: list[Slice | Advance], plan: Plan) -> None:
    run(base_kpi(plan, "hopping"), steps)


MIDNIGHT = 13 * 60
"""22:00 UTC on 9 October 2025: midnight in Oslo."""
WINTER = MIDNIGHT + 16 * 24 * 60
"""Midnight before the day on which summer time ends."""


@pytest.mark.parametrize(("midnight", "hours"), [(MIDNIGHT, 24), (WINTER, 25)])
def test_a_day_is_that_of_the_time_zone(midnight: int, hours: int, plan: Plan) -> None:
    next_midnight = midnight + hours * 60
    run(
        base_kpi(plan, "daily"),
        [
            Slice(midnight - 60, "a", 1),
            Slice(midnight, "a", 2),
            Slice(next_midnight - 60, "a", 4),
            Slice(next_midnight, "a", 8),
            Advance(midnight - 1, {}),
            Advance(midnight, {f"a@{midnight}": 1}),
            Advance(next_midnight - 1, {}),
            Advance(next_midnight, {f"a@{next_midnight}": 6}),
        ],
    )


def test_an_open_window_has_the_slices_so_far_until_it_closes(plan: Plan) -> None:
    state = base_kpi(plan, "tumbling")
    update(state, Slice(0, "a", 3))
    state.advance(minute_ms(1))
    [window] = state.all_open_windows()
    assert (window.dimensions, window.value, window.open) == (("a",), 3.0, True)
    assert state.current_end() == window.end_ms == minute_ms(5)
    assert state.drain_changed_views() == {("a",)}
    assert state.drain_changed_views() == set()
    state.advance(minute_ms(5))
    assert state.all_open_windows() == []


@pytest.mark.parametrize(("is_read", "value"), [(True, 3.0), (False, None)])
def test_a_closed_window_is_kept_if_other_kpis_read_it(
    is_read: bool, value: float | None, plan: Plan
) -> None:
    state = base_kpi(plan, "tumbling", is_read)
    update(state, Slice(0, "a", 3))
    state.advance(minute_ms(5))
    assert state.unread(("a",), minute_ms(5)) == value
    assert state.unread(("b",), minute_ms(5)) is None


def test_an_expired_series_is_kept_until_its_windows_are_read(plan: Plan) -> None:
    state = base_kpi(plan, "tumbling", is_read=True)
    update(state, Slice(0, "a", 3))
    update(state, Slice(30, "b", 1))
    assert state.advance(minute_ms(20)).expired == set()
    assert set(state.series) == {("b",)}
    kept = state.find(("a",))
    assert kept is not None and state.unread(("a",), minute_ms(5)) == 3.0
    kept.unread.clear()  # as its readers do
    assert state.advance(minute_ms(35)).expired == {("a",)}
    assert state.find(("a",)) is None


def test_the_alert_of_an_absence_ends_with_its_series(plan: Plan) -> None:
    state = base_kpi(plan, "hopping")
    update(state, Slice(0, "a", 3))
    phases = []
    for minute in (2, 6, 8, 10, 12):
        step = state.advance(minute_ms(minute))
        phases += [(minute, t.rule, str(t.state)) for t in step.transitions]
    assert phases == [(8, "quiet", "firing"), (12, "quiet", "resolved")]


def test_a_restart_continues_with_the_restored_series(plan: Plan) -> None:
    before, after = base_kpi(plan, "hopping"), base_kpi(plan, "hopping")
    update(before, Slice(0, "a", 1))
    before.advance(minute_ms(2))
    after.restore(before.series["a",])
    after.continue_from(minute_ms(2))
    run(after, [Slice(0, "a", 1, late=1), Slice(2, "a", 2), Advance(4, {"a@4": 3})])
