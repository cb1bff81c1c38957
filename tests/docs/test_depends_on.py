"""The examples of docs/rules/depends_on.md are so."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT
from tests.docs.shell import walk


def test_the_examples_of_the_page_are_so(tmp_path: Path) -> None:
    assert walk((ROOT / "docs" / "rules" / "depends_on.md").read_text(), tmp_path) == 1
