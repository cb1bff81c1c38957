"""What `kpi-agent test` prints, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent.cli import main

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of rules with tests of which three fail."""
    shutil.copy(HERE / "rules" / "desk.yaml", tmp_path)
    shutil.copy(HERE / "reports" / "desk_test.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["test", *arguments])
    return code, re.sub(r'("seconds": |time=")[\d.]+', r"\g<1>0", capsys.readouterr().out)


@pytest.mark.parametrize("format", ["human", "json", "github", "junit"])
def test_the_differences_stand_side_by_side_with_their_places(
    folder: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    code, shown = run(capsys, ".", "--format", format)
    assert code == 1
    assert shown == (HERE / "reports" / f"{format}.txt").read_text()


def test_all_pass_and_it_ends_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, ".", "--run", "all is")
    assert (code, shown) == (
        0,
        "desk_test.yaml\n  ✓ all is as expected\n1 test passed in 1 file\n",
    )


def test_a_file_may_be_named_and_a_pattern_may_be_of_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = run(capsys, "desk_test.yaml", "--run", "^desk_", "--format", "json")
    assert code == 1
    assert json.loads(shown.splitlines()[-1]) == {"kind": "summary", "tests": 4, "failed": 3}


def test_tests_may_lie_elsewhere_than_the_rules(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "desk_test.yaml").rename(folder / "elsewhere" / "desk_test.yaml")
    code, shown = run(capsys, "elsewhere", "--rules", ".", "--run", "all is")
    assert code == 0, shown


def test_no_test_is_called_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", ".", "--run", "nobody"]) == 2
    assert "none of 4 tests is called so" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["desk.yaml", "desk_test.yaml"])
def test_a_broken_file_ends_with_1_and_nothing_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    (folder / broken).write_text("kpis: [\n")
    code, shown = run(capsys, ".", "--format", "github")
    assert code == 1
    assert shown.startswith(f"::error file={broken},line=1,")


def test_junit_is_written_beside_what_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = run(capsys, ".", "--junit", "junit.xml")
    assert code == 1
    assert "≠" in shown
    suite = ElementTree.parse(folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "3")
    assert [case.get("name") for case in suite if case.find("failure") is None] == [
        "all is as expected"
    ]


def test_coverage_is_reported_and_may_be_demanded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (".", "--run", "all is", "--format", "json", "--coverage")
    code, shown = run(capsys, *arguments)
    coverage = json.loads(shown.splitlines()[-2])
    assert code == 0
    assert coverage["kind"] == "coverage"
    assert coverage["seen"] + len(coverage["unseen"]) == coverage["of"]
    assert coverage["percent"] == round(100 * coverage["seen"] / coverage["of"], 1)
    assert run(capsys, *arguments, "--fail-under", str(coverage["percent"] - 1))[0] == 0
    assert run(capsys, *arguments, "--fail-under", str(coverage["percent"] + 1))[0] == 1


@pytest.mark.parametrize("arguments", [["--run", "["], ["--fail-under", "101"]])
def test_a_wrong_option_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["test", *arguments])
    assert error.value.code == 2
