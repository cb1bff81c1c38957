"""The tour of the README and docs/tour.md prints what is shown; the YAML of the README loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.language.load import load
from tests.conftest import ROOT
from tests.docs.shell import walk

PAGE = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tour.md").read_text()


def test_the_tour_runs_and_prints_what_its_pages_show(tmp_path: Path) -> None:
    assert walk(PAGE + TOUR, tmp_path) == 5


def test_the_language_by_example_is_a_valid_rule_set(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
    plan = load(tmp_path)
    assert len(blocks) == 1
    assert set(plan.objectives) == {"growth"}
    assert set(plan.rules) > {"conversion_low", "no_orders"}
    asked = {type(f).__name__ for r in plan.rules.values() for f in getattr(r, "features", ())}
    assert asked >= {"Trend", "Anomaly", "Breach", "Pace"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([a-z-]+)", PAGE, re.MULTILINE))))
def test_the_commands_of_the_page_are_targets_of_the_makefile(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
