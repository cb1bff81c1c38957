from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.core.evaluate.absence import AbsenceClock, step_absence
from agent.core.evaluate.maintenance import MaintenanceCalendar
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import AbsenceLevel, AbsenceRule, Flapping
from agent.core.state.alert_state import INACTIVE, AlertState

MINUTE = 60_000


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


# Absence rules. Instants are small integers; silence longer than 15 is an absence.

Published = tuple[int, str, str]


@dataclass
class Quiet:
    """One series watched by an absence rule; the alert and the last event are all that is kept."""

    rule: AbsenceRule
    clock: AbsenceClock
    alert: AlertState = INACTIVE
    evaluated_event_ms: int = 0
    published: list[Transition] = field(default_factory=list)

    def judge(self, last_ms: int, frontier_ms: int, first_ms: int | None = None) -> None:
        [level] = self.rule.levels
        self.alert, published = step_absence(
            self.rule,
            level,
            self.clock,
            self.alert,
            self.evaluated_event_ms,
            last_ms,
            frontier_ms,
            first_ms,
        )
        self.evaluated_event_ms = last_ms
        self.published += published

    @property
    def steps(self) -> list[Published]:
        return [(t.at_ms, t.state.value, t.reason) for t in self.published]


def quiet(rule: AbsenceRule, dimensions: tuple[str, ...] = (), begins: int = 0) -> Quiet:
    [level] = rule.levels
    clock = AbsenceClock(
        MaintenanceCalendar((), ()), dimensions, level.no_data_for_ms, rule.min_history_ms or None
    )
    return Quiet(rule, clock, evaluated_event_ms=begins)


def silences(
    events: Iterable[int],
    frontiers: Iterable[int],
    no_data_for: int = 15,
    keep: int = 0,
    **changes: Any,
) -> tuple[AlertState, list[Published]]:
    """Each event is published as it comes, and each frontier once all events before it are."""
    waiting = sorted(set(events))
    series = quiet(
        replace(absence(no_data_for, keep), **changes), begins=waiting[0] if waiting else 0
    )
    last = None
    for frontier in sorted(frontiers):
        while waiting and waiting[0] < frontier:
            last = waiting.pop(0)
            series.judge(last, last)
        if last is not None:
            series.judge(last, frontier)
    return series.alert, series.steps


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


def test_what_is_too_young_is_missed_once_it_is_old_enough_and_then_for_all_its_silence() -> None:
    assert silences([0], [60], min_history_ms=50)[1] == [(50, "firing", "no_data")]
    assert silences([0, 30, 60], [61], min_history_ms=50)[1] == [
        (50, "firing", "no_data"),
        (60, "resolved", "data"),
    ]
    assert silences([0, 45], [55], min_history_ms=50)[1] == []  # it came in time
    series = quiet(replace(absence(15), min_history_ms=50))
    series.judge(0, 60)
    series.judge(80, 80)
    assert [(t.start_ms, t.at_ms) for t in series.published] == [(0, 50), (0, 80)]


@given(
    events=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    frontiers=st.lists(st.integers(0, 250), max_size=20),
    keep=st.sampled_from([0, 1, 7, 15, 40]),
    flapping=st.sampled_from([None, Flapping(2, 60), Flapping(3, 90)]),
    min_history=st.sampled_from([0, 40, 120]),
)
def test_how_often_silence_is_evaluated_changes_nothing(
    events: list[int],
    frontiers: list[int],
    keep: int,
    flapping: Flapping | None,
    min_history: int,
) -> None:
    rule: dict[str, Any] = {"keep": keep, "flapping": flapping, "min_history_ms": min_history}
    assert silences(events, [*frontiers, 250], **rule) == silences(events, [250], **rule)


def slices(starts: Iterable[int], span: int, no_data_for: int, keep: int = 0) -> list[Published]:
    """Slices that hold events, each published when it ends; then nothing more."""
    series = quiet(absence(no_data_for, keep))
    for start in starts:
        series.judge(start + span, start + span, start)
    return series.steps


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
    series = quiet(absence(15 * MINUTE), ("apac",), begins=5 * MINUTE)
    series.judge(5 * MINUTE, 60 * MINUTE)
    series.judge(70 * MINUTE, 70 * MINUTE)
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
    inactive, _, firing, _inhibited, resolved = AlertPhase
    assert tuple(series.published) == (
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
            straight.judge(last, frontier)
            if i == cut:
                row = msgspec.msgpack.encode(kept.alert)
                kept.alert = msgspec.msgpack.decode(row, type=AlertState)
            kept.judge(last, frontier)
        assert (kept.alert, kept.published) == (straight.alert, straight.published)


# Rules that are declared no more.
