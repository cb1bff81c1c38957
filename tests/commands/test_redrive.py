"""`kpi-agent redrive` says what became of dead letters, as the page shows it."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from agent.cli import main
from agent.commands.redrive import _lines
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
SECTION = PAGE.split("### Giving dead letters back\n")[1].split("\n## ")[0]
COUNTS = Counter({("parcels", "redriven", ""): 340, ("parcels", "rejected", "wrong_type"): 22})


def test_the_counts_are_those_of_the_page() -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    assert "".join(_lines(COUNTS, dry_run=False)) == shown
    assert "340 would be given back\n" in "".join(_lines(COUNTS, dry_run=True))
    assert list(_lines(Counter(), dry_run=False)) == ["no dead letters\n"]


def test_a_topic_that_no_contract_names_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redrive", "--rules", str(ROOT / "rules"), "--topic", "suport"]) == 1
    assert "no topic is called suport" in capsys.readouterr().err
