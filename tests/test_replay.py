"""`kpi-agent replay` of files that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import main

RULES = """version: 1
events:
  sold: {topic: tills, time: at, fields: {price: float}}
kpis:
  takings: {from: sold, value: sum(price), window: 1h}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


def test_the_first_rejected_records_are_told_and_how_many_more_there_are(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sold.ndjson"
    file.write_text("rubbish\n" * 25)
    assert main(["replay", "--rules", str(rules), str(file)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len([line for line in told if "not_json: " in line]) == 20
    assert told[-1] == "  … and 5 more"


@pytest.mark.parametrize(
    ("named", "wrong"), [("nothing.ndjson", "no such file"), (".", "this is a folder")]
)
def test_what_is_no_file_is_said_to_be_none(
    named: str, wrong: str, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--rules", str(rules), str(tmp_path / named)]) == 3
    assert f"{wrong}. Name files of events, one JSON a line." in capsys.readouterr().err


@pytest.mark.parametrize("port", ["70000", "-1", "web", "9108.5"])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "demo"):
        with pytest.raises(SystemExit):
            main([command, f"--port={port}"])
        assert f"'{port}' is no port" in capsys.readouterr().err
