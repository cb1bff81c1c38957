"""The copy of the demo's rules is whole, and what it says to run works."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.parser import command_line
from agent.core.changes.diff import compare
from agent.core.changes.outline import outline
from agent.demo.shipped import COMPANY_RULES, RETAIL_RULES
from agent.language.load import load


@pytest.mark.parametrize(
    ("show", "rules"),
    [([], COMPANY_RULES), (["--retail"], RETAIL_RULES)],
    ids=["company", "retail"],
)
def test_a_copy_holds_the_same_rules_and_its_commands_work(
    show: list[str],
    rules: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", *show, "--copy", "mine"]) == 0
    monkeypatch.chdir("mine")
    head, change, *commands = capsys.readouterr().out.splitlines()
    assert head.startswith("mine/rules has the rules")
    assert change == "  cd mine"
    assert commands.pop().split() == ["kpi-agent", "demo", *show, "--rules", "rules"]
    _, parsers = command_line()
    for _, name, *words in map(str.split, commands):
        parsers[name].parse_args(words)
    # That the tests pass and the year is replayed, .ci/test-wheel.sh sees: it takes half a minute.
    assert main(["check"]) == 0
    assert not compare(outline(load(rules)), outline(load("rules")))
    for file in Path("rules").glob("*.yaml"):
        schema = file.read_text().splitlines()[0].partition("$schema=")[2]
        assert (Path("rules") / schema).is_file()


def test_a_copy_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "sales.yaml"
    mine.write_text("version: 1\n")
    assert main(["demo", "--copy", str(tmp_path)]) == 3
    assert "is not empty" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [mine]
    assert main(["demo", "--copy", str(mine)]) == 3
    assert f"{mine}: can't be written: File exists" in capsys.readouterr().err
