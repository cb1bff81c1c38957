from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.evaluate.composite import CompositeState
from agent.core.evaluate.thresholds import Evaluation
from agent.core.model.kpis import Dimensions
from agent.core.model.rules import CompositeLevel, CompositeRule, RuleOverride, RuleRef, Term
from tests.core.evaluate.alerts import change

SLOW = RuleRef("slow", "response_time", "slow", None, False, (0,), (0,))
SAD = RuleRef("sad", "mood", "sad", None, False, (0,), (0,))
BOTH = Term("and", (Term("is", index=0), Term("is", index=1)))
CRISIS = CompositeRule(
    name="crisis",
    dependencies=(SLOW, SAD),
    levels=(CompositeLevel("critical", BOTH, None, "slow and sad", None),),
    by=("region",),
    expire_after_ms=1_000,
)
EMEA: Dimensions = ("emea",)

Event = tuple[int, int, bool]
"""Index of the rule that it depends on, instant, whether it fires."""


def life(rule: CompositeRule, events: list[Event], step_ms: int = 1_000) -> list[tuple[int, str]]:
    """The transitions of one region, advanced by steps."""
    composite = CompositeState(rule)
    for index, at_ms, firing in events:
        composite.subscription.add(index, EMEA, change(at_ms, firing))
    steps = []
    for settled_ms in range(0, 500 + step_ms, step_ms):
        steps += [(t.at_ms, t.state.value) for t in composite.advance(settled_ms)]
    return steps


@pytest.mark.parametrize("step_ms", [1, 7, 1_000])
@pytest.mark.parametrize(
    ("changes", "events", "expected"),
    [
        ({}, [(0, 10, True), (1, 20, True), (0, 30, False)], [(20, "firing"), (30, "resolved")]),
        ({}, [(0, 10, True), (0, 20, False), (1, 20, True)], []),
        ({}, [(0, 10, True), (1, 10, True)], [(10, "firing")]),
        (
            {"for_ms": 15},
            [(0, 10, True), (1, 20, True), (0, 50, False)],
            [(20, "pending"), (35, "firing"), (50, "resolved")],
        ),
        (
            {"for_ms": 15},
            [(0, 10, True), (1, 20, True), (0, 30, False)],
            [(20, "pending"), (30, "inactive")],
        ),
        (
            {"keep_firing_for_ms": 15},
            [(0, 10, True), (1, 20, True), (0, 30, False)],
            [(20, "firing"), (45, "resolved")],
        ),
        (
            {"keep_firing_for_ms": 15},
            [(0, 10, True), (1, 20, True), (0, 30, False), (0, 40, True)],
            [(20, "firing")],
        ),
    ],
)
def test_it_lives_by_the_instants_of_what_it_names_however_often_it_is_called(
    changes: dict[str, int], events: list[Event], expected: list[tuple[int, str]], step_ms: int
) -> None:
    assert life(replace(CRISIS, **changes), events, step_ms) == expected


def test_an_override_may_take_a_series_out() -> None:
    off = replace(CRISIS, overrides=(RuleOverride({"region": "emea"}, None),))
    assert life(off, [(0, 10, True), (1, 20, True)]) == []


def test_a_rule_that_is_new_begins_with_what_fires_already() -> None:
    composite = CompositeState(CRISIS)
    for index in (0, 1):
        composite.subscription.set_firing(index, EMEA, "warning")
    assert [(t.at_ms, t.state.value) for t in composite.advance(100)] == [(100, "firing")]
    assert composite.advance(200) == []
    assert composite.drain_changed() == {EMEA}
    assert composite.drain_changed() == set()


def test_a_series_expires_once_nothing_has_fired_for_long() -> None:
    composite = CompositeState(CRISIS)
    for index in (0, 1):
        composite.subscription.add(index, EMEA, change(10, True))
        composite.subscription.add(index, EMEA, change(20, False))
    composite.advance(1_020)
    assert composite.expire(1_020) == []
    assert composite.expire(1_021) == [EMEA]
    assert composite.series == {}


def test_every_evaluation_is_reported() -> None:
    seen: list[Evaluation] = []
    composite = CompositeState(CRISIS, seen.append)
    for index in (0, 1):
        composite.subscription.add(index, EMEA, change(10 + index, True))
    composite.advance(100)
    assert [(e.at_ms, e.when, e.clear) for e in seen] == [(11, True, False)]
