"""Pictures of the documentation: small, each shown somewhere, and terminals with what pages say."""

from __future__ import annotations

import html
import re

import pytest

from tests.conftest import ROOT
from tests.docs.shell import lines, steps

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000


def test_pictures_are_small_and_shown() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = "".join(page.read_text() for page in pages)
    pictures = [file for file in IMAGES.rglob("*") if file.is_file()]
    assert len(pictures) > 20
    for picture in pictures:
        assert picture.stat().st_size < MOST_BYTES, picture
        assert f"images/{picture.relative_to(IMAGES)})" in shown, picture


@pytest.mark.parametrize(
    ("picture", "page"), [("check", "docs/tour.md"), ("explain", "docs/before-paging.md")]
)
def test_a_terminal_shows_what_the_page_says(picture: str, page: str) -> None:
    (step,) = (
        step
        for step in steps((ROOT / page).read_text())
        if f"kpi-agent {picture} " in step.command and len(lines(step.output)) > 12
    )
    svg = (IMAGES / f"{picture}.svg").read_text()
    drawn = {
        html.unescape(text).replace("\N{NO-BREAK SPACE}", " ").rstrip()
        for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    }
    assert set(lines(step.output)) - drawn - {""} == set()
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace(
        "https://example.org", ""
    )
