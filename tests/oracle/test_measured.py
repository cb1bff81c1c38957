"""The script that measures the kinds of rules, and the page that has its table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def rows(text: str) -> list[list[str]]:
    """The cells of the lines of Markdown tables."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


@pytest.fixture(scope="module")
def printed() -> str:
    command = [sys.executable, str(ROOT / "scripts" / "measure_rules.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_the_page_has_the_tables_of_the_script(printed: str) -> None:
    assert printed in (ROOT / "docs" / "rules" / "measured.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rule", "shape", "within"),
    [
        ("threshold", "spike", 0),
        ("change", "spike", 0),
        ("anomaly, season named", "spike", 0),
        ("threshold", "level", 3),
        ("trend", "level", 14),
        ("trend", "trend", 42),
        ("pace", "level", 21),
        ("forecast", "level", 14),
        ("burn rate", "level", 7),
        ("absence", "silence", 2),
        ("composite", "level", 3),
        ("target", "spike", 0),
        ("benchmark", "level", 7),
    ],
)
def test_a_kind_finds_most_of_what_it_is_for(
    printed: str, rule: str, shape: str, within: int
) -> None:
    head, *lines = rows(printed)
    (row,) = [row for row in lines if row[0].startswith(f"{rule}:")]
    delay, _, share = row[head.index(shape)].partition(" ")
    seen, _, of = share.strip("()").partition("/")
    assert float(delay) <= within
    assert int(seen) >= 0.7 * int(of)


def test_the_page_of_each_kind_has_its_rows(printed: str) -> None:
    pages = {
        page: page.read_text(encoding="utf-8")
        for page in (ROOT / "docs" / "rules").glob("*.md")
        if page.name != "measured.md"
    }
    for line in [line for line in printed.splitlines() if line.startswith("| ")]:
        assert any(line in text for text in pages.values()), line
