"""The pages of the kinds of rules: each fires when it says, shown by a rule test."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.shell import walk

DRAW = runpy.run_path(str(ROOT / "scripts" / "draw_rules.py"))
KINDS = DRAW["KINDS"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_of_the_page_fire_when_it_says(kind: str, tmp_path: Path) -> None:
    assert walk((ROOT / "docs" / "rules" / f"{kind}.md").read_text(), tmp_path) == 1


def test_the_pictures_are_what_the_script_draws() -> None:
    drawn = dict(DRAW["drawn"]())
    assert {file.stem for file in drawn} == set(KINDS)
    assert {file: file.read_text() for file in drawn} == drawn
    assert set((ROOT / "docs" / "images" / "rules").iterdir()) == set(drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_its_picture(kind: str) -> None:
    page = (ROOT / "docs" / "rules" / f"{kind}.md").read_text()
    assert f"](../images/rules/{kind}.svg)" in page
