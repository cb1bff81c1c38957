"""The pages that have a picture: what their rule tests say is so, and what the picture shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.draw_rules import PICTURES, drawn
from tests.conftest import ROOT
from tests.docs.shell import walk

PAGES = ROOT / "docs" / "rules"


@pytest.mark.parametrize("name", PICTURES)
def test_the_examples_of_the_page_are_so(name: str, tmp_path: Path) -> None:
    page = (PAGES / f"{name}.md").read_text()
    assert walk(page, tmp_path) == page.count("<!-- runs") > 0


def test_the_pictures_are_what_the_script_draws() -> None:
    pictures = dict(drawn())
    assert {file.stem for file in pictures} == set(PICTURES)
    assert {file: file.read_text() for file in pictures} == pictures
    assert set((ROOT / "docs" / "images" / "rules").iterdir()) == set(pictures)


@pytest.mark.parametrize("name", PICTURES)
def test_the_page_shows_its_picture(name: str) -> None:
    assert f"](../images/rules/{name}.svg)" in (PAGES / f"{name}.md").read_text()
