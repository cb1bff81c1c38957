"""The guides of CONTRIBUTING.md: short, and every file and name in them is there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
GUIDES = dict(re.findall(r"^## (Add .*?)\n(.*?)(?=^## )", PAGE, re.S | re.M))
NAMED_IN = {
    "PartialKind": "agent/core/model/kpis.py",
    "AggregateFunction": "agent/core/aggregate/aggregate_function.py",
    "AGGREGATES": "agent/language/sql/aggregates.py",
    "Split": "agent/language/sql/aggregates.py",
    "ThresholdRule": "agent/core/model/rules.py",
    "AbsenceRule": "agent/core/model/rules.py",
    "RuleSpec": "agent/language/models/rules.py",
    "Format": "agent/core/decode/format.py",
    "FORMATS": "agent/core/decode/formats.py",
}
"""Where the names are defined that the guides use."""


def test_there_is_a_guide_for_each_thing_that_people_add() -> None:
    assert len(GUIDES) == 4
    for title, text in GUIDES.items():
        assert len(text.strip().splitlines()) <= 10, title


@pytest.mark.parametrize("title", GUIDES)
def test_what_a_guide_names_is_there(title: str) -> None:
    quoted = re.findall(r"`([^`]+)`", GUIDES[title])
    paths = [name for name in quoted if "/" in name]
    names = [name for name in quoted if re.fullmatch(r"[A-Z]\w+", name)]
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
    for name in names:
        source = (ROOT / NAMED_IN[name]).read_text()
        assert re.search(rf"^(class {name}\b|{name}\b.*=)", source, re.M), name
