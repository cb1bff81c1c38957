"""Given windows are evaluated exactly as windows of events are."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.core.fixed_windows import FixedWindows, consecutive_windows
from agent.core.model.results import Emitted
from agent.core.model.rules import ThresholdRule
from agent.core.output.messages import iso
from agent.core.pipeline import Pipeline
from agent.language.load import load
from tests.core.batches import batch_of

PLAN = load(Path(__file__).parents[1] / "ruletests" / "rules")
START_MS = 1_772_445_600_000  # 2026-03-02T10:00Z
MINUTE_MS = 60_000
JUDGED = {r.name for r in PLAN.rules.values() if isinstance(r, ThresholdRule) and r.on == "closed"}
Answers = list[tuple[int, str, int]]

answers = st.lists(
    st.tuples(
        st.integers(0, 20 * MINUTE_MS - 1),
        st.sampled_from(["emea", "apac"]),
        st.sampled_from([100, 470, 500, 650, 800, 1000]),
    ),
    min_size=1,
    max_size=120,
)


def through_the_core(answers: Answers) -> Emitted:
    pipeline = Pipeline(PLAN)
    events = [
        json.dumps(
            {
                "type": "ticket.answered",
                "at": iso(START_MS + at),
                "ticket": n,
                "region": region,
                "seconds": seconds,
            }
        ).encode()
        for n, (at, region, seconds) in enumerate(sorted(answers))
    ]
    pipeline.add(batch_of("support", events, at_ms=START_MS + 20 * MINUTE_MS))
    return pipeline.advance_to(START_MS + 25 * MINUTE_MS)


@given(answers)
def test_the_windows_of_events_given_as_values_give_the_same_alerts_and_states(
    answers: Answers,
) -> None:
    published = through_the_core(answers)
    windows = [w for w in published.windows if w.kpi == "response_time"]
    again = FixedWindows(PLAN, reversed(windows)).run(START_MS + 25 * MINUTE_MS)
    assert sorted(map(repr, again.windows)) == sorted(map(repr, windows))
    targets = [t for t in published.targets if t.window.kpi == "response_time"]
    assert sorted(map(repr, again.targets)) == sorted(map(repr, targets))
    assert sorted(map(repr, again.transitions)) == sorted(
        repr(t) for t in published.transitions if t.rule in JUDGED
    )


def test_a_kpi_over_given_kpis_is_computed() -> None:
    answered = consecutive_windows(PLAN.kpis["answered"], ("emea",), [(5, 5), (6, 6)], START_MS)
    opened = consecutive_windows(PLAN.kpis["opened"], ("emea",), [(10, 10), (8, 8)], START_MS)
    published = FixedWindows(PLAN, [*answered, *opened]).run(START_MS)
    rates = [(w.value, w.events) for w in published.windows if w.kpi == "answer_rate"]
    assert rates == [(0.5, 15), (0.75, 14)]


def test_a_given_kpi_over_kpis_needs_no_inputs() -> None:
    rate = consecutive_windows(PLAN.kpis["answer_rate"], ("emea",), [(0.5, 9)], START_MS)
    published = FixedWindows(PLAN, rate).run(START_MS)
    assert [(w.kpi, w.value) for w in published.windows] == [("answer_rate", 0.5)]


def test_silence_begins_at_the_end_of_the_last_window_with_events() -> None:
    values = [(5, 5), (5, 5), *[(0, 0)] * 12, (4, 4)]
    windows = consecutive_windows(PLAN.kpis["answered"], ("emea",), values, START_MS)
    published = FixedWindows(PLAN, windows).run(START_MS + 15 * MINUTE_MS)
    steps = [
        ((t.at_ms - START_MS) // MINUTE_MS, t.rule, t.state.value) for t in published.transitions
    ]
    assert sorted(steps) == [
        (7, "silent", "firing"),
        (12, "no_answers", "firing"),
        (14, "no_answers", "resolved"),
        (14, "silent", "resolved"),
    ]
