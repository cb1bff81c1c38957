"""What a change of the rules does, reported two plans."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.changes.describe import describe
from agent.core.changes.diff import (
    AlertChange,
    BackfillEffect,
    Change,
    Difference,
    KpiStateEffect,
    MetricChange,
    Part,
    compare,
    summary,
)
from agent.core.changes.outline import outline, sections
from agent.core.model.kpis import Target, TargetOverride
from agent.core.model.plan import Maintenance, Plan
from agent.core.model.rules import Rule
from agent.core.model.schedules import MonthDays, Schedule
from agent.language.load import load
from tests.conftest import ROOT

SHOP = """\
version: 1
events:
  order:
    topic: shop
    time: at
    id: id
    fields: {amount: {type: float, unit: eur, minimum: 0}, region: string, note: string}
  visit: {topic: visits, time: at, fields: {region: string}}
kpis:
  revenue:
    unit: eur
    from: order
    value: sum(amount)
    by: [region]
    window: 10m
    target: {at_least: 100, warn: 120}
    overrides: [{match: {region: apac}, target: {at_least: 50}}]
  orders: {from: order, value: count(*), by: [region], window: 10m}
  visits: {from: visit, value: count(*), by: [region], window: 10m}
  conversion: {unit: ratio, from: [orders, visits], value: orders / visits}
rules:
  revenue_low:
    kpi: revenue
    when: {warning: value < 80, critical: value < 40}
    for: 20m
  no_orders: {kpi: orders, no_data_for: 30m}
objectives:
  growth: {kpis: {revenue: 1}}
"""


@pytest.fixture
def change(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A function from replacements in the shop's rules to the difference they make."""

    def made(*replacements: tuple[str, str]) -> Difference:
        text = SHOP
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "old.yaml").write_text(SHOP)
        (tmp_path / "new.yaml").write_text(text)
        return compare(outline(load(tmp_path / "old.yaml")), outline(load(tmp_path / "new.yaml")))

    return made


def reset(difference: Difference) -> dict[str, tuple[Part, ...]]:
    return {state.kpi: state.reasons for state in difference.states if not state.kept}


def test_the_same_rules_differ_in_nothing(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("value: sum(amount)", "value: sum(amount)  # a comment"))
    assert not difference
    assert (difference.changes, difference.metrics, difference.alerts) == ((), (), ())
    assert all(state.kept for state in difference.states)
    assert summary(difference) == "nothing changes"


def test_another_unit_renames_the_metrics_and_keeps_the_state(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("unit: eur\n    from", "unit: usd\n    from"))
    assert difference.changes == (
        Change("kpis", "revenue", "changed", (Part("unit", "eur", "usd"),)),
    )
    by = ("region",)
    assert difference.metrics == (
        MetricChange("kpi_revenue_usd", "renamed", by, "kpi_revenue_eur", by),
        MetricChange("kpi_revenue_current_usd", "renamed", by, "kpi_revenue_current_eur", by),
        MetricChange("kpi_revenue_target_usd", "renamed", by, "kpi_revenue_target_eur", by),
    )
    assert reset(difference) == {}


def test_another_filter_begins_the_state_and_its_alerts_again(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("value: sum(amount)", "value: sum(amount)\n    where: amount > 1"))
    assert reset(difference) == {"revenue": (Part("where", None, "amount > 1"),)}
    assert difference.metrics == ()
    assert difference.alerts == (
        AlertChange("revenue_low", "critical", "reset"),
        AlertChange("revenue_low", "warning", "reset"),
    )
    assert summary(difference) == "1 KPI changed; the state of revenue starts over"


def test_other_dimensions_make_every_series_another(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("by: [region]\n    window", "by: [region, note]\n    window"))
    assert difference.metrics[0] == MetricChange(
        "kpi_revenue_eur", "changed", ("region", "note"), None, ("region",)
    )
    assert reset(difference)["revenue"][0] == Part("by", "region", "region, note")


def test_a_field_of_the_contract_counts_for_the_kpis_that_read_it_only(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("minimum: 0", "minimum: 1"))
    assert reset(difference) == {"revenue": (Part("order.fields.amount.minimum", "0", "1"),)}
    difference = change(("note: string", "note: integer"))
    assert [c.name for c in difference.changes] == ["order"]
    assert reset(difference) == {}


def test_a_kpi_over_one_that_begins_again_begins_again(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("visit: {topic: visits,", "visit: {topic: web,"))
    assert reset(difference) == {
        "visits": (Part("visit.topic", "visits", "web"),),
        "conversion": (Part("from.visits", "as it was", "starts over"),),
    }


def test_a_rule_on_current_values_that_cuts_slices_finer_is_named_as_the_reason(
    change,  # type: ignore[no-untyped-def]
) -> None:
    difference = change(("for: 20m", "for: 20m\n    on: current"))
    [reason] = reset(difference)["revenue"]
    assert reason == Part("slice", "300000 ms", "60000 ms")


def test_a_change_of_a_rule_lets_its_alerts_go_on(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("for: 20m", "for: 30m"), ("value < 80", "value < 90"))
    assert difference.changes[0].parts == (
        Part("for", "20m", "30m"),
        Part("when.warning", "value < 80", "value < 90"),
    )
    assert {a.effect for a in difference.alerts} == {"goes on"}
    assert summary(difference) == "1 rule changed; all state is kept"


def test_a_severity_that_is_gone_ends_its_alerts(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("{warning: value < 80, critical: value < 40}", "{warning: value < 80}"))
    assert difference.alerts == (
        AlertChange("revenue_low", "critical", "ends"),
        AlertChange("revenue_low", "warning", "goes on"),
    )


def test_what_only_has_another_name_is_called_renamed(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(
        ("  revenue:", "  income:"),
        ("kpi: revenue", "kpi: income"),
        ("{revenue: 1", "{income: 1"),
    )
    published = {(c.section, c.name): (c.kind, c.was) for c in difference.changes}
    assert published["kpis", "income"] == ("renamed", "revenue")
    assert published["rules", "revenue_low"] == ("changed", None)
    assert [a.effect for a in difference.alerts] == ["ends", "new", "ends", "new"]
    assert (difference.metrics[0].was, difference.metrics[0].name) == (
        "kpi_revenue_eur",
        "kpi_income_eur",
    )


def test_two_that_are_alike_are_not_guessed_to_be_renamed(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(
        ("  visits: {from: visit, value: count(*), by: [region], window: 10m}\n",
         "  a: {from: visit, value: count(*), by: [region], window: 10m}\n"
         "  b: {from: visit, value: count(*), by: [region], window: 10m}\n"),
        ("[orders, visits], value: orders / visits", "[orders, a], value: orders / a"),
    )  # fmt: skip
    kinds = {c.name: c.kind for c in difference.changes if c.section == "kpis"}
    assert kinds == {"visits": "removed", "a": "added", "b": "added", "conversion": "changed"}


def test_targets_and_overrides_are_reported_by_series(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(("at_least: 50", "at_least: 60"), ("warn: 120", "warn: 130"))
    assert difference.changes[0].parts == (
        Part("overrides.{region: apac}.target", "at_least 50", "at_least 60"),
        Part("target", "at_least 100, warn 120", "at_least 100, warn 130"),
    )
    assert reset(difference) == {}


def test_a_target_that_is_new_brings_its_metric(change) -> None:  # type: ignore[no-untyped-def]
    difference = change(
        ("value: orders / visits}", "value: orders / visits, target: {at_least: 0.1}}")
    )
    assert difference.metrics == (
        MetricChange("kpi_conversion_target_ratio", "added", ("region",)),
    )


@pytest.mark.parametrize("folder", ["rules", "examples/retail/rules"])
def test_everything_that_is_declared_is_described(folder: str) -> None:
    plan = load(ROOT / folder)
    assert {"events", "kpis", "rules", "objectives"} <= set(sections(plan))
    for section, made in sections(plan).items():
        for name, thing in made.items():
            parts = describe(thing)
            assert parts, (section, name)
            assert not any("pl.Expr" in text or " object at " in text for text in parts.values())


def test_state_is_reported_every_kpi_that_stays() -> None:
    old, new = load(ROOT / "examples/retail/rules"), load(ROOT / "rules")
    difference = compare(outline(old), outline(new))
    assert [s.kpi for s in difference.states] == [n for n in new.kpis if n in old.kpis]
    kept = {s.kpi for s in difference.states if s.kept}
    assert kept == {
        n for n in new.kpis if n in old.kpis and new.kpis[n].fingerprint == old.kpis[n].fingerprint
    }
    assert isinstance(difference.states[0], KpiStateEffect)


def test_whatever_a_plan_holds_is_described_in_words() -> None:
    described = describe(
        Maintenance(
            "stocktaking",
            "Stocktaking",
            "",
            frozenset({"revenue", "orders"}),
            {"region": "apac"},
            Schedule("Europe/London", MonthDays(frozenset({-1})), 60, 3_600_000, 0, None),
        )
    )
    assert described == {
        "title": "Stocktaking",
        "kpis": "orders, revenue",
        "match.region": "apac",
        "schedule": "every month on last day at 01:00 for 1h from 1970-01-01T01:00 "
        "in Europe/London",
    }


def test_overrides_of_the_same_series_are_reported_apart_by_when_they_begin() -> None:
    kpi = replace(
        load(ROOT / "rules").kpis["revenue"],
        target=None,
        overrides=(
            TargetOverride({"region": "apac"}, Target(at_least=1)),
            TargetOverride({"region": "apac"}, Target(at_least=2), 1_700_000_000_000),
        ),
    )
    published = {name: text for name, text in describe(kpi).items() if name.startswith("overrides")}
    assert published == {
        "overrides.{region: apac}.target": "at_least 1",
        "overrides.{region: apac} from 2023-11-14T22:13:20Z.target": "at_least 2",
    }


def test_rules_over_rules_and_overrides_of_rules_are_reported_as_they_are_written(
    change,  # type: ignore[no-untyped-def]
) -> None:
    more = "  both: {when: revenue_low and no_orders, for: 1h}\n"
    more += "  fell:\n    kpi: revenue\n    when: change('1 week') < -20%\n"
    more += "    depends_on: [no_orders]\n"
    more += "    overrides:\n"
    more += "      - {match: {region: apac}, when: change('1 week') < -40%}\n"
    more += "      - {match: {region: latam}, off: true}\n"
    with_rules = ("objectives:\n", f"{more}objectives:\n")
    difference = change(with_rules)
    assert [(c.name, c.kind) for c in difference.changes] == [("both", "added"), ("fell", "added")]
    assert [(a.rule, a.effect) for a in difference.alerts] == [("both", "new"), ("fell", "new")]
    rules = {name: describe(rule) for name, rule in load_text(SHOP.replace(*with_rules)).items()}
    assert rules["both"]["when.warning"] == "revenue_low and no_orders"
    assert rules["fell"]["depends_on"] == "no_orders"
    assert {n: t for n, t in rules["fell"].items() if n.startswith("overrides")} == {
        "overrides.{region: apac}.rule.when.warning": "change('1 week') < -40%",
        "overrides.{region: latam}.off": "true",
    }
    assert not any(
        name.startswith(("features", "dependencies")) for of in rules.values() for name in of
    )


def load_text(text: str) -> Mapping[str, Rule]:
    """The rules of a text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(text)
        return load(path).rules


def test_a_backfill_is_read_for_a_kpi_without_state_and_not_for_one_that_has_some(change) -> None:  # type: ignore[no-untyped-def]
    given = ("value: sum(amount)", "value: sum(amount)\n    backfill: 30d")
    difference = change(given)
    assert difference.pasts == (BackfillEffect("revenue", "4w2d", False),)
    assert summary(difference) == "1 KPI changed; all state is kept"
    difference = change(
        given, ("unit: eur\n    from", "unit: eur\n    where: amount > 1\n    from")
    )
    assert difference.pasts == (BackfillEffect("revenue", "4w2d", True),)
    assert summary(difference) == (
        "1 KPI changed; the state of revenue starts over; revenue is backfilled (4w2d)"
    )


RATES = """
version: 1
lookups:
  rates: {file: rates.csv, key: region, columns: {rate: float, zone: string}}
events:
  order:
    topic: shop
    time: at
    fields: {amount: float, region: string}
    lookup: {rate: rates.rate, zone: rates.zone}
kpis:
  orders: {from: order, value: count(*), window: 10m}
  revenue: {from: order, value: sum(amount * rate), window: 10m}
  zones: {from: order, value: count(*), by: [zone], window: 10m}
"""


def with_rates(folder: Path, rates: str) -> Plan:
    (folder / "rules.yaml").write_text(RATES)
    (folder / "rates.csv").write_text(rates)
    return load(folder)


def test_a_changed_value_of_a_lookup_begins_the_state_of_the_kpis_that_read_it(
    tmp_path: Path,
) -> None:
    before = with_rates(tmp_path, "region,rate,zone\neu,1,near\nus,0.9,far\n")
    after = with_rates(tmp_path, "region,rate,zone\nus,0.95,far\neu,1,near\n")
    difference = compare(outline(before), outline(after))
    assert before.config_hash != after.config_hash
    assert [(c.section, c.name, [p.name for p in c.parts]) for c in difference.changes] == [
        ("lookups", "rates", ["digests.rate"])
    ]
    assert {s.kpi: [p.name for p in s.reasons] for s in difference.states} == {
        "orders": [],
        "revenue": ["lookups.rates.rate"],
        "zones": [],
    }


def test_the_order_of_rows_and_columns_that_nobody_reads_change_nothing(tmp_path: Path) -> None:
    before = with_rates(tmp_path, "region,rate,zone\neu,1,near\nus,0.9,far\n")
    after = with_rates(tmp_path, "note,zone,rate,region\na,far,0.90,us\nb,near,1.0,eu\n")
    assert not compare(outline(before), outline(after))
    assert before.config_hash == after.config_hash


def test_the_key_of_a_lookup_is_part_of_what_a_kpi_reads(tmp_path: Path) -> None:
    before = with_rates(tmp_path, "region,rate,zone\neu,1,near\n")
    (tmp_path / "rules.yaml").write_text(
        RATES.replace("region: string", "region: {type: string, path: geo.region}")
    )
    difference = compare(outline(before), outline(load(tmp_path)))
    assert [s.kpi for s in difference.states if not s.kept] == ["revenue", "zones"]
