"""How a rule stands and why, after a replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.output.messages import Json
from agent.errors import RulesError
from agent.explain.document import (
    MOST_SERIES,
    explanations,
    most_urgent,
    refuse_private,
    rule_and_selector,
)
from agent.language.load import load
from agent.replay.runner import Replayed, pipeline_over, replay, sources, stream

START_MS = 1_741_564_800_000  # 2025-03-10, midnight UTC
MINUTE_MS = 60_000
NOW_MS = START_MS + 365 * 86_400_000
RULES = """\
version: 1
events:
  order:
    topic: orders
    time: at
    id: id
    fields: {amount: float, region: string}
kpis:
  revenue:
    unit: eur
    from: order
    value: sum(amount)
    by: [region]
    window: 10m
    target: {at_least: 80}
    overrides: [{match: {region: apac}, target: {at_least: 30}}]
  orders: {from: order, value: count(*), by: [region], window: 10m}
  basket: {unit: eur, from: [revenue, orders], value: revenue / orders}
rules:
  low:
    kpi: revenue
    when: {warning: value < target, critical: value < 0.5 * target and events > 3}
    clear: {warning: value >= target, critical: value >= 0.8 * target}
    for: 20m
    keep_firing_for: 20m
    owner: head-of-sales
    runbook: https://example.org/low
  fell: {kpi: revenue, when: change('30m') < -50%}
  few: {kpi: revenue, when: value < 10, min_events: 1000}
  small: {kpi: basket, when: value < 5}
  now: {kpi: orders, when: value > 3, on: current}
  silent: {kpi: orders, no_data_for: 30m}
  both: {when: low and not silent, for: 10m}
  lost:
    kpi: orders
    no_data_for: {warning: 15m, critical: 1h}
    overrides: [{match: {region: emea}, off: true}]
  either:
    when: low or silent
    overrides: [{match: {region: emea}, when: low, clear: not low, severity: info}]
  hushed: {kpi: revenue, when: value < 60, depends_on: [low]}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules, and five hours with an order a minute in each region, worth 10: in emea 2 from one
    o'clock to two; and apac falls silent at four."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(RULES)
    with (folder / "orders.ndjson").open("w") as out:
        for minute in range(300):
            for region in ("emea", "apac"):
                if region == "apac" and minute >= 240:
                    continue
                amount = 2 if region == "emea" and 60 <= minute < 120 else 10
                at = START_MS + minute * MINUTE_MS + 30_000
                event = {"type": "order", "at": at, "id": f"{region}{minute}"}
                event |= {"amount": amount + minute % 10 / 100, "region": region}
                out.write(json.dumps(event) + "\n")
    return folder


Ask = Callable[..., Json]


@pytest.fixture
def ask(place: Path) -> Ask:
    """A function from a rule, a series and a minute of that night to its explanation."""
    plan = load(place / "shop.yaml")
    files = sources(plan, [str(place / "orders.ndjson")])

    def asked(name: str, series: str = "", minute: int | None = None) -> Any:
        rule, dimensions = rule_and_selector(plan, name, series)
        until = None if minute is None else START_MS + minute * MINUTE_MS
        pipeline = pipeline_over(plan, files, until)
        out = Replayed()
        for _ in stream(plan, files, NOW_MS, out, until_ms=until, pipeline=pipeline):
            pass
        documents, count = explanations(plan, pipeline.mergers, rule, dimensions)
        assert count == len(documents) == 1
        return documents[0][1]

    return asked


def clock(minute: int) -> str:
    return f"2025-03-10T{minute // 60:02}:{minute % 60:02}:00Z"


def alert(explained: Any, severity: str) -> Any:
    return next(a for a in explained["alerts"] if a["severity"] == severity)


def test_the_value_its_window_and_the_clause_that_decided(ask: Ask) -> None:
    explained: Any = ask("low", "region=emea", 87)
    assert explained["at"] == clock(80)
    assert explained["window"] == {
        "of": "10m", "start": clock(70), "end": clock(80), "open": False, "events": 10,
        "value": pytest.approx(20.45),
    }  # fmt: skip
    critical = alert(explained, "critical")
    assert critical["when"]["clauses"] == [
        {"sql": "value < 0.5 * target", "values": "20.45 < 0.5 * 80", "holds": True},
        {"sql": "events > 3", "values": "10 > 3", "holds": True},
    ]
    assert critical["when"]["holds"] is True
    assert critical["clear"]["clauses"][0]["values"] == "20.45 >= 0.8 * 80"
    assert critical["clear"]["holds"] is False
    assert (explained["owner"], explained["runbook"]) == (
        "head-of-sales",
        "https://example.org/low",
    )


def test_a_pending_alert_says_since_when_and_until_when(ask: Ask) -> None:
    explained: Any = ask("low", "region=emea", 87)
    pending = alert(explained, "warning")
    assert (pending["state"], pending["since"], pending["fires_at"]) == (
        "pending", clock(70), clock(90),
    )  # fmt: skip
    assert ask("low", "region=emea", 90)["alerts"][0]["state"] == "firing"  # type: ignore[index]


def test_an_alert_that_is_clearing_says_when_it_ends(ask: Ask) -> None:
    explained: Any = ask("low", "region=emea", 135)
    firing = alert(explained, "critical")
    assert (firing["state"], firing["since"], firing["ends_at"]) == (
        "firing", clock(70), clock(150),
    )  # fmt: skip


def test_the_bound_says_which_override_gave_it(ask: Ask) -> None:
    emea: Any = ask("low", "region=emea", 60)
    apac: Any = ask("low", "region=apac", 60)
    assert (emea["target"]["text"], emea["target"]["override"]) == ("at_least 80", None)
    assert (apac["target"]["text"], apac["target"]["override"]) == (
        "at_least 30",
        {"region": "apac"},
    )
    assert emea["promql"]["target"] == 'kpi_revenue_target_eur{region="emea"}'


def test_what_a_feature_answers_is_a_column_and_stands_in_its_clause(ask: Ask) -> None:
    explained: Any = ask("fell", "region=emea", 70)
    [fact] = explained["facts"]
    assert (fact["sql"], fact["value"]) == ("change('30m')", pytest.approx(20.45 / 100.45 - 1))
    assert fact["words"]
    [clause] = explained["alerts"][0]["when"]["clauses"]
    assert clause["sql"] == "change('30m') < -50%"
    assert clause["values"] == "-0.796416 < -50%"
    assert clause["holds"] is True


def test_too_few_events_are_named_as_the_reason_that_nothing_is_evaluated(ask: Ask) -> None:
    explained: Any = ask("few", "region=emea", 100)
    assert explained["not_evaluated"] == "10 events are fewer than the rule's min_events, 1000"
    assert explained["alerts"][0]["when"]["holds"] is None


def test_a_kpi_over_kpis_names_the_values_that_it_is_made_of(ask: Ask) -> None:
    explained: Any = ask("small", "region=emea", 100)
    assert explained["inputs"] == {"revenue": pytest.approx(20.45), "orders": 10.0}
    assert explained["window"]["value"] == pytest.approx(2.045)


def test_a_rule_on_current_values_is_explained_by_the_open_window(ask: Ask) -> None:
    explained: Any = ask("now", "region=emea", 105)
    assert explained["window"]["open"] is True
    assert (explained["window"]["start"], explained["at"]) == (clock(100), clock(105))
    assert explained["window"]["value"] == 5.0
    assert explained["alerts"][0]["when"]["clauses"][0]["values"] == "5 > 3"


def test_a_silence_says_when_the_last_event_was_and_when_it_fires(ask: Ask) -> None:
    explained: Any = ask("silent", "region=apac", 260)
    assert explained["last_event_before"] == clock(240)
    assert explained["alerts"][0]["state"] == "inactive"
    assert explained["alerts"][0]["fires_at"] == clock(270)
    assert ask("silent", "region=apac", 275)["alerts"][0]["state"] == "firing"  # type: ignore[index]


def test_a_silence_says_how_each_severity_stands_and_leaves_out_the_series_that_are_off(
    ask: Ask,
) -> None:
    explained: Any = ask("lost", "", 260)  # one series: emea is off
    assert explained["dimensions"] == {"region": "apac"}
    standing = [
        (a["severity"], a["state"], a["no_data_for_seconds"], a["fires_at"])
        for a in explained["alerts"]
    ]
    assert standing == [
        ("critical", "inactive", 3600.0, clock(300)), ("warning", "firing", 900.0, None),
    ]  # fmt: skip


def test_a_rule_over_rules_is_explained_as_its_override_makes_it(ask: Ask) -> None:
    explained: Any = ask("either", "region=emea", 95)
    assert explained["rule_override"] == {"region": "emea"}
    [shown] = explained["alerts"]
    assert (shown["severity"], shown["state"]) == ("info", "firing")
    assert [c["sql"] for c in shown["when"]["clauses"]] == ["low"]
    assert (shown["clear"]["sql"], shown["clear"]["holds"]) == ("not low", False)


def test_a_rule_over_rules_names_those_that_fire(ask: Ask) -> None:
    explained: Any = ask("both", "region=emea", 95)
    [shown] = explained["alerts"]
    assert (shown["state"], shown["since"], shown["fires_at"]) == (
        "pending", clock(90), clock(100),
    )  # fmt: skip
    assert [(c["sql"], c["holds"]) for c in shown["when"]["clauses"]] == [
        ("low", True), ("silent", False),
    ]  # fmt: skip
    assert explained["window"] is None
    assert explained["promql"] == {"state": 'kpi_rule_state{rule="both",region="emea"}'}


def test_what_inhibits_a_rule_is_named(ask: Ask) -> None:
    assert ask("hushed", "region=emea", 85)["inhibited_by"] == []
    assert ask("hushed", "region=emea", 95)["inhibited_by"] == ["low"]


def test_every_step_of_a_replay_is_explained_by_the_state_it_led_to(place: Path, ask: Ask) -> None:
    plan = load(place / "shop.yaml")
    whole = replay(plan, sources(plan, [str(place / "orders.ndjson")]), NOW_MS)
    steps = [t for t in whole.emitted.transitions if t.rule in ("low", "fell", "silent")]
    assert len(steps) >= 9
    for step in steps:
        minute = (step.at_ms - START_MS) // MINUTE_MS
        # A silence is known once time is past its instant.
        explained = ask(step.rule, f"region={step.dimensions[0]}", minute + (step.rule == "silent"))
        shown = alert(explained, step.severity)
        assert shown["state"] == step.state.value
        if step.state.value in ("pending", "firing"):
            assert shown["since"] == clock((step.episode_ms - START_MS) // MINUTE_MS)


def test_what_is_not_declared_is_reported(place: Path) -> None:
    plan = load(place / "shop.yaml")
    with pytest.raises(RulesError, match="no rule is called lo"):
        rule_and_selector(plan, "lo", "")
    with pytest.raises(RulesError, match="'city=Oslo' is no dimension=value of low"):
        rule_and_selector(plan, "low", "city=Oslo")


def test_rules_about_single_people_are_not_explained_to_everybody(tmp_path: Path) -> None:
    (tmp_path / "people.yaml").write_text("""\
version: 1
events:
  call: {topic: calls, time: at, fields: {seconds: float, employee: string, region: string}}
kpis:
  own_wait:
    {from: call, value: avg(seconds), by: [employee], window: 1h, visibility: private,
     person: employee, owner: head-of-desk}
  wait: {from: call, value: avg(seconds), by: [region], window: 1h}
rules:
  own_slow: {kpi: own_wait, when: value > 300}
  slow: {kpi: wait, when: value > 300}
""")
    plan = load(tmp_path / "people.yaml")
    refuse_private(plan, plan.rules["slow"])
    with pytest.raises(RulesError, match="own_slow is about single people"):
        refuse_private(plan, plan.rules["own_slow"])


def test_the_explanations_of_several_workers_are_ordered_as_those_of_one() -> None:
    def of(region: str, *states: str) -> Json:
        return {"dimensions": {"region": region}, "alerts": [{"state": s} for s in states]}

    first = [of("d", "firing"), of("a", "inactive")]
    second = [
        of("c", "inactive", "firing"),
        of("b", "pending"),
        *[of(r, "inactive") for r in "efg"],
    ]
    documents, count = most_urgent([(2, first), (40, second), (0, [])])
    assert [d["dimensions"] for d in documents] == [{"region": r} for r in "cdbae"]
    assert (len(documents), count) == (MOST_SERIES, 42)
