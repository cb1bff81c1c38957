"""What a evaluate makes of states, and of alerts whose rule is gone, or is another."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from agent.core.evaluate.evaluator import Evaluator
from agent.core.model.rules import AbsenceLevel, AbsenceRule, RuleOverride, Severity
from agent.core.state.series import Series
from tests.core.simulated import EVENTS, plan_of
from tests.core.small_plans import MINUTE_MS, kpi, plan


def silent(severity: Severity) -> AbsenceRule:
    """A rule that fires after ten minutes without an event."""
    levels = (AbsenceLevel(severity, 10 * MINUTE_MS),)
    return AbsenceRule(name="silent", kpi="response_time", levels=levels)


def evaluator(*rules: AbsenceRule) -> Evaluator:
    return Evaluator(plan(kpi(), *rules), kpi())


def fired(rule: AbsenceRule) -> Series:
    """A series whose last event lies an hour back."""
    series = Series.new("response_time", "", ("emea",), 0)
    [step] = evaluator(rule).absences.evaluate(series, 0, 60 * MINUTE_MS)
    assert (step.severity, step.state) == (rule.levels[0].severity, "firing")
    return series


@pytest.mark.parametrize("value", ["sum(amount)", "sum(amount) * 1"])
def test_a_value_that_no_number_holds_is_none(value: str, tmp_path: Path) -> None:
    rules = f"{EVENTS}kpis: {{spent: {{from: sale, value: {value}, window: 1m}}}}"
    plan = plan_of(rules, tmp_path)
    states = [(1, 1, 2.5), (2, 2, inf), (2, 2, -inf), (0, 0, 0.0)]
    values = Evaluator(plan, plan.kpis["spent"]).values.evaluate_states(
        [(state, None) for state in states]
    )
    assert values == [2.5, None, None, None]


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_the_end_of_an_absence_whose_rule_is_gone_has_its_severity(severity: Severity) -> None:
    series = fired(silent(severity))
    [end] = evaluator().drop_undeclared(series)
    assert (end.rule, end.severity, end.state, end.reason) == (
        "silent",
        severity,
        "resolved",
        "removed",
    )
    assert series.alerts == {"silent": {}}


def test_an_absence_whose_severity_changed_ends_and_begins_with_the_new_one() -> None:
    series, rule = fired(silent("warning")), silent("critical")
    [end] = evaluator(rule).drop_undeclared(series)
    [begin] = evaluator(rule).absences.evaluate(series, 0, 61 * MINUTE_MS)
    assert (end.severity, end.state) == ("warning", "resolved")
    assert (begin.severity, begin.state, begin.at_ms) == ("critical", "firing", 10 * MINUTE_MS)


def test_an_override_that_takes_a_series_out_ends_its_alert() -> None:
    series, rule = fired(silent("warning")), silent("warning")
    off = replace(rule, overrides=(RuleOverride({"region": "emea"}, None),))
    [end] = evaluator(off).drop_undeclared(series)
    assert (end.severity, end.state, end.reason) == ("warning", "resolved", "removed")
    assert evaluator(off).absences.evaluate(series, 0, 90 * MINUTE_MS) == []


def test_a_level_that_an_override_adds_begins_where_the_others_stay() -> None:
    series, rule = fired(silent("warning")), silent("warning")
    levels = (AbsenceLevel("critical", 30 * MINUTE_MS), *rule.levels)
    more = replace(
        rule, overrides=(RuleOverride({"region": "emea"}, replace(rule, levels=levels)),)
    )
    assert evaluator(more).drop_undeclared(series) == []
    [begin] = evaluator(more).absences.evaluate(series, 0, 90 * MINUTE_MS)
    assert (begin.severity, begin.state, begin.at_ms) == ("critical", "firing", 30 * MINUTE_MS)
