"""The page about rule tests does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.cli import main
from agent.ruletests.models import ExpectSpec, TestFileSpec, TestSpec
from tests.conftest import ROOT
from tests.docs.shell import walk

PAGE = (ROOT / "docs" / "testing.md").read_text()


def test_the_page_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    assert walk(PAGE, tmp_path) == 3


def test_the_examples_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [rules] = re.findall(r"cat > desk/support.yaml <<'END'\n(.*?)^END$", PAGE, re.DOTALL | re.M)
    (tmp_path / "support.yaml").write_text(rules)
    blocks = re.findall(r"^```yaml\n(tests:\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}_test.yaml").write_text(block)
    assert main(["test", str(tmp_path)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("model", [TestFileSpec, TestSpec, ExpectSpec])
def test_every_field_is_in_a_table(model: type[TestSpec]) -> None:
    shown = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert set(model.model_fields) <= shown
