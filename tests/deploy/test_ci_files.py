"""The pre-commit hooks and the GitHub action are valid, and their commands do what they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli import main
from tests.conftest import ROOT

BIN = Path(sys.executable).parent
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
PAGE = (ROOT / "docs" / "testing.md").read_text()
GOOD = """version: 1
events:
  sold: {topic: tills, time: at, fields: {price: float}}
kpis:
  takings: {from: sold, value: sum(price), window: 1h}
rules:
  low: {kpi: takings, when: value < 5}
"""
TESTS = """version: 1
start: 2025-03-03 10:00
tests:
  a poor hour: {series: {takings: 9 3 9}, expect: {alerts_at: {"12:00": [low firing], "13:00": []}}}
"""
BROKEN = "version: 1\nkpis:\n  orders: {from: ordr, value: count(*), window: 5m}\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "good" / "rules"
    folder.mkdir(parents=True)
    (folder / "tills.yaml").write_text(GOOD)
    (folder / "tills_test.yaml").write_text(TESTS)
    return folder


def run(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def block(first: str) -> str:
    """The YAML of the page that begins with a word."""
    [text] = re.findall(rf"^```yaml\n({first}.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def test_pre_commit_accepts_the_hooks() -> None:
    run(BIN / "pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml")


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_the_hooks_run_on_the_rules_of_a_repository(
    hook: dict[str, Any], rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rules.parent)
    program, *command = shlex.split(hook["entry"])
    assert program == "kpi-agent"
    assert main([*command, *hook["args"]]) == 0


def test_github_accepts_the_action() -> None:
    schema = "vendor.github-actions"
    run(BIN / "check-jsonschema", "--builtin-schema", schema, ROOT / "action.yml")


def step(name: str, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as GitHub does: its inputs are what its `env` names."""
    [chosen] = [step for step in ACTION["runs"]["steps"] if step.get("name") == name]
    tools = folder / "temp" / "kpi-agent" / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    if not (tools / "kpi-agent").exists():
        (tools / "kpi-agent").symlink_to(BIN / "kpi-agent")
    given = {key: str(value["default"]) for key, value in ACTION["inputs"].items()} | inputs
    env = {
        key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: given[m[1]], value)
        for key, value in chosen["env"].items()
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", chosen["run"]],
        cwd=folder,
        env={**os.environ, **env, "RUNNER_TEMP": str(folder / "temp")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_checks_and_tests_and_annotates_lines(tmp_path: Path, rules: Path) -> None:
    good = step("Check the rules", tmp_path, rules=str(rules))
    assert (good.returncode, good.stdout) == (0, "")
    inputs = {"rules": str(rules), "junit": "of the rules.xml", "fail-under": "50"}
    tested = step("Test the rules", tmp_path, **inputs)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert (tmp_path / "of the rules.xml").read_text().startswith("<?xml")

    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "orders.yaml").write_text(BROKEN)
    bad = step("Check the rules", tmp_path)
    assert bad.returncode == 1
    assert bad.stdout.startswith("::error file=rules/orders.yaml,line=3,col=18,")


def test_an_input_of_the_action_is_never_read_as_a_command(tmp_path: Path) -> None:
    for name in ("Check the rules", "Test the rules"):
        ran = step(name, tmp_path, rules="$(touch hurt); touch hurt", junit='"; touch hurt; "')
        assert ran.returncode != 0
    assert not (tmp_path / "hurt").exists()


def test_what_the_page_says_of_ci_is_valid(tmp_path: Path) -> None:
    config, workflow = tmp_path / "config.yaml", tmp_path / "workflow.yaml"
    config.write_text(block("repos:"))
    workflow.write_text(block("on:"))
    run(BIN / "pre-commit", "validate-config", config)
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    named = {
        hook["id"] for repo in yaml.safe_load(block("repos:"))["repos"] for hook in repo["hooks"]
    }
    assert named == {hook["id"] for hook in HOOKS}
    [used] = [
        step["with"]
        for step in yaml.safe_load(block("on:"))["jobs"]["rules"]["steps"]
        if "with" in step
    ]
    assert set(used) <= set(ACTION["inputs"])
