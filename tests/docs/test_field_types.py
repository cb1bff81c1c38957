"""The page of field types: its example loads, and its values are DuckDB's over the same records."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
import yaml

from agent.core.decode.decoder import Decoder
from agent.core.decode.field_values import shown
from agent.core.model.plan import Plan
from agent.language.compile.fields import scale_of
from agent.language.load import load
from agent.language.models.fields import FieldSpec
from agent.language.sql.compiler import SqlProblem, compile_computed, compile_value, compile_where
from agent.language.sql.types import sql_type
from agent.replay.runner import replay, sources
from tests.conftest import ROOT
from tests.core.batches import batch_of

PAGE = (ROOT / "docs" / "rules" / "fields.md").read_text()
RULES, OF_OTHERS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
EXPRESSIONS = [
    each
    for row in re.findall(r"^\| expression \| \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    for cell in re.findall(r"^\| (`.*?`) \|", row, re.MULTILINE)
    for each in re.findall(r"`([^`]+)`", cell)
]
CLOSED = 33 * 180
"""So many orders lie in the hours that have closed."""
NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_of_the_page_compiles(plan: Plan, expression: str) -> None:
    contract = plan.contracts["order.delivered"]
    fields = {f.name: sql_type(f.type, f.scale) for f in contract.fields}
    for attempt in (
        lambda: compile_where(expression, fields, contract.timezone),
        lambda: compile_value(f"count({expression})", fields, contract.timezone),
        lambda: compile_value(expression, fields, contract.timezone),
    ):
        try:
            attempt()
        except SqlProblem:
            continue
        return
    pytest.fail(f"{expression} does not compile")


def test_a_decimal_has_four_decimals_if_not_said() -> None:
    assert scale_of(FieldSpec.model_validate({"type": "decimal"})) == 4


def test_values_are_those_of_duckdb_over_the_same_records(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "orders.ndjson"
    rng = random.Random(7)
    with file.open("w") as out:
        for n in range(6000):
            out.write(json.dumps(_order(rng, n)) + "\n")
    replayed = replay(plan, sources(plan, [str(file)]), NOW_MS)
    got: dict[str, float] = {}
    for window in replayed.emitted.windows:
        got[window.kpi] = got.get(window.kpi, 0) + (window.value or 0) * (
            window.events if window.kpi == "in_time" else 1
        )
    db = duckdb.connect()
    db.execute("set TimeZone = 'Europe/Oslo'")
    db.execute(f"""
        create table orders as
        select replace(replace(shipping, '.', ''), ',', '.')::decimal(18, 2) as shipping,
            price::decimal(18, 2) as price, tags, country, date '1970-01-01' + due as due,
            to_timestamp(ordered_at) as ordered_at, delivered_at::timestamptz as delivered_at
        from read_json('{file}', columns={{"order": 'integer', price: 'varchar',
            shipping: 'varchar', tags: 'varchar[]', due: 'integer',
            ordered_at: 'bigint', delivered_at: 'varchar', country: 'varchar'}})
        where "order" < {CLOSED}
    """)
    expected = db.execute("""
        select sum(price + shipping)::double, count(*) filter (where isodow(ordered_at) >= 6),
            count(*) filter (where list_contains(tags, 'express')),
            count(*) filter (where delivered_at::date <= due),
            count(*) filter (where upper(trim(country)) = 'NO')
        from orders
    """).fetchone()
    assert expected is not None
    assert round(got["turnover"], 2) == expected[0]
    assert (got["weekend"], got["express"]) == expected[1:3]
    assert got["in_time"] == pytest.approx(expected[3])
    assert got["norwegian"] == expected[4] > 0


COMPUTED = re.findall(r"^\| `(\{.*as: .*\})` \| `(.*?)` `(.*?)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("field", "written", "made"), COMPUTED)
@pytest.mark.parametrize("is_in_header", [False, True])
def test_computed_values_are_those_of_the_page(
    field: str, written: str, made: str, is_in_header: bool, tmp_path: Path
) -> None:
    spec = yaml.safe_load(field) | {"path": {"header": "x"} if is_in_header else "x"}
    rules = {"e": {"topic": "t", "time": {"record": "timestamp"}, "fields": {"x": spec}}}
    kpis = {"n": {"from": "e", "value": "count(*)", "window": "1h"}}
    (tmp_path / "r.yaml").write_text(json.dumps({"version": 1, "events": rules, "kpis": kpis}))
    contract = load(tmp_path).contracts["e"]
    value = json.loads(written)
    records = batch_of("t", [json.dumps({"type": "e", "x": value}).encode()])
    text = value if isinstance(value, str) else written
    decoded = Decoder([contract]).decode(replace(records, headers={0: [("x", text.encode())]}))
    (of_field,) = contract.fields
    assert str(shown(of_field, decoded.tables["e"]["x"][0])) == made


def test_fields_computed_from_others_have_the_types_of_their_sql(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(OF_OTHERS)
    computed = load(tmp_path).contracts["order.paid"].computed
    types = {f.name: f.type for f in computed}
    expected = {"size": "string", "market": "string", "hour": "integer", "weekend": "boolean"}
    assert types == expected


def test_what_is_made_of_a_value_has_the_type_of_the_field() -> None:
    with pytest.raises(SqlProblem, match="the field is an integer, this is a float"):
        compile_computed("value / 100", "integer")
    with pytest.raises(SqlProblem, match="a decimal with more decimals"):
        compile_computed("value * 1.25", "decimal(2)")
    with pytest.raises(SqlProblem, match="looks at one value at a time"):
        compile_computed("sum(value)", "float")
    with pytest.raises(SqlProblem, match="other"):
        compile_computed("other", "string")


def _order(rng: random.Random, n: int) -> dict[str, object]:
    scanned = datetime(2025, 3, 29, tzinfo=UTC) + timedelta(seconds=20 * n)
    ordered = scanned - timedelta(seconds=rng.randrange(400_000))
    euros, cents = divmod(rng.randrange(1, 10_000_000), 100)
    amount = Decimal(rng.randrange(10_000_000)) / 100
    return {
        "type": "order.delivered",
        "order": n,
        "scanned": scanned.astimezone(ZoneInfo("Europe/Oslo")).strftime("%Y/%m/%d %H:%M"),
        "price": float(amount) if rng.random() < 0.5 else str(amount),
        "shipping": f"{euros:,}".replace(",", ".") + f",{cents:02d}",
        "ordered_at": int(ordered.timestamp()),
        "delivered_at": scanned.isoformat().replace("T", " "),
        "due": (scanned - datetime(1970, 1, 1, tzinfo=UTC)).days + rng.choice([-1, 0, 1]),
        "tags": rng.choice([[], ["express"], ["gift", "express"], ["gift"]]),
        "state": rng.choice(["delivered", "RETURNED"]),
        "country": rng.choice(["NO", "SE", " no", "se "]),
    }
