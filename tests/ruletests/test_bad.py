"""Broken files of rule tests, beside what `kpi-agent test` says of them."""

from pathlib import Path

import pytest

from agent.language.load import load
from agent.language.problems import render
from agent.ruletests.read import read_tests

BAD = Path(__file__).parent / "bad"


@pytest.mark.parametrize("name", sorted(file.stem for file in BAD.glob("*.yaml")))
def test_every_mistake_is_reported_with_its_place_and_a_way_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD)
    suite = read_tests(load("../rules"), [Path(f"{name}.yaml")])
    assert render(suite.problems) == (BAD / f"{name}.txt").read_text()


def test_a_folder_without_rule_tests_is_reported(tmp_path: Path) -> None:
    suite = read_tests(load(BAD.parent / "rules"), [tmp_path, tmp_path / "nowhere"])
    assert [p.message for p in suite.problems] == [
        "no rule test in this folder",
        "no such file or folder",
    ]


def test_a_test_with_a_mistake_does_not_run_and_the_others_of_its_file_do(tmp_path: Path) -> None:
    file = tmp_path / "a_test.yaml"
    file.write_text(
        "tests:\n"
        "  good: {series: {daily: 5}, expect: {windows: {daily: 5}}}\n"
        "  bad: {series: {dayly: 5}, expect: {windows: {daily: 5}}}\n"
    )
    suite = read_tests(load(BAD.parent / "rules"), [tmp_path])
    assert [case.name for case in suite.cases] == ["good"]
    assert [(p.line, p.message) for p in suite.problems] == [(3, "unknown KPI 'dayly'")]
