from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from agent.core.evaluate.transitions import (
    conditions,
    end_alert,
    step_threshold,
)
from agent.core.model.results import AlertPhase, Transition, WindowValue
from agent.core.model.rules import Flapping, Level, ThresholdRule
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


def test_a_constant_condition_holds_forevery_row() -> None:
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
    steps: list[Transition] = []
    for i, window in enumerate(windows):
        row = [(when[i], clear[i]) for when, clear in levels]
        states, transitions = step_threshold(rule, states, window, row)
        steps += transitions
    return states, steps


def test_each_level_of_a_rule_lives_its_own_life() -> None:
    states, transitions = run(threshold(WARNING, CRITICAL), [300, 500, 700, 500, 300])

    assert [(t.severity, t.at_ms // MINUTE, t.state.value) for t in transitions] == [
        ("warning", 2, "firing"),
        ("critical", 3, "firing"),
        ("warning", 5, "resolved"),
        ("critical", 5, "resolved"),
    ]
    assert [s.phase for s in states] == [AlertPhase.RESOLVED, AlertPhase.RESOLVED]


def test_a_transition_says_what_happened_and_when_its_episode_began() -> None:
    _, transitions = run(threshold(CRITICAL, for_ms=MINUTE), [700, 650.5, 100])

    common: dict[str, Any] = {
        "rule": "slow",
        "severity": "critical",
        "kpi": "response_time",
        "dimensions": ("apac",),
        "episode_ms": MINUTE,
    }
    inactive, pending, firing, _inhibited, resolved = AlertPhase
    assert transitions == [
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
    _, transitions = run(threshold(WARNING), [500, 300])
    assert [t.bound for t in transitions] == ["value > 400", "not (value > 400)"]


def test_a_current_window_is_evaluated_at_the_instant_that_the_caller_names() -> None:
    window = WindowValue("response_time", (), 0, 60 * MINUTE, 700, 9, open=True)
    _, transitions = step_threshold(threshold(WARNING), (), window, [(True, False)], 7 * MINUTE)
    assert [(t.at_ms, t.episode_ms, t.end_ms) for t in transitions] == [
        (7 * MINUTE, 7 * MINUTE, 60 * MINUTE)
    ]


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
    transitions = end_alert(
        "slow", "critical", "response_time", ("apac",), AlertState(phase, 5), 90
    )
    if ends is None:
        assert transitions is None
    else:
        assert transitions is not None
        assert (transitions.previous, transitions.state, transitions.reason) == (
            phase,
            ends,
            "removed",
        )
        assert (transitions.episode_ms, transitions.at_ms) == (5, 90)


def test_spans_read_as_rules_write_them() -> None:
    assert [duration(n) for n in (0, 1, 1500, 5_400_000, 604_800_000 + 60_000)] == [
        "0s",
        "1ms",
        "1s500ms",
        "1h30m",
        "1w1m",
    ]


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


def test_the_identities_of_all_transitions_of_a_long_life_differ() -> None:
    values = [100, 700, 700, 500, 100, 700, 100, None, 700, 700, 700, 100] * 3
    states, transitions = run(threshold(WARNING, CRITICAL, for_ms=MINUTE), values)
    names = [(t.severity, t.episode_ms, t.state) for t in transitions]
    assert len(set(names)) == len(names) > 12
    by_severity = itertools.groupby(
        sorted(transitions, key=lambda t: t.severity), lambda t: t.severity
    )
    for _, life in by_severity:
        steps = [INACTIVE.phase, *(t.state for t in life)]
        assert [t for t in itertools.pairwise(steps) if t[0] == t[1]] == []
    assert len(states) == 2
