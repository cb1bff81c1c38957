"""The page about trusting a rule before it pages does what it says."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT
from tests.docs.shell import walk

PAGE = (ROOT / "docs" / "before-paging.md").read_text()


def test_the_page_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    assert walk(PAGE, tmp_path) == 7
