"""The bakery of docs/rules/routing.md: rules, routes and receivers are as the page says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.core.model.plan import Plan
from agent.core.model.rules import Escalation
from agent.generate.alertmanager import CONFIG_FILE, alertmanager_files, read_receivers
from agent.language.load import load
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "rules" / "routing.md").read_text()
RULES, STEPS, RECEIVERS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
(ROUTES,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def config(plan: Plan, tmp_path: Path) -> Path:
    (tmp_path / "receivers.yml").write_text(RECEIVERS)
    file = tmp_path / CONFIG_FILE
    receivers = read_receivers(tmp_path / "receivers.yml")
    file.write_text(alertmanager_files(plan, receivers)[CONFIG_FILE])
    return file


def test_a_rules_own_word_comes_first_then_its_kpis_then_the_default(plan: Plan) -> None:
    low, few = plan.rules["low_takings"], plan.rules["few_loaves"]
    assert (low.owner, low.team) == ("shop-lead", "shops")
    assert low.escalation == (Escalation(1_800_000, "head-of-shops"),)
    assert (few.owner, few.team) == ("baker", None)
    assert few.escalation == (Escalation(7_200_000, "owner-of-the-house"),)


def test_several_steps_are_taken_in_turn(tmp_path: Path) -> None:
    (tmp_path / "bakery.yaml").write_text(RULES)
    (tmp_path / "steps.yaml").write_text(STEPS)
    assert load(tmp_path).rules["no_takings"].escalation == (
        Escalation(3_600_000, "head-of-shops"),
        Escalation(28_800_000, "owner-of-the-house"),
    )


def test_the_receivers_of_the_page_are_taken_over_and_the_others_named(config: Path) -> None:
    text = config.read_text()
    receivers = {receiver["name"]: receiver for receiver in yaml.safe_load(text)["receivers"]}
    mine = {receiver["name"]: receiver for receiver in yaml.safe_load(RECEIVERS)["receivers"]}
    assert {name: receivers[name] for name in mine} == mine
    (shown,) = re.findall(r"# These send nothing .*: (.*)\.", text)
    assert set(shown.split(", ")) == set(receivers) - set(mine)


def test_the_silence_of_the_tills_holds_back_what_comes_of_them(config: Path) -> None:
    rules = yaml.safe_load(config.read_text())["inhibit_rules"]
    targets = [r["target_matchers"] for r in rules if 'rule="nothing_sold"' in r["source_matchers"]]
    assert targets == [
        ['rule=~"few_loaves|low_takings"'],
        ['alertname="KpiStale"', 'kpi=~"loaves|takings"'],
    ]


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("line", ROUTES.splitlines())
def test_amtool_routes_as_the_page_says(config: Path, line: str) -> None:
    *labels, receivers = line.split()
    command = ["amtool", "config", "routes", "test", f"--config.file={config}", *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == receivers
