from __future__ import annotations

import dataclasses
import math

import pytest

from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import Flapping
from agent.core.output.reasons import because
from tests.core.small_plans import kpi

START = 1_291_191_960_000  # 2010-12-01T08:26:00Z
HOUR = 3_600_000
FIRING = Transition(
    "slow", "critical", "response_time", ("apac",), START + 60_000, START + 60_000,
    AlertPhase.FIRING, AlertPhase.INACTIVE, 700.5, "value > 600", START, START + 60_000, "when",
)  # fmt: skip
SEEN = "the value is 11 min 40 s from 08:26 to 08:27 UTC on 2010-12-01"


def step(**changes: object) -> Transition:
    return dataclasses.replace(FIRING, **changes)


@pytest.mark.parametrize(
    ("transition", "sentence"),
    [
        (step(), f"value > 600 holds: {SEEN}"),
        (step(reason="for", at_ms=START + HOUR), f"value > 600 has held for 59m: {SEEN}"),
        (
            step(reason="clear", state=AlertPhase.INACTIVE, previous=AlertPhase.PENDING),
            f"value > 600 no longer holds: {SEEN}",
        ),
        (
            step(reason="clear", state=AlertPhase.RESOLVED, bound="value < 450"),
            f"value < 450 holds: {SEEN}",
        ),
        (
            step(reason="keep_firing_for", state=AlertPhase.RESOLVED, bound="value < 450"),
            f"value < 450 has held for long enough: {SEEN}",
        ),
        (
            step(reason="no_data", value=None, bound="no event for 15m"),
            "no event for 15m: the last one was before 2010-12-01 08:26 UTC",
        ),
        (
            step(reason="data", value=None, end_ms=START + HOUR),
            "events came again, after 1h without one",
        ),
        (
            step(flaps=Flapping(3, HOUR)),
            f"value > 600 holds: {SEEN}; it flaps: it has fired 3 times within 1h",
        ),
        (
            step(
                flaps=Flapping(3, HOUR),
                state=AlertPhase.INHIBITED,
                bound="gone",
                reason="depends_on",
            ),
            "gone fires, which this rule depends on",
        ),
        (
            step(reason="removed", value=None),
            "the rule is no longer declared, or its series has expired",
        ),
    ],
)
def test_each_reason_has_its_sentence(transition: Transition, sentence: str) -> None:
    assert because(kpi(), transition) == sentence


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_value_is_said(value: float | None) -> None:
    sentence = because(kpi(), step(value=value))
    assert sentence == "value > 600 holds: there is no value from 08:26 to 08:27 UTC on 2010-12-01"


def test_a_window_over_midnight_and_seconds_are_reported_apart() -> None:
    sentence = because(None, step(start_ms=START, end_ms=START + 24 * HOUR + 5_000))
    assert sentence == (
        "value > 600 holds: the value is 700.5 from 2010-12-01 08:26 UTC to 2010-12-02 08:26:05 UTC"
    )
