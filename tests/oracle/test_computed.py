"""KPIs over computed fields equal DuckDB's answer to the same SQL over the same events."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agent.cli import main

COMPUTED = {
    "size": "case when x >= 50 then 'large' when x is null then 'none' else 'small' end",
    "hour": "hour(paid)",
    "weekend": "isodow(paid) > 5",
    "market": "s || '-' || coalesce(cast(n as varchar), '?')",
    "gross": "d * 2 + tax",
}
RULES = f"""
version: 1
defaults: {{timezone: Europe/Oslo}}
lookups:
  taxes: {{file: taxes.csv, key: s, columns: {{tax: float}}}}
events:
  order:
    topic: shop
    type_field: none
    time: at
    fields: {{x: float, paid: {{path: at, type: timestamp}}, s: string, n: integer, d: float}}
    lookup: {{tax: taxes.tax}}
    computed: {json.dumps(COMPUTED)}
kpis:
  by_size: {{from: order, value: count(*), by: [size], window: 6h}}
  by_hour: {{from: order, value: sum(gross), by: [hour, weekend], window: day}}
  by_market:
    {{from: order, where: weekend or size = 'large', value: max(x), by: [market], window: day}}
"""
TRUTH = {
    "by_size": "select time_bucket(interval 6 hours, paid, timestamptz '1970-01-01 00:00+00') w, "
    "size, count(*) from orders group by all",
    "by_hour": "select date_trunc('day', paid) w, hour, weekend, sum(gross) from orders "
    "group by all",
    "by_market": "select date_trunc('day', paid) w, market, max(x) from orders "
    "where weekend or size = 'large' group by all",
}


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    """Orders of a week in which clocks change."""
    rng, at = random.Random(3), datetime(2025, 3, 27, tzinfo=UTC)
    made = []
    for _ in range(900):
        at += timedelta(seconds=rng.randrange(1200))
        made.append(
            {
                "at": at.isoformat(),
                "x": rng.choice([None, rng.randrange(100)]),
                "s": rng.choice(["p", "q", None]),
                "n": rng.choice([None, 0, 1]),
                "d": rng.randrange(1000) / 8,
            }
        )
    return made


def test_values_by_computed_fields_are_those_of_duckdb(
    events: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, file = tmp_path / "rules", tmp_path / "orders.ndjson"
    rules.mkdir()
    (rules / "rules.yaml").write_text(RULES)
    (rules / "taxes.csv").write_text("s,tax\np,0.25\nq,0.5\n")
    file.write_text("\n".join(map(json.dumps, events)))
    assert main(["replay", "--rules", str(rules), str(file), "--format", "json"]) == 0
    got: dict[str, dict[Any, Any]] = {name: {} for name in TRUTH}
    for window in map(json.loads, capsys.readouterr().out.splitlines()):
        if window["kind"] == "window" and window["events"]:
            start = datetime.fromisoformat(window["start"])
            got[window["kpi"]][start, *window["dimensions"].values()] = window["value"]
    for name, expected in _truth(rules / "taxes.csv", file).items():
        assert got[name] == expected and len(expected) > 20, name


def _truth(taxes: Path, file: Path) -> dict[str, dict[Any, Any]]:
    db = duckdb.connect()
    db.execute("set timezone = 'Europe/Oslo'")
    computed = ", ".join(f"{sql} as {name}" for name, sql in COMPUTED.items())
    db.execute(f"""
        create table orders as select *, {computed} from (
            select (j->>'$.at')::timestamptz paid, (j->>'$.x')::double x, j->>'$.s' s,
                (j->>'$.n')::bigint n, (j->>'$.d')::double d
            from read_json_objects('{file}') t(j)
        ) left join read_csv('{taxes}') using (s)""")
    return {
        name: {(row[0].astimezone(UTC), *row[1:-1]): row[-1] for row in db.execute(sql).fetchall()}
        for name, sql in TRUTH.items()
    }
