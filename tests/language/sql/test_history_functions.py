"""What conditions can ask of a series' history, and what is refused with its place."""

# ruff: noqa: E501  (a table is read by its lines)

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.history.burn_rate import BurnRate
from agent.core.history.calendar_spans import MONTH_MS, Span
from agent.core.history.change import Change
from agent.core.history.forecast import Breach
from agent.core.history.pace import Pace
from agent.core.history.peers import Deviation
from agent.core.history.seasonal import SeasonalAnomaly
from agent.core.history.trend import Run, Trend
from agent.core.model.history import Feature
from agent.core.model.plan import Plan
from agent.core.model.rules import ThresholdRule
from agent.language.load import check, load
from agent.language.problems import Problem
from agent.language.sql.percents import Number, marked

DAY = 86_400_000
WEEK = 7 * DAY

KPIS = """
version: 1
defaults: {timezone: Europe/London}
events:
  sale: {topic: sales, time: at, fields: {amount: float, region: string, shop: string, ok: boolean}}
kpis:
  revenue: {unit: eur, from: sale, value: sum(amount), by: [region, shop], window: day, target: {at_least: 50}}
  price: {unit: eur, from: sale, value: avg(amount), window: 1h}
  success: {unit: ratio, from: sale, value: count_if(ok) / count(*), window: 5m}
rules:
"""


def plan_of(rule: str, folder: Path) -> Plan:
    path = folder / "rules.yaml"
    path.write_text(f"{KPIS}  asked: {{{rule}}}\n", encoding="utf-8")
    return load(path)


def rule_of(rule: str, folder: Path) -> ThresholdRule:
    declared = plan_of(rule, folder).rules["asked"]
    assert isinstance(declared, ThresholdRule)
    return declared


def problem_of(rule: str, folder: Path) -> Problem:
    """The one problem of a rule."""
    path = folder / "rules.yaml"
    path.write_text(f"{KPIS}  asked: {{{rule}}}\n", encoding="utf-8")
    _, problems = check(path)
    errors = [p for p in problems if p.severity == "error"]
    assert len(errors) == 1, errors
    return errors[0]


@pytest.mark.parametrize(
    ("when", "feature"),
    [
        ("change('1 week') < -20%", Change("change('1 week')", Span(days=7), True, "Europe/London")),
        ("change('1w') < -20", Change("change('1w')", Span(days=7), False, "Europe/London")),
        ("change('36h') > 5", Change("change('36h')", Span(ms=36 * 3_600_000), False, "Europe/London")),
        ("abs(change('1 month')) > 5%", Change("change('1 month')", Span(months=1), True, "Europe/London")),
        ("change('3 windows') > 5", Change("change('3 windows')", Span(days=3), False, "Europe/London")),
        ("change('previous') > 5", Change("change('previous')", None, False, "Europe/London")),
        ("trend('8 weeks') < -2% per week", Trend("trend('8 weeks')", 8 * WEEK, True)),
        ("trend('2 months') < -2 per day", Trend("trend('2 months')", 2 * MONTH_MS, False)),
        ("declining(4)", Run("declining(4)", "declining", 4)),
        ("not rising(3)", Run("rising(3)", "rising", 3)),
        ("anomaly(season='week') > 4", SeasonalAnomaly("anomaly(season='week')", "week", 5 * WEEK, "Europe/London")),
        ("anomaly(season='day', over='10 days') > 4", SeasonalAnomaly("anomaly(season='day', over='10 days')", "day", 10 * DAY, "Europe/London")),
        ("breach_in('3 days')", Breach("breach_in('3 days')", 3 * DAY, 12 * DAY, None, None, "Europe/London")),
        ("breach_in('3 days', at_most=600)", Breach("breach_in('3 days', at_most=600)", 3 * DAY, 12 * DAY, None, (None, 600.0), "Europe/London")),
        ("deviation_from_group > 3", Deviation("deviation_from_group", ())),
        ("deviation_from_group(by='region') > 3", Deviation("deviation_from_group(by='region')", (0,))),
    ],
)  # fmt: skip
def test_a_call_asks_for_a_feature(when: str, feature: Feature, tmp_path: Path) -> None:
    rule = rule_of(f'kpi: revenue, when: "{when}"', tmp_path)
    assert rule.features == (feature,)
    assert rule.levels[0].when_sql == when


def test_the_same_call_is_asked_once(tmp_path: Path) -> None:
    when = "{warning: change('1 week') < -20%, critical: change('1 week') < -40%}"
    rule = rule_of(f"kpi: revenue, when: {when}, clear: change('1 week') > 0", tmp_path)
    # Beside a plain number it is another question.
    assert [f.relative for f in rule.features if isinstance(f, Change)] == [True, False]


def test_an_objective_alerts_by_the_published_table(tmp_path: Path) -> None:
    rule = rule_of("kpi: success, objective: 99.5% over 30d", tmp_path)
    assert [(level.severity, level.when_sql) for level in rule.levels] == [
        (
            "critical",
            "(burn_rate('1h') > 14.4 and burn_rate('5m') > 14.4)"
            " or (burn_rate('6h') > 6 and burn_rate('30m') > 6)",
        ),
        ("warning", "burn_rate('3d') > 1 and burn_rate('6h') > 1"),
    ]
    budgets = [f.budget for f in rule.features if isinstance(f, BurnRate)]
    assert budgets == pytest.approx([0.005] * 5)  # 6h is asked twice
    own = rule_of("kpi: success, objective: 99% over 7d, when: budget_left() < 10%", tmp_path)
    assert [f.text for f in own.features] == ["budget_left()"]


def test_a_pace_alerts_when_the_projection_misses(tmp_path: Path) -> None:
    rule = rule_of("kpi: revenue, pace: {period: month, target: 9000, shape: last 3}", tmp_path)
    assert rule.levels[0].when_sql == "projected() < 9000"
    zone = "Europe/London"
    assert rule.features == (Pace("projected()", "projected", "month", zone, 9000, 3),)


def test_an_override_is_the_rule_with_what_it_says(tmp_path: Path) -> None:
    rule = rule_of(
        "kpi: revenue, when: value < 9, for: 2d, min_events: 3, overrides: "
        "[{match: {region: a}, when: change('1 week') < -5%, for: 3d}, {match: {shop: x}, off: true}]",
        tmp_path,
    )
    first, second = rule.overrides
    assert (dict(first.match), dict(second.match)) == ({"region": "a"}, {"shop": "x"})
    assert second.rule is None
    assert first.rule is not None
    assert (first.rule.for_ms, first.rule.min_events) == (3 * DAY, 3)
    assert [f.text for f in first.rule.features] == ["change('1 week')"]
    assert rule.features == ()


def test_a_group_is_placed_together(tmp_path: Path) -> None:
    whole = plan_of('kpi: revenue, when: "deviation_from_group > 3"', tmp_path)
    assert whole.kpis["revenue"].placement == ()
    grouped = plan_of("kpi: revenue, when: \"deviation_from_group(by='region') > 3\"", tmp_path)
    assert grouped.kpis["revenue"].placement == ("region",)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("kpi: revenue, when: change(7) > 5", "`7` is not a time"),
        ("kpi: revenue, when: change('soon') > 5", "'soon' is not a duration"),
        ("kpi: revenue, when: change('1h') > 5", "less than a window ago"),
        ("kpi: revenue, when: trend('3 days') > 5", "fewer than the 5 windows"),
        ("kpi: revenue, when: declining() ", "needs a number of windows"),
        ("kpi: revenue, when: chang('1 week') > 5", "there is no function `chang`"),
        ("kpi: revenue, when: \"anomaly(season='year') > 5\"", "a season is 'day' or 'week'"),
        ("kpi: revenue, when: \"anomaly(season='week', ovr='1w') > 5\"", "no argument 'ovr'"),
        ("kpi: price, when: breach_in('3 days')", "the KPI has none"),
        ("kpi: price, when: deviation_from_group > 3", "a group of its own"),
        ("kpi: revenue, when: \"deviation_from_group(by='regio') > 3\"", "no dimension 'regio'"),
        ("kpi: success, when: burn_rate('1h') > 3", "needs the rule's objective"),
        ("kpi: revenue, when: projected() > 3", "needs the rule's pace"),
        ("kpi: price, pace: {period: month, target: 3}", "which don't add up"),
        ("kpi: price, objective: 99% over 30d", "is in eur"),
        ("kpi: success, objective: 99.5 over 30d", "should be a share over a period"),
        ("kpi: success, objective: 100% over 30d", "no error budget"),
        ("kpi: revenue, when: \"change('1 week') between -5% and 7\"", "and with a plain number"),
        ("kpi: revenue, when: value > 5 per day", "is compared with `trend"),
        ("kpi: success, when: trend('20 years') > 1 per day", "more than 50000 windows"),
        ("kpi: revenue, when: value > 1, flapping: often", "a number of firings and a time"),
        ("kpi: revenue, when: value > 1, flapping: 1 in 1h", "does not flap"),
        ("kpi: revenue, when: value > 1, overrides: [{match: {regio: a}, off: true}]", "not a dim"),
        ("kpi: revenue, when: value > 1, overrides: [{match: {region: a}}]", "changes nothing"),
        (
            "kpi: revenue, when: value > 1, overrides: [{match: {region: a}, when: valu > 1}]",
            "valu",
        ),
        ("kpi: revenue, no_data_for: 1d, on_no_data: alert", "`on_no_data` has no effect"),
        ("kpi: revenue, when: deviation_from_group > 3, on: current", "no current values"),
    ],
)
def test_what_makes_no_sense_is_refused(rule: str, message: str, tmp_path: Path) -> None:
    assert message in problem_of(rule, tmp_path).message


def test_a_problem_is_shown_where_it_stands(tmp_path: Path) -> None:
    problem = problem_of("kpi: revenue, when: \"value < 5% or change('x') < -2%\"", tmp_path)
    line = problem.line_text
    assert line[problem.column - 1 : problem.end_column - 1] == "'x'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value < 20%", [Number(0.2, True, None)]),
        ("value < 2.5 % and x > 3%", [Number(0.025, True, None), Number(0.03, True, None)]),
        ("t < -2% per week", [Number(0.02, True, 7)]),
        ("t < 1_000 per month", [Number(1000, False, 365.2425 / 12)]),
        ("value % 20 = 3", []),
        ("value % x", []),
        ("20 % (x)", []),
        ("name = '20% per day'", []),
    ],
)
def test_percentages_and_speeds_keep_every_place(text: str, expected: list[Number]) -> None:
    plain, numbers = marked(text)
    assert len(plain) == len(text)
    assert list(numbers.values()) == expected
    assert all(plain.count(name) == 1 for name in numbers)
