"""Maintenance: which windows are in it, and how time runs around it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.core.evaluate.absence import AbsenceClock, step_absence
from agent.core.evaluate.maintenance import (
    MaintenanceCalendar,
    maintenance_calendar,
)
from agent.core.model.events import Scalar
from agent.core.model.plan import Maintenance
from agent.core.model.rules import AbsenceLevel, AbsenceRule
from agent.core.model.schedules import EVERY_DAY, Schedule
from agent.core.state.alert_state import INACTIVE
from tests.core.small_plans import MINUTE_MS, kpi, plan

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def once(
    start: int, end: int, name: str = "move", match: dict[str, Scalar] | None = None
) -> Maintenance:
    schedule = Schedule("UTC", from_ms=start, until_ms=end)
    return Maintenance(name, "", "", frozenset({"response_time"}), match or {}, schedule)


spans = st.tuples(st.integers(0, 200), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(spans, max_size=5), spans)
def test_a_window_is_in_maintenance_when_any_instant_of_it_is(
    periods: list[tuple[int, int]], window: tuple[int, int]
) -> None:
    maintenance = MaintenanceCalendar([once(a, b, f"m{i}") for i, (a, b) in enumerate(periods)], ())
    first = next(
        (f"m{i}" for i, (a, b) in enumerate(periods) if set(range(a, b)) & set(range(*window))),
        None,
    )
    assert maintenance.covering((), *window) == first


@given(st.lists(spans, max_size=5), st.integers(0, 250), st.integers(1, 150))
def test_time_runs_outside_of_maintenance_only(
    periods: list[tuple[int, int]], start: int, span: int
) -> None:
    maintenance = MaintenanceCalendar([once(a, b, f"m{i}") for i, (a, b) in enumerate(periods)], ())
    calm = {at for a, b in periods for at in range(a, b)}
    # Count instants one by one until enough of them were not in maintenance.
    at, left = start, span
    while left:
        left -= at not in calm
        at += 1
    assert maintenance.after((), start, span, 2**40) == at
    # And back: the latest instant from which on as many went by.
    back, left = at, span
    while left:
        back -= 1
        left -= back not in calm
    assert maintenance.before((), at, span) == back


@given(st.lists(spans, max_size=5), st.integers(0, 250), st.integers(1, 150), st.integers(0, 600))
def test_beyond_its_limit_time_is_only_said_to_be_later(
    periods: list[tuple[int, int]], start: int, span: int, upto: int
) -> None:
    maintenance = MaintenanceCalendar([once(a, b, f"m{i}") for i, (a, b) in enumerate(periods)], ())
    exact = maintenance.after((), start, span, 2**40)
    after = maintenance.after((), start, span, upto)
    assert after == exact if exact <= upto else after > upto


def test_time_that_never_runs_is_not_waited_for() -> None:
    always = replace(once(0, 1), schedule=Schedule("UTC", EVERY_DAY))
    assert MaintenanceCalendar([always], ()).after((), DAY_MS, HOUR_MS, 30 * DAY_MS) > 30 * DAY_MS


def test_maintenance_is_of_the_series_that_match_and_of_the_whole_only_without_a_match() -> None:
    of_apac, every = once(0, 10, "one", {"region": "apac"}), once(20, 30, "every")
    whole = replace(plan(kpi()), maintenance={"one": of_apac, "every": every})

    def within(dimensions: tuple[Scalar, ...] | None) -> list[bool]:
        spans = [(0, 10), (10, 20), (20, 30)]
        calendar = maintenance_calendar(whole, whole.kpis["response_time"])
        return [calendar.covering(dimensions, a, b) is not None for a, b in spans]

    assert within(("apac",)) == [True, False, True]
    assert within(("emea",)) == [False, False, True]
    assert within(None) == [False, False, True]


def test_no_maintenance_is_of_a_kpi_that_it_does_not_name() -> None:
    other = replace(once(0, 10), kpis=frozenset({"orders"}))
    whole = replace(plan(kpi()), maintenance={"move": other})
    calendar = maintenance_calendar(whole, whole.kpis["response_time"])
    assert calendar.covering((), 0, 10) is None


# Absence.

LEVEL = AbsenceLevel("warning", 30)
RULE = AbsenceRule(name="quiet", kpi="response_time", levels=(LEVEL,))


@given(
    st.lists(spans, max_size=4),
    st.lists(st.integers(1, 80), min_size=1, max_size=8),
    st.integers(0, 300),
    st.data(),
)
def test_silence_in_maintenance_does_not_count_however_often_it_is_evaluated(
    periods: list[tuple[int, int]], gaps: list[int], quiet: int, data: st.DataObject
) -> None:
    maintenance = MaintenanceCalendar([once(a, b, f"m{i}") for i, (a, b) in enumerate(periods)], ())
    calm = {at for a, b in periods for at in range(a, b)}
    events = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    end = events[-1] + quiet
    # The plain reading: a counter that goes up with each silent instant outside of maintenance.
    expected, silent, firing = [], 0, False
    for at in range(events[0], end + 1):
        if at in events[1:] and firing:
            expected.append((at, "resolved"))
            firing = False
        silent = 0 if at in events else silent
        silent += at not in calm
        # It has lasted long enough with the end of this instant, if that is settled.
        if silent == LEVEL.no_data_for_ms and not firing and at not in calm:
            due = at + 1
            if due < end and due not in events:
                expected.append((due, "firing"))
                firing = True
    state, transitions, known = INACTIVE, [], events[0]
    clock = AbsenceClock(maintenance, (), LEVEL.no_data_for_ms)
    for last, following in pairwise([*events, end]):
        frontiers = data.draw(st.lists(st.integers(last, following), max_size=4))
        for frontier in [last, *sorted(frontiers)]:
            state, published = step_absence(RULE, LEVEL, clock, state, known, last, frontier)
            known = last
            transitions += published
    state, published = step_absence(RULE, LEVEL, clock, state, known, events[-1], end)
    transitions += published
    assert [(t.at_ms, t.state.value) for t in transitions] == expected
    for told_of in transitions:
        silence = range(told_of.start_ms, told_of.episode_ms)
        assert sum(at not in calm for at in silence) == LEVEL.no_data_for_ms
        assert not set(events) & set(silence[1:])


def test_without_maintenance_the_time_of_a_rule_runs_as_it_passes() -> None:
    clock = AbsenceClock(MaintenanceCalendar((), ()), (), 30)
    assert (clock.due_ms(100, 0), clock.began_ms(130)) == (130, 100)
