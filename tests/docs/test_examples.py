"""Every YAML example of the language's page is one rule set, and loads."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from agent.core.model.kpis import PartialKind
from agent.core.model.plan import Plan
from agent.core.model.rules import AbsenceLevel, AbsenceRule
from agent.language.declared import is_test_file
from agent.language.load import load
from agent.replay.report import Selection, selected, write
from agent.replay.runner import replay, sources

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rules.md"
NOW_MS = 1_800_000_000_000
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("rules")
    for number, block in enumerate(BLOCKS):
        (folder / f"{number:02d}.yaml").write_text(block)
    return load(folder)


def test_every_example_of_the_page_is_part_of_one_valid_rule_set(plan: Plan) -> None:
    declared = re.findall(r"^  ([a-z0-9_.]+):", "".join(BLOCKS), re.MULTILINE)
    of_defaults = {
        *(
            "timezone",
            "lateness",
            "max_future",
            "max_past",
            "idle_after",
            "duplicate_window",
            "max_bytes",
        ),
        *("owner", "team"),
    }
    known = {*plan.contracts, *plan.kpis, *plan.rules, *plan.objectives}
    assert set(declared) - of_defaults == known


def test_the_page_shows_every_aggregate_window_and_rule_kind(plan: Plan) -> None:
    kinds = {partial.kind for kpi in plan.kpis.values() for partial in kpi.partials}
    assert kinds == set(PartialKind)
    assert {type(rule).__name__ for rule in plan.rules.values()} == {
        "ThresholdRule",
        "AbsenceRule",
        "CompositeRule",
    }
    assert {type(kpi.window).__name__ for kpi in plan.kpis.values()} == {
        "FixedWindow",
        "CalendarWindow",
    }


def test_the_seven_events_of_the_page_end_as_it_says(plan: Plan, tmp_path: Path) -> None:
    given, shown = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    file = tmp_path / "rides.ndjson"
    file.write_text(given)
    replayed = replay(plan, sources(plan, [str(file)]), NOW_MS)
    out = io.StringIO()
    write(plan, selected(replayed, Selection(kpis=frozenset({"income"}))), "json", out)
    assert out.getvalue() == shown


def test_the_examples_mean_what_the_page_says(plan: Plan) -> None:
    rides = plan.contracts["ride.finished"]
    assert (rides.lateness_ms, plan.contracts["ride.started"].lateness_ms) == (30_000, 10_000)
    assert plan.contracts["message"].type_path is None
    assert plan.contracts["repair.finished"].type_path == ("event", "kind")
    assert plan.kpis["ride_minutes"].metric == "kpi_ride_minutes"
    assert plan.kpis["completion"].by == ("city",)
    assert plan.rules["city_silent"] == AbsenceRule(
        name="city_silent",
        kpi="rides",
        levels=(AbsenceLevel("critical", 1_800_000),),
        per="series",
        keep_firing_for_ms=0,
        summary="No ride in {{ city }} for half an hour",
        description="",
        runbook=None,
        owner="operations",
        team="fleet",
        labels={},
    )


@pytest.mark.parametrize("folder", ["rules", "examples/retail/rules"])
def test_the_shipped_rules_are_valid_and_name_their_owners(folder: str) -> None:
    loaded = load(ROOT / folder)
    assert all(kpi.owner and kpi.unit and kpi.title for kpi in loaded.kpis.values())
    assert all(rule.summary for rule in loaded.rules.values())
    assert loaded.objectives


@pytest.mark.parametrize("file", sorted((ROOT / "rules").rglob("*.yaml")), ids=lambda f: f.name)
def test_the_example_files_carry_the_line_that_gives_editors_completion(file: Path) -> None:
    first = file.read_text().splitlines()[0]
    schema = "tests.schema.json" if is_test_file(file) else "schema.json"
    assert first == f"# yaml-language-server: $schema=../docs/{schema}"


def test_the_example_company_has_the_kpis_and_objectives_it_is_known_for() -> None:
    plan = load(ROOT / "rules")
    assert set(plan.objectives) == {
        "year_plan", "customer_satisfaction", "growth", "productivity",
    }  # fmt: skip
    wanted = {
        "customer_retention",
        "feedback_score",
        "response_time",
        "revenue",
        "conversion",
        "tasks_per_employee",
    }
    assert wanted <= set(plan.kpis)
    assert all(plan.kpis[name].target is not None for name in wanted)
