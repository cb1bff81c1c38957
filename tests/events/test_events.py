"""The contracts of docs/events.md give what DuckDB says of the same records."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from agent.cli import main
from tests.conftest import ROOT
from tests.events.samples import SHAPES, lines

PAGE = (ROOT / "docs" / "events.md").read_text()
BLOCK = re.compile(
    r"```json\n(?P<json>[^`]+)```\n<!-- events: (?P<name>\w+) -->\n```yaml\n(?P<yaml>.+?)```",
    re.DOTALL,
)
EXAMPLES = {example["name"]: example for example in BLOCK.finditer(PAGE)}
TRUTH = yaml.safe_load((Path(__file__).parent / "truth.yaml").read_text())

Values = dict[tuple[Any, ...], float]


def test_every_shape_of_the_page_is_compared() -> None:
    assert list(EXAMPLES) == list(SHAPES) == list(TRUTH)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_gives_what_duckdb_says(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = list(lines(name))
    windows, summary = replayed(name, records, tmp_path, capsys)
    expected = truth(name, records)
    assert windows.keys() == expected.keys()
    for kpi, values in expected.items():
        assert values and windows[kpi] == pytest.approx(values), kpi
    assert (summary["outcomes"]["rejected"], summary["outcomes"]["late"]) == (0, 0)


@pytest.mark.parametrize("name", [n for n in SHAPES if n not in ("headers", "github")])
def test_the_record_of_the_page_counts(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, summary = replayed(name, EXAMPLES[name]["json"].splitlines(), tmp_path, capsys)
    assert summary["outcomes"]["folded"] == 1


def replayed(
    name: str, records: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Values], dict[str, Any]]:
    """The windows by KPI, and the summary."""
    rules, events = folder / "rules.yaml", folder / "events.ndjson"
    rules.write_text("version: 1\ndefaults: {lateness: 1h}\n" + EXAMPLES[name]["yaml"])
    events.write_text("\n".join(records) + "\n")
    main(["replay", "--rules", str(rules), str(events), "--format", "json"])
    *windows, summary = map(json.loads, capsys.readouterr().out.splitlines())
    values: dict[str, Values] = {}
    for window in windows:
        if not window["events"]:  # of a series that has others
            continue
        start = datetime.fromisoformat(window["start"]).astimezone(UTC).replace(tzinfo=None)
        key = (start, *window["dimensions"].values())
        values.setdefault(window["kpi"], {})[key] = window["value"]
    return values, summary


def truth(name: str, records: Sequence[str]) -> dict[str, Values]:
    """What DuckDB says over the records, and over the elements of those that are arrays."""
    connection = duckdb.connect()
    connection.create_function("unscaled", _unscaled, ["VARCHAR"], "BIGINT")  # type: ignore[list-item, arg-type]
    for table, column, rows in (("records", "r", records), ("events", "e", list(_events(records)))):
        connection.execute(f"create table {table}({column} json)")
        connection.executemany(f"insert into {table} values (?)", [[row] for row in rows])
    return {
        kpi: {tuple(row[:-1]): row[-1] for row in connection.execute(sql).fetchall()}
        for kpi, sql in TRUTH[name].items()
    }


def _events(records: Sequence[str]) -> Iterator[str]:
    for record in map(json.loads, records):
        for event in record if isinstance(record, list) else [record]:
            if "data_base64" in event:
                event["data"] = json.loads(base64.b64decode(event["data_base64"]))
            yield json.dumps(event)


def _unscaled(text: str) -> int:
    return int.from_bytes(base64.b64decode(text), "big", signed=True)
