from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import polars as pl
import pytest

from agent.core.evaluate.thresholds import Evaluation, EvaluationInput, Peers, Thresholds
from agent.core.model.history import FeatureContext
from agent.core.model.kpis import Target
from agent.core.model.results import WindowValue
from agent.core.model.rules import Level, RuleOverride, ThresholdRule
from agent.core.model.windows import Window
from agent.core.state.series import Series
from tests.core.small_plans import MINUTE_MS, kpi


def level(condition: pl.Expr, sql: str = "") -> Level:
    return Level("warning", condition, None, sql, None)


SLOW = ThresholdRule(name="slow", kpi="response_time", levels=(level(pl.col("value") > 400),))


def series(region: str = "emea", first_ms: int = 0) -> Series:
    return Series.new("response_time", "", (region,), first_ms)


def window(value: float | None, end: int = 1, region: str = "emea") -> WindowValue:
    return WindowValue("response_time", (region,), (end - 1) * MINUTE_MS, end * MINUTE_MS, value, 5)


def input_of(of: Series, seen: WindowValue, target: Target | None = None) -> EvaluationInput:
    return EvaluationInput(of, seen, seen.end_ms, target, None, {})


def states(rules: Thresholds, *inputs: EvaluationInput) -> list[list[str]]:
    nobody = Peers(())
    by_input = rules.evaluate([(i, rules.compute_features(i, nobody)) for i in inputs])
    return [[step.state.value for step in steps] for steps in by_input]


def test_windows_of_many_series_are_evaluated_at_once_each_by_its_own_alerts() -> None:
    rules, emea, apac = Thresholds(kpi(), [SLOW]), series(), series("apac")
    inputs = [
        *(input_of(emea, window(500)), input_of(apac, window(100, region="apac"))),
        *(input_of(emea, window(100, 2)), input_of(apac, window(None, 2, "apac"))),
    ]
    assert states(rules, *inputs) == [["firing"], [], ["resolved"], []]


def test_an_override_is_the_rule_for_its_series_alone() -> None:
    looser = replace(SLOW, levels=(level(pl.col("value") > 900),))
    rule = replace(
        SLOW,
        overrides=(
            RuleOverride({"region": "apac"}, looser),
            RuleOverride({"region": "amer"}, None),
        ),
    )
    rules = Thresholds(kpi(), [rule])
    regions = ("emea", "apac", "amer")
    inputs = [input_of(series(region), window(500, region=region)) for region in regions]
    assert states(rules, *inputs) == [["firing"], [], []]
    assert [len(rules.rules_of((region,))) for region in regions] == [1, 1, 0]


def test_a_series_is_evaluated_once_it_is_old_enough() -> None:
    rules = Thresholds(kpi(), [replace(SLOW, min_history_ms=3 * MINUTE_MS)])
    young = series()
    inputs = [input_of(young, window(500, end)) for end in (1, 2, 3)]
    assert states(rules, *inputs) == [[], [], ["firing"]]


@pytest.mark.parametrize(
    ("target", "fires"),
    [(Target(at_most=400), True), (Target(at_least=600), False), (None, False)],
)
def test_conditions_read_the_bound_of_the_series_target(target: Target | None, fires: bool) -> None:
    rules = Thresholds(kpi(), [replace(SLOW, levels=(level(pl.col("value") > pl.col("target")),))])
    assert states(rules, input_of(series(), window(500), target)) == [["firing"] if fires else []]


@dataclass(frozen=True)
class Counted:
    """A feature that counts how often it is computed."""

    computed: list[int] = field(default_factory=list, compare=False)
    text: ClassVar[str] = "counted()"
    depends_on_alerts: ClassVar[bool] = False

    def describe(self, result: float | None, memory: dict[str, Any]) -> str:
        return f"{result} times"

    def needs_ms(self, window: Window) -> int:
        return 0

    def compute(self, context: FeatureContext) -> float | None:
        self.computed.append(context.end_ms)
        return float(len(self.computed))


def test_a_feature_that_several_rules_name_is_computed_once_for_a_window() -> None:
    counted = Counted()
    over = replace(SLOW, levels=(level(pl.col("f0") > 0),), features=(counted,))
    rules = Thresholds(kpi(), [over, replace(over, name="again")])
    seen = input_of(series(), window(1))
    [steps] = rules.evaluate([(seen, rules.compute_features(seen, Peers(())))])
    assert counted.computed == [MINUTE_MS]
    assert [(step.rule, step.facts[0].words) for step in steps] == [
        *(("slow", "1.0 times"), ("again", "1.0 times"))
    ]


def test_every_evaluation_is_reported_also_those_that_change_nothing() -> None:
    seen: list[Evaluation] = []
    rules = Thresholds(kpi(), [SLOW], seen.append)
    states(rules, input_of(series(), window(100)), input_of(series(), window(None)))
    assert [(e.rule.name, e.when, e.clear) for e in seen] == [
        *(("slow", False, True), ("slow", None, None))
    ]


def test_peers_are_the_values_of_one_end_by_shared_dimensions() -> None:
    peers = Peers(
        [window(1, 1, "emea"), window(2, 1, "apac"), window(None, 1, "amer"), window(9, 2, "emea")]
    )
    assert sorted(peers.group_of(window(0, 1), ())) == [1, 2]
    assert peers.group_of(window(0, 1), (0,)).tolist() == [1]
    assert peers.group_of(window(0, 3), ()).tolist() == []
