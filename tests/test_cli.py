"""What the commands say of files, folders and ports that are not what they should be."""

from __future__ import annotations

import json
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


def test_the_first_rejected_records_are_reported_and_how_many_more_there_are(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sold.ndjson"
    file.write_text("rubbish\n" * 25)
    assert main(["replay", "--rules", str(rules), str(file)]) == 1
    output = capsys.readouterr().out.splitlines()
    assert len([line for line in output if "not_json: " in line]) == 20
    assert output[-1] == "  … and 5 more"


SPLIT = RULES.replace("{price: float}", "{price: float, till: string}").replace(
    "window:", "by: [till], window:"
)


@pytest.mark.parametrize(
    ("till", "shown"),
    [
        ("[/x]", "till=[/x]"),
        ("[red]a[/]", "till=[red]a[/]"),
        ("\x1b[31mred\x07", "till=\\x1b[31mred\\x07"),
        ("a\nb\tc", "till=a\\nb\\tc"),
        ("\x9b2Jx\u202e", "till=\\x9b2Jx\\u202e"),
    ],
)
def test_values_reach_the_terminal_as_text(
    till: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, file = tmp_path / "rules.yaml", tmp_path / "sold.ndjson"
    rules.write_text(f"{SPLIT}rules:\n  any: {{kpi: takings, when: value > 0, severity: info}}\n")
    events = [
        {"type": "sold", "at": f"2025-03-01T{hour}:00:00Z", "till": till, "price": 1}
        for hour in ("10", "12")
    ]
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    assert main(["replay", "--rules", str(rules), str(file)]) == 0
    assert main(["backtest", "--rules", str(rules), str(file)]) == 0
    assert main(["explain", "any", "--rules", str(rules), str(file)]) == 0
    table, _, lines = capsys.readouterr().out.partition(" to 2025")
    assert table.count(shown) == 3
    assert shown.removeprefix("till=") in lines
    assert all(character.isprintable() or character == "\n" for character in table + lines)


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
        assert f"'{port}' is not a port" in capsys.readouterr().err


def test_a_folder_that_can_not_be_written_to_is_named(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "taken"
    in_the_way.write_text("")
    command = ["generate", "prometheus", "--rules", str(rules), "--out", str(in_the_way)]
    assert main(command) == 3
    assert f"{in_the_way}: can't be written: Not a directory" in capsys.readouterr().err


def test_a_file_that_somebody_else_wrote_is_left_alone(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "kpi-agent.rules.yml"
    theirs.write_text("groups: []\n")
    command = ["generate", "prometheus", "--rules", str(rules), "--out", str(tmp_path)]
    assert main(command) == 3
    assert "move it away, or generate into another directory" in capsys.readouterr().err
    assert theirs.read_text() == "groups: []\n"


def test_a_schema_of_rules_that_are_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--rules", str(tmp_path / "nowhere")]) == 1
    output = capsys.readouterr()
    assert "nowhere: no such file or folder" in output.err
    assert output.out == ""


def test_a_backtest_over_nothing_says_so(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sold.ndjson"
    file.write_text("")
    assert main(["backtest", "--rules", str(rules), str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("no window closed")


def test_a_report_that_can_not_be_written_is_named(
    rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules_test.yaml").write_text(
        "version: 1\ntests: {sold: {series: {takings: 5x2}, expect: {windows: {takings: 5x2}}}}\n"
    )
    place = tmp_path / "nowhere" / "junit.xml"
    assert main(["test", str(rules.parent), "--junit", str(place)]) == 3
    assert f"{place}: can't be written: No such file or directory" in capsys.readouterr().err


SILENT = """
version: 1
events:
  order: {topic: shop, time: at, fields: {amount: float, shop: {path: store, type: string}}}
kpis:
  revenue: {from: order, value: sum(amount), by: [shop], window: 1m}
"""


def _replayed(tmp_path: Path, *events: dict[str, object], format: str = "table") -> int:
    (tmp_path / "r.yaml").write_text(SILENT)
    (tmp_path / "shop.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    rules, file = str(tmp_path / "r.yaml"), str(tmp_path / "shop.ndjson")
    return main(["replay", "--rules", rules, "--format", format, file])


def test_replay_names_the_fields_that_are_null_or_of_another_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"type": "order", "at": "2025-03-03T09:00:00Z", "shop": "a"}
    events = [event | {"amount": amount} for amount in (1, "2.50", 3)]
    assert _replayed(tmp_path, *events) == 0
    output = capsys.readouterr().out
    assert "order: shop is null in all 3 events: none has its path" in output
    assert "order: amount has another type in 1 of 3 events, and is null there" in output
    assert _replayed(tmp_path, *events, format="json") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["fields"] == {
        "order": {
            "shop": {"null": 3, "wrong_type": 0, "events": 3},
            "amount": {"null": 1, "wrong_type": 1, "events": 3},
        }
    }


@pytest.mark.parametrize(
    "event",
    [{"type": "order", "at": "2025"}, {"type": "order", "at": 20150}, {"type": "other"}],
    ids=["a year", "a count of days", "no event of any contract"],
)
def test_replay_fails_where_nothing_of_what_was_read_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], event: dict[str, object]
) -> None:
    assert _replayed(tmp_path, event, event) == 1
    assert "no event of any contract" in capsys.readouterr().err


TWO_TOPICS = """
version: 1
events:
  order: {topic: shop, time: at}
  visit: {topic: web, time: at}
kpis:
  orders: {from: order, value: count(*), window: 1m}
  visits: {from: visit, value: count(*), window: 1m}
"""


@pytest.mark.parametrize("bad", [b"[" * 100_000, b"\x1f\x8b\x08", b'{"type":"\xff"}', b"5"])
def test_a_record_that_no_parser_reads_is_of_some_topic_all_the_same(
    bad: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.yaml").write_text(TWO_TOPICS)
    file = tmp_path / "all.ndjson"
    file.write_bytes(b'{"type":"visit","at":"2025-03-03T09:00:00Z"}\n' + bad + b"\n")
    rules = str(tmp_path / "r.yaml")
    assert main(["replay", "--rules", rules, "--format", "json", str(file)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["outcomes"]["folded"] == summary["outcomes"]["rejected"] == 1
