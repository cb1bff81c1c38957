"""The README does what it says: its tour runs and prints what is shown, its YAML loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.spec.load import load
from tests.conftest import ROOT

PAGE = (ROOT / "README.md").read_text()
RUNS = re.compile(
    r"^<!-- runs(?:, exit (?P<exit>\d+))? -->\n```sh\n(?P<command>.*?)^```\n"
    r"(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
MORE = "…"


@dataclass(frozen=True)
class Step:
    """One command block of the tour: what it runs, and what the page says that it prints."""

    command: str
    exit: int
    output: str


STEPS = [
    Step(found["command"], int(found["exit"] or 0), found["output"] or "")
    for found in RUNS.finditer(PAGE)
]


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def matches(told: list[str], shown: list[str]) -> bool:
    """Whether lines are as shown, where a line `…` stands for any number of them."""
    if not shown:
        return not told
    if shown[0] == MORE:
        return any(matches(told[i:], shown[1:]) for i in range(len(told) + 1))
    return bool(told) and told[0] == shown[0] and matches(told[1:], shown[1:])


def test_the_tour_runs_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    # The commands name .venv, as a reader's clone has it; here it is whatever runs the tests.
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("python", "kpi-agent"):
        (commands / name).symlink_to(Path(sys.executable).parent / name)
    assert len(STEPS) == 5
    for step in STEPS:
        ran = subprocess.run(
            ["bash", "-e", "-c", step.command],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == step.exit, ran.stderr
        assert matches(lines(ran.stdout), lines(step.output)), ran.stdout


def test_the_language_by_example_is_a_valid_rule_set(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
    plan = load(tmp_path)
    assert len(blocks) == 1
    assert set(plan.objectives) == {"growth"}
    assert set(plan.rules) == {"conversion_low", "no_orders"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([a-z-]+)", PAGE, re.MULTILINE))))
def test_the_commands_of_the_page_are_targets_of_the_makefile(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
