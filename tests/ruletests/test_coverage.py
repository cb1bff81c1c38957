"""What counts as seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.model.plan import Plan
from agent.language.load import load
from agent.ruletests.coverage import coverage_of, unseen
from agent.ruletests.read import read_tests
from agent.ruletests.run import run

PLAN = load(Path(__file__).parent / "rules")


def seen(folder: Path, test: str, plan: Plan = PLAN) -> set[tuple[str, str, str]]:
    """What a test of these lines sees, as (name, part, what)."""
    file = folder / "a_test.yaml"
    file.write_text(f"start: 10:00\ntests:\n  one:\n    rules: []\n    {test}\n")
    suite = read_tests(plan, [file])
    assert suite.problems == []
    coverage = coverage_of(plan)
    for case in suite.cases:
        coverage.add(plan, run(plan, case))
    assert coverage.seen <= set(coverage.items)
    assert set(unseen(coverage)) == set(coverage.items) - coverage.seen
    return {(i.name, i.part, i.what) for i in coverage.seen}


EMEA = "series: {'response_time{region=\"emea\"}': %s}\n    expect: {outcomes: {}}"
WAYS = {
    "fired": "700x3",
    "resolved": "700x3 400x3",
    "pending that ended": "700 500",
    "firing between when and clear": "700x3 500",
    "clearing that ended (keep_firing_for)": "700x3 400 700",
    "too few events (min_events)": "700@2",
    "no data": "_",
}


@pytest.mark.parametrize("what", WAYS)
def test_a_way_that_an_alert_goes_is_seen_where_it_goes_it(what: str, tmp_path: Path) -> None:
    test = EMEA.replace("expect: {outcomes: {}}", "expect: {alerts_at: {10:00: []}}") % WAYS[what]
    items = seen(tmp_path, test)
    assert ("slow", "warning", what) in items
    others = {w for name, part, w in items if (name, part) == ("slow", "warning")} - {what}
    assert others <= {"fired"}


def test_target_states_are_those_of_series_without_an_override(tmp_path: Path) -> None:
    test = (
        "series: {'response_time{region=\"emea\"}': 300 301, "
        "'response_time{region=\"apac\"}': 5000}\n"
        "    expect: {alerts_at: {10:00: []}}"
    )
    items = {item for item in seen(tmp_path, test) if item[0] == "response_time"}
    assert items == {
        ("response_time", "target", "met"),
        ("response_time", "target", "at_risk"),
        ("response_time", "override 1", "region=apac"),
    }


def test_a_value_is_seen_where_it_is_computed_not_where_it_is_given(tmp_path: Path) -> None:
    test = (
        "series: {'answered{region=\"emea\"}': 5, 'opened{region=\"emea\"}': 5}\n"
        "    expect: {alerts_at: {10:00: []}}"
    )
    assert {item for item in seen(tmp_path, test) if item[1] == "value"} == {
        ("answer_rate", "value", "computed")
    }


def test_silence_is_seen_with_its_end(tmp_path: Path) -> None:
    test = (
        "events:\n"
        "      - {type: ticket.answered, seconds: 1, region: emea, at: 10:00}\n"
        "      - {type: ticket.answered, seconds: 1, region: emea, at: 10:20}\n"
        "    expect: {alerts_at: {10:00: []}}"
    )
    items = {item for item in seen(tmp_path, test) if item[0] in ("silent", "no_answers")}
    assert items == {
        ("silent", "critical", "fired"),
        ("silent", "critical", "resolved"),
        ("no_answers", "warning", "fired"),
        ("no_answers", "warning", "resolved"),
    }


def test_rules_that_look_at_others_and_maintenance_are_counted() -> None:
    folder = Path(__file__).parent / "strategy"
    plan = load(folder)
    coverage = coverage_of(plan)
    for case in read_tests(plan, [folder]).cases:
        coverage.add(plan, run(plan, case))
    items = {(i.name, i.what) for i in coverage.seen}
    assert {
        ("revenue_down", "not enough history"),
        ("revenue_down", "region=apac"),
        ("revenue_down", "region=test"),
        ("odd_one", "no data"),
        ("swaying", "flapping"),
        ("bad_hour", "fired"),
        ("sold_nothing", "inhibited (depends_on)"),
        ("stocktaking", "a window in it"),
    } <= items
    assert ("bad_hour", "pending that ended") not in items


SHOP = """\
version: 1
events:
  order: {topic: orders, time: at, fields: {region: string}}
  answer: {topic: desk, time: at, fields: {region: string, seconds: float}}
kpis:
  orders: {from: order, value: count(*), by: [region], window: 5m}
  wait: {from: answer, value: avg(seconds), by: [region], window: 5m}
rules:
  quiet:
    kpi: orders
    no_data_for: {warning: 10m, critical: 30m}
    keep_firing_for: 20m
    flapping: 2 in 2h
    overrides:
      - {match: {region: apac}, off: true}
      - {match: {region: latam}, no_data_for: 1h}
  slow: {kpi: wait, when: value > 60}
  few: {kpi: orders, when: value < 5}
  both:
    when: slow and few
    clear: not slow
    flapping: 2 in 1h
    overrides:
      - {match: {region: apac}, off: true}
"""


def test_what_absences_and_composites_can_do_is_counted_of_each_severity(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    plan = load(tmp_path / "shop.yaml")
    items = {(i.name, i.part, i.what) for i in coverage_of(plan).items if i.section == "rules"}
    ways = {"fired", "resolved", "clearing that ended (keep_firing_for)", "flapping"}
    for severity in ("warning", "critical"):
        assert {what for name, part, what in items if (name, part) == ("quiet", severity)} == ways
    assert {what for name, part, what in items if (name, part) == ("both", "warning")} == {
        "fired", "resolved", "firing between when and clear", "flapping",
    }  # fmt: skip

    silences = (
        "series: {'orders{region=\"emea\"}': 9 _x3 9 _x3 9, 'orders{region=\"apac\"}': 9}\n"
        "    expect: {alerts_at: {10:00: []}}"
    )
    covered = seen(tmp_path, silences, plan)
    quiet = {(part, what) for name, part, what in covered if name == "quiet"}
    assert quiet == {
        ("warning", "fired"), ("warning", "clearing that ended (keep_firing_for)"),
        ("override 1", "region=apac"),
    }  # fmt: skip

    relapse = (
        "series:\n"
        "      'wait{region=\"emea\"}': 90 20 90 90 20\n"
        "      'orders{region=\"emea\"}': 1 9 1 9 9\n"
        "      'wait{region=\"apac\"}': 20x5\n"
        "    expect: {alerts_at: {10:00: []}}"
    )
    both = {(part, what) for name, part, what in seen(tmp_path, relapse, plan) if name == "both"}
    assert both == {
        ("warning", "fired"), ("warning", "resolved"), ("warning", "firing between when and clear"),
        ("warning", "flapping"), ("override 1", "region=apac"),
    }  # fmt: skip
