"""The pages of the kinds of rules: each fires when it says, shown by a rule test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.shell import walk

KINDS = ["absence", "burn-rate", "change", "forecast", "pace", "peers", "threshold", "trend"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_of_the_page_fire_when_it_says(kind: str, tmp_path: Path) -> None:
    assert walk((ROOT / "docs" / "rules" / f"{kind}.md").read_text(), tmp_path) == 1
