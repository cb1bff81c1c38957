"""The bakery of docs/rules/objectives.md is a valid rule set with the scores that the page says."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from agent.core.evaluate.objectives import Score, scores
from agent.language.load import check
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "rules" / "objectives.md").read_text()


def _table(page: str, head: str) -> list[list[str]]:
    """The rows of the table that begins with this head."""
    body = page[page.index(head) :].splitlines()[2:]
    rows = []
    for line in body:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_scores_of_the_bakery_are_what_the_page_says(tmp_path: Path) -> None:
    block = re.search(
        r"^cat > bakery/bakery.yaml <<'END'\n(.*?)^END$", PAGE, re.DOTALL | re.MULTILINE
    )
    assert block is not None
    (tmp_path / "bakery.yaml").write_text(block[1])
    plan, problems = check(tmp_path)
    assert plan is not None
    assert problems == []
    assert plan.objectives_of("loaves") == ("trade",)
    assert plan.objectives["quality"].kpis == {"freshness": 0.75, "stars": 0.25}
    assert plan.objectives["plan"].team == "management"

    attainments = defaultdict(list)
    for kpi, _, attainment in _table(PAGE, "| KPI | series | attainment |"):
        attainments[kpi].append(float(attainment))
    by_objective = scores(plan.objectives, attainments)
    shown = _table(PAGE, "| objective | how | score | state |")
    assert {name for name, *_ in shown} == set(plan.objectives)
    for name, _, score, state in shown:
        assert by_objective[name] == pytest.approx(float(score))
        assert Score(by_objective[name]).state.value == state
