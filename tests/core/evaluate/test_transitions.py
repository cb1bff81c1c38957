from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.evaluate.maintenance import NO_MAINTENANCE
from agent.core.evaluate.transitions import (
    Running,
    conditions,
    removed,
    step_absence,
    step_threshold,
)
from agent.core.model.plan import AbsenceLevel, AbsenceRule, Flapping, Level, ThresholdRule
from agent.core.model.results import AlertPhase, Transition, WindowValue
from agent.core.model.text import duration
from agent.core.state.alert_state import INACTIVE, AlertState

MINUTE = 60_000
WARNING = Level("warning", pl.col("value") > 400, None, "value > 400", None)
CRITICAL = Level(
    "critical", pl.col("value") > 600, pl.col("value") < 480, "value > 600", "value < 480"
)


def threshold(*levels: Level, **changes: Any) -> ThresholdRule:
    defaults: dict[str, Any] = {
        "name": "slow",
        "kpi": "response_time",
        "levels": levels,
        "on": "closed",
        "for_ms": 0,
        "keep_firing_for_ms": 0,
        "min_events": 0,
        "summary": "",
        "description": "",
        "runbook": None,
        "owner": None,
        "team": None,
    }
    return ThresholdRule(**(defaults | changes))


def absence(no_data_for: int, keep: int = 0, flapping: Flapping | None = None) -> AbsenceRule:
    return AbsenceRule(
        name="quiet",
        kpi="response_time",
        levels=(AbsenceLevel("warning", no_data_for),),
        per="series",
        keep_firing_for_ms=keep,
        flapping=flapping,
        summary="",
        description="",
        runbook=None,
        owner=None,
        team=None,
    )


def table(*rows: tuple[float | None, int, float | None]) -> pl.DataFrame:
    schema = {"value": pl.Float64, "events": pl.Int64, "target": pl.Float64}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


# Conditions of threshold rules.


def test_conditions_come_per_level_and_row_with_nulls_as_sql_has_them() -> None:
    rows = table((700, 5, None), (500, 5, None), (450, 5, None), (None, 0, None))
    assert conditions(threshold(WARNING, CRITICAL), rows) == [
        ([True, True, True, None], [False, False, False, None]),
        ([True, False, False, None], [False, False, True, None]),
    ]


def test_windows_with_too_few_events_count_as_no_data() -> None:
    rows = table((700, 19, None), (700, 20, None), (1, 19, None), (1, 20, None))
    assert conditions(threshold(CRITICAL, min_events=20), rows) == [
        ([None, True, None, False], [None, False, None, True])
    ]


def test_conditions_read_events_and_target() -> None:
    level = Level(
        "info", (pl.col("value") > 2 * pl.col("target")) & (pl.col("events") > 3), None, "", None
    )
    rows = table((7, 4, 3.0), (7, 3, 3.0), (6, 4, 3.0), (7, 4, None))
    assert conditions(threshold(level), rows) == [
        ([True, False, False, None], [False, True, True, None])
    ]


def test_a_constant_condition_holds_for_every_row() -> None:
    level = Level("info", pl.lit(True), pl.lit(None), "true", "null")
    assert conditions(threshold(level), table((1, 1, None), (2, 1, None))) == [
        ([True, True], [None, None])
    ]


def test_no_rows_are_no_conditions() -> None:
    assert conditions(threshold(CRITICAL), table()) == [([], [])]


# Threshold rules, window by window.


def run(
    rule: ThresholdRule, values: Iterable[float | None]
) -> tuple[tuple[AlertState, ...], list[Transition]]:
    """Windows of a minute, the first one ending at minute 1."""
    windows = [
        WindowValue("response_time", ("apac",), i * MINUTE, (i + 1) * MINUTE, v, 9)
        for i, v in enumerate(values)
    ]
    levels = conditions(rule, table(*((w.value, w.events, None) for w in windows)))
    states: tuple[AlertState, ...] = ()
    found: list[Transition] = []
    for i, window in enumerate(windows):
        row = [(when[i], clear[i]) for when, clear in levels]
        states, transitions = step_threshold(rule, states, window, row)
        found += transitions
    return states, found


def test_each_level_of_a_rule_lives_its_own_life() -> None:
    states, found = run(threshold(WARNING, CRITICAL), [300, 500, 700, 500, 300])

    assert [(t.severity, t.at_ms // MINUTE, t.state.value) for t in found] == [
        ("warning", 2, "firing"),
        ("critical", 3, "firing"),
        ("warning", 5, "resolved"),
        ("critical", 5, "resolved"),
    ]
    assert [s.phase for s in states] == [AlertPhase.RESOLVED, AlertPhase.RESOLVED]


def test_a_transition_says_what_happened_and_when_its_episode_began() -> None:
    _, found = run(threshold(CRITICAL, for_ms=MINUTE), [700, 650.5, 100])

    common: dict[str, Any] = {
        "rule": "slow",
        "severity": "critical",
        "kpi": "response_time",
        "dimensions": ("apac",),
        "episode_ms": MINUTE,
    }
    inactive, pending, firing, _silenced, resolved = AlertPhase
    assert found == [
        Transition(
            **common,
            at_ms=MINUTE,
            state=pending,
            previous=inactive,
            value=700,
            bound="value > 600",
            start_ms=0,
            end_ms=MINUTE,
            reason="when",
        ),
        Transition(
            **common,
            at_ms=2 * MINUTE,
            state=firing,
            previous=pending,
            value=650.5,
            bound="value > 600",
            start_ms=MINUTE,
            end_ms=2 * MINUTE,
            reason="for",
        ),
        Transition(
            **common,
            at_ms=3 * MINUTE,
            state=resolved,
            previous=firing,
            value=100,
            bound="value < 480",
            start_ms=2 * MINUTE,
            end_ms=3 * MINUTE,
            reason="clear",
        ),
    ]


def test_without_a_clear_the_bound_of_resolving_is_not_when() -> None:
    _, found = run(threshold(WARNING), [500, 300])
    assert [t.bound for t in found] == ["value > 400", "not (value > 400)"]


def test_a_current_window_is_judged_at_the_instant_that_the_caller_names() -> None:
    window = WindowValue("response_time", (), 0, 60 * MINUTE, 700, 9, open=True)
    _, found = step_threshold(threshold(WARNING), (), window, [(True, False)], 7 * MINUTE)
    assert [(t.at_ms, t.episode_ms, t.end_ms) for t in found] == [
        (7 * MINUTE, 7 * MINUTE, 60 * MINUTE)
    ]


# Absence rules. Instants are small integers; silence longer than 15 is an absence.

Told = tuple[int, str, str]


@dataclass
class Quiet:
    """One series watched by an absence rule; the alert and the last event are all that is kept."""

    rule: AbsenceRule
    running: Running
    alert: AlertState = INACTIVE
    known_ms: int = 0
    told: list[Transition] = field(default_factory=list)

    def judge(self, last_ms: int, frontier_ms: int, first_ms: int | None = None) -> None:
        [level] = self.rule.levels
        self.alert, told = step_absence(
            self.rule,
            level,
            self.running,
            self.alert,
            self.known_ms,
            last_ms,
            frontier_ms,
            first_ms,
        )
        self.known_ms = last_ms
        self.told += told

    @property
    def steps(self) -> list[Told]:
        return [(t.at_ms, t.state.value, t.reason) for t in self.told]


def quiet(rule: AbsenceRule, dimensions: tuple[str, ...] = (), begins: int = 0) -> Quiet:
    [level] = rule.levels
    running = Running(NO_MAINTENANCE, dimensions, level.no_data_for_ms, rule.min_history_ms or None)
    return Quiet(rule, running, known_ms=begins)


def silences(
    events: Iterable[int],
    frontiers: Iterable[int],
    no_data_for: int = 15,
    keep: int = 0,
    **changes: Any,
) -> tuple[AlertState, list[Told]]:
    """Each event is told as it comes, and each frontier once all events before it are."""
    waiting = sorted(set(events))
    one = quiet(replace(absence(no_data_for, keep), **changes), begins=waiting[0] if waiting else 0)
    last = None
    for frontier in sorted(frontiers):
        while waiting and waiting[0] < frontier:
            last = waiting.pop(0)
            one.evaluator(last, last)
        if last is not None:
            one.evaluator(last, frontier)
    return one.alert, one.steps


def test_silence_fires_at_its_own_instant_and_the_next_event_resolves() -> None:
    assert silences([0, 10, 40, 50], [100]) == silences([0, 10, 40, 50], range(1, 101))
    assert silences([0, 10, 40, 50], [60])[1] == [
        (25, "firing", "no_data"),
        (40, "resolved", "data"),
    ]


def test_silence_has_not_been_long_enough_until_the_frontier_is_past_it() -> None:
    assert silences([0], [15])[1] == []
    assert silences([0], [16])[1] == [(15, "firing", "no_data")]


def test_an_event_at_the_last_moment_is_in_time() -> None:
    assert silences([0, 15, 31], [30])[1] == []
    assert silences([0, 15, 31], [32])[1] == [(30, "firing", "no_data"), (31, "resolved", "data")]


def test_it_resolves_when_events_have_been_back_for_keep_firing_for() -> None:
    assert silences([0, 20, 30], [40], keep=12)[1] == [
        (15, "firing", "no_data"),
        (32, "resolved", "keep_firing_for"),
    ]


def test_silence_that_comes_back_while_resolving_goes_on_firing() -> None:
    # Back at 20, silent again from 25: absent at 40, before 20 + 30. Back at 60, resolved at 90.
    assert silences([0, 20, 25, 60, 70, 80, 90], [91], keep=30)[1] == [
        (15, "firing", "no_data"),
        (90, "resolved", "keep_firing_for"),
    ]


def test_an_absence_that_flaps_ends_when_events_have_come_for_as_long() -> None:
    # Silent three times within 100, back for good at 100: as often as flaps; ends at 100 + 100.
    events = [0, 20, 40, 60, *range(100, 260, 10)]
    steps = silences(events, [260], flapping=Flapping(3, 100))[1]
    assert steps[:5] == [
        (15, "firing", "no_data"),
        (20, "resolved", "data"),
        (35, "firing", "no_data"),
        (40, "resolved", "data"),
        (55, "firing", "no_data"),
    ]
    assert steps[5:] == [(200, "resolved", "keep_firing_for")]


def test_the_firing_that_makes_an_alert_flap_says_so() -> None:
    states: tuple[AlertState, ...] = ()
    rule = threshold(WARNING, flapping=Flapping(2, 10 * MINUTE))
    flaps = []
    for minute, when in enumerate([True, False, True, False], 1):
        window = WindowValue("response_time", (), 0, minute * MINUTE, 700, 9)
        states, steps = step_threshold(rule, states, window, [(when, not when)])
        flaps += [(step.state.value, step.flaps) for step in steps]
    assert flaps == [
        ("firing", None),
        ("resolved", None),
        ("firing", Flapping(2, 10 * MINUTE)),
    ]


def test_what_is_too_young_is_missed_once_it_is_old_enough_and_then_for_all_its_silence() -> None:
    assert silences([0], [60], min_history_ms=50)[1] == [(50, "firing", "no_data")]
    assert silences([0, 30, 60], [61], min_history_ms=50)[1] == [
        (50, "firing", "no_data"),
        (60, "resolved", "data"),
    ]
    assert silences([0, 45], [55], min_history_ms=50)[1] == []  # it came in time
    one = quiet(replace(absence(15), min_history_ms=50))
    one.evaluator(0, 60)
    one.evaluator(80, 80)
    assert [(t.start_ms, t.at_ms) for t in one.told] == [(0, 50), (0, 80)]


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    frontiers=st.lists(st.integers(0, 250), max_size=20),
    keep=st.sampled_from([0, 1, 7, 15, 40]),
    flapping=st.sampled_from([None, Flapping(2, 60), Flapping(3, 90)]),
    min_history=st.sampled_from([0, 40, 120]),
)
def test_how_often_silence_is_judged_changes_nothing(
    events: list[int],
    frontiers: list[int],
    keep: int,
    flapping: Flapping | None,
    min_history: int,
) -> None:
    rule: dict[str, Any] = {"keep": keep, "flapping": flapping, "min_history_ms": min_history}
    assert silences(events, [*frontiers, 250], **rule) == silences(events, [250], **rule)


def slices(starts: Iterable[int], span: int, no_data_for: int, keep: int = 0) -> list[Told]:
    """Slices that hold events, each told when it ends; then nothing more."""
    one = quiet(absence(no_data_for, keep))
    for start in starts:
        one.evaluator(start + span, start + span, start)
    return one.steps


def test_a_slice_is_never_taken_for_silence() -> None:
    assert slices([0, 10, 20, 30], span=10, no_data_for=15) == []
    assert slices([0, 10, 20, 30], span=10, no_data_for=5) == []
    # Between 10 and 20 there is one empty slice: ten are not more than fifteen.
    assert slices([0, 20, 40], span=10, no_data_for=15) == []


def test_silence_known_by_slices_ends_where_the_next_slice_begins() -> None:
    assert slices([0, 30, 40], span=10, no_data_for=15) == [
        (25, "firing", "no_data"),
        (30, "resolved", "data"),
    ]
    assert slices([0, 30, 40], span=10, no_data_for=15, keep=8) == [
        (25, "firing", "no_data"),
        (38, "resolved", "keep_firing_for"),
    ]


def test_the_transition_of_an_absence_names_the_silence() -> None:
    one = quiet(absence(15 * MINUTE), ("apac",), begins=5 * MINUTE)
    one.evaluator(5 * MINUTE, 60 * MINUTE)
    one.evaluator(70 * MINUTE, 70 * MINUTE)
    common: dict[str, Any] = {
        "rule": "quiet",
        "severity": "warning",
        "kpi": "response_time",
        "dimensions": ("apac",),
        "episode_ms": 20 * MINUTE,
        "value": None,
        "bound": "no event for 15m",
        "start_ms": 5 * MINUTE,
    }
    inactive, _, firing, _silenced, resolved = AlertPhase
    assert tuple(one.told) == (
        Transition(
            **common,
            at_ms=20 * MINUTE,
            end_ms=20 * MINUTE,
            state=firing,
            previous=inactive,
            reason="no_data",
        ),
        Transition(
            **common,
            at_ms=70 * MINUTE,
            end_ms=70 * MINUTE,
            state=resolved,
            previous=firing,
            reason="data",
        ),
    )


def test_the_state_of_an_absence_survives_msgpack_at_any_point() -> None:
    rule = absence(15, keep=12, flapping=Flapping(2, 60))
    calls = [(0, 5), (10, 30), (40, 40), (45, 60), (100, 130)]
    for cut in range(len(calls)):
        kept, straight = quiet(rule), quiet(rule)
        for i, (last, frontier) in enumerate(calls):
            straight.evaluator(last, frontier)
            if i == cut:
                row = msgspec.msgpack.encode(kept.alert)
                kept.alert = msgspec.msgpack.decode(row, type=AlertState)
            kept.evaluator(last, frontier)
        assert (kept.alert, kept.told) == (straight.alert, straight.told)


# Rules that are declared no more.


@pytest.mark.parametrize(
    ("phase", "ends"),
    [
        (AlertPhase.FIRING, AlertPhase.RESOLVED),
        (AlertPhase.PENDING, AlertPhase.INACTIVE),
        (AlertPhase.INACTIVE, None),
        (AlertPhase.RESOLVED, None),
    ],
)
def test_the_alert_of_a_removed_rule_ends(phase: AlertPhase, ends: AlertPhase | None) -> None:
    found = removed("slow", "critical", "response_time", ("apac",), AlertState(phase, 5), 90)
    if ends is None:
        assert found is None
    else:
        assert found is not None
        assert (found.previous, found.state, found.reason) == (phase, ends, "removed")
        assert (found.episode_ms, found.at_ms) == (5, 90)


def test_spans_read_as_rules_write_them() -> None:
    assert [duration(n) for n in (0, 1, 1500, 5_400_000, 604_800_000 + 60_000)] == [
        "0s",
        "1ms",
        "1s500ms",
        "1h30m",
        "1w1m",
    ]


def test_the_identities_of_all_transitions_of_a_long_life_differ() -> None:
    values = [100, 700, 700, 500, 100, 700, 100, None, 700, 700, 700, 100] * 3
    states, found = run(threshold(WARNING, CRITICAL, for_ms=MINUTE), values)
    names = [(t.severity, t.episode_ms, t.state) for t in found]
    assert len(set(names)) == len(names) > 12
    by_severity = itertools.groupby(sorted(found, key=lambda t: t.severity), lambda t: t.severity)
    for _, life in by_severity:
        steps = [INACTIVE.phase, *(t.state for t in life)]
        assert [t for t in itertools.pairwise(steps) if t[0] == t[1]] == []
    assert len(states) == 2
