"""Events joined with lookups, in any batching, compared with DuckDB's joins of the same records."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.core.model.plan import Plan
from agent.core.pipeline import Pipeline
from agent.language.load import load
from tests.core.batches import batch_of

RULES = """
version: 1
lookups:
  rates:
    file: rates.csv
    key: currency
    from: valid_from
    until: valid_until
    columns: {rate: float, region: string}
  shops: {file: shops.ndjson, key: [chain, number], columns: {number: integer, open: boolean}}
events:
  order:
    topic: shop
    type_field: none
    time: paid_at
    lateness: 3650d
    max_past: 36500d
    fields: {amount: integer, currency: string, chain: string, shop: integer}
    lookup:
      rate: rates.rate
      region: {column: rates.region, key: currency}
      is_open: {column: shops.open, key: [chain, shop]}
kpis:
  revenue: {from: order, value: sum(amount * rate), by: [region], window: day}
  priced: {from: order, value: count(rate), where: is_open, by: [region, chain], window: day}
"""
START_MS = 1_740_787_200_000  # 2025-03-01
DAY_MS = 86_400_000
CURRENCIES = ("EUR", "USD", "a,b", "", None)


@st.composite
def rates(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows whose validity does not overlap: days, with gaps, open ends, and open beginnings."""
    rows = []
    for currency in draw(st.sets(st.sampled_from([c for c in CURRENCIES if c]))):
        days = sorted(draw(st.sets(st.integers(0, 6), max_size=4)))
        for i, day in enumerate(days):
            end = days[i + 1] if i + 1 < len(days) else 8
            until = draw(st.sampled_from([None, end, *range(day + 1, end + 1)]))
            rows.append(
                {
                    "currency": currency,
                    "valid_from": "" if i == 0 and draw(st.booleans()) else iso(day * DAY_MS),
                    "valid_until": "" if until is None else iso(until * DAY_MS),
                    "rate": draw(st.sampled_from(["", "0.5", "2", "1e1"])),
                    "region": draw(st.sampled_from(["north", "south", ""])),
                }
            )
    return draw(st.permutations(rows))


SHOPS = st.dictionaries(
    st.tuples(st.sampled_from("xy"), st.integers(1, 2)), st.sampled_from([True, False, None])
)

ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "paid_at": st.integers(0, 7 * 24).map(lambda hour: iso(hour * 3_600_000)),
            "amount": st.integers(-3, 9),
            "currency": st.sampled_from(CURRENCIES),
            "chain": st.sampled_from(["x", "y", None]),
            "shop": st.sampled_from([1, 2, None]),
        }
    ),
    min_size=1,
    max_size=40,
)


def iso(ms: int) -> str:
    return datetime.fromtimestamp((START_MS + ms) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rates(), SHOPS, ORDERS, st.integers(1, 40))
@example([], {}, [{"paid_at": iso(0), "amount": 1, "currency": "EUR", "chain": "x", "shop": 1}], 1)
def test_values_are_those_of_duckdbs_joins(
    tmp_path: Path,
    rows: list[dict[str, Any]],
    shops: dict[tuple[str, int], bool | None],
    orders: list[dict[str, Any]],
    size: int,
) -> None:
    write(tmp_path, rows, shops, orders)
    plan = load(tmp_path / "rules.yaml")
    windows, misses = folded(plan, orders, size)
    assert windows["revenue"] == truth(tmp_path, "sum(amount * rate)", ["region"], "true")
    assert windows["priced"] == truth(tmp_path, "count(rate)", ["region", "chain"], "is_open")
    assert misses == missing(tmp_path)


def write(
    folder: Path,
    rows: list[dict[str, Any]],
    shops: dict[tuple[str, int], bool | None],
    orders: list[dict[str, Any]],
) -> None:
    (folder / "rules.yaml").write_text(RULES)
    with (folder / "rates.csv").open("w", newline="") as file:
        names = ("region", "valid_until", "currency", "rate", "valid_from")
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    lines = [
        json.dumps({"chain": chain, "number": number, "open": is_open})
        for (chain, number), is_open in shops.items()
    ]
    (folder / "shops.ndjson").write_text("\n".join(lines))
    (folder / "orders.ndjson").write_text("\n".join(map(json.dumps, orders)))


def folded(
    plan: Plan, orders: list[dict[str, Any]], size: int
) -> tuple[dict[str, dict[Any, float | None]], dict[str, int]]:
    """The windows of a run in batches of some size, and the misses by lookup."""
    pipeline = Pipeline(plan, {"shop": 1}, 1)
    misses = dict.fromkeys(plan.lookups, 0)
    for first in range(0, len(orders), size):
        values = [json.dumps(order).encode() for order in orders[first : first + size]]
        added = pipeline.add(batch_of("shop", values, offset=first, at_ms=START_MS + 9 * DAY_MS))
        for name, number in added.fields["order"].misses.items():
            misses[name] += number
        pipeline.flush()
    windows: dict[str, dict[Any, float | None]] = {kpi: {} for kpi in plan.kpis}
    for window in pipeline.open_windows():
        if window.events:
            windows[window.kpi][(*window.dimensions, window.start_ms)] = window.value
    return windows, misses


def joined(folder: Path) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("set timezone = 'UTC'")
    text = "{'region': 'VARCHAR', 'valid_until': 'TIMESTAMPTZ', 'currency': 'VARCHAR', "
    text += "'rate': 'DOUBLE', 'valid_from': 'TIMESTAMPTZ'}"
    orders = "{paid_at: 'TIMESTAMPTZ', amount: 'BIGINT', currency: 'VARCHAR', chain: 'VARCHAR', "
    orders += "shop: 'BIGINT'}"
    shops = "{chain: 'VARCHAR', number: 'BIGINT', open: 'BOOLEAN'}"
    db.execute(
        f"""
        create table rates as select *, coalesce(valid_from, timestamptz '1900-01-01') as begins
        from read_csv(
            '{folder}/rates.csv', header = true, delim = ',', quote = '"', columns = {text});
        create table shops as from read_json(
            '{folder}/shops.ndjson', format = 'newline_delimited', columns = {shops});
        create table orders as from read_json(
            '{folder}/orders.ndjson', format = 'newline_delimited', columns = {orders});
        create table joined as
        select orders.*, r.begins is not null and (r.valid_until is null or paid_at < r.valid_until)
                as is_valid,
            case when is_valid then r.rate end as rate,
            case when is_valid then r.region end as region,
            shops.number is not null as has_shop, shops.open as is_open
        from orders asof left join rates r
            on orders.currency = r.currency and orders.paid_at >= r.begins
        left join shops on orders.chain = shops.chain and orders.shop = shops.number
        """
    )
    return db


def truth(folder: Path, value: str, by: list[str], where: str) -> dict[Any, float | None]:
    rows = joined(folder).execute(
        f"""select {", ".join(by)}, epoch_ms(date_trunc('day', paid_at)), {value}
        from joined where {where} group by all"""
    )
    return {row[:-1]: row[-1] for row in rows.fetchall()}


def missing(folder: Path) -> dict[str, int]:
    row = (
        joined(folder)
        .execute(
            """select count(*) filter (where currency is not null and not is_valid),
        count(*) filter (where chain is not null and shop is not null and not has_shop)
        from joined"""
        )
        .fetchone()
    )
    assert row is not None
    return {"rates": row[0], "shops": row[1]}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_row_of_the_events_own_time_counts_in_any_order(tmp_path: Path, size: int) -> None:
    rows = [
        {"currency": "USD", "valid_from": "2025-03-02", "valid_until": "", "rate": "2"},
        {"currency": "USD", "valid_from": "2025-03-01", "valid_until": "", "rate": "1"},
    ]
    orders = [
        {"paid_at": f"2025-03-0{day}T00:00:00Z", "amount": 1, "currency": "USD"}
        for day in (3, 1, 2)
    ]
    write(tmp_path, rows, {}, orders)
    windows, misses = folded(load(tmp_path / "rules.yaml"), orders, size)
    assert list(windows["revenue"].values()) == [1, 2, 2]
    assert misses == {"rates": 0, "shops": 0}
