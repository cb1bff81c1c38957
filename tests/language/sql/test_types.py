"""Decimals, timestamps, dates and lists in SQL hold to DuckDB's answers."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pytest

from agent.core.aggregate.aggregator import Aggregator
from agent.core.model.field_types import FIELD_DTYPES
from agent.language.sql.compiler import SqlProblem, compile_value, compile_where
from agent.language.sql.types import scale_of

ZONES = ("UTC", "Europe/London", "Asia/Kolkata", "America/Sao_Paulo")
FIELDS: Mapping[str, str] = {
    "p": "decimal(2)",
    "q": "decimal(4)",
    "i": "integer",
    "x": "float",
    "a": "timestamp",
    "b": "timestamp",
    "d": "date",
    "e": "date",
    "s": "string",
    "tags": "string[]",
    "codes": "integer[]",
}
_SQL = {
    "decimal(2)": "DECIMAL(18, 2)", "decimal(4)": "DECIMAL(18, 4)", "integer": "BIGINT",
    "float": "DOUBLE", "timestamp": "TIMESTAMPTZ", "date": "DATE", "string": "VARCHAR",
    "string[]": "VARCHAR[]", "integer[]": "BIGINT[]",
}  # fmt: skip


def _time(rng: random.Random) -> datetime | None:
    days = rng.choice([0, 89, 90, 299, 300, 365, 366 * 20, -3000, rng.randrange(9000)])
    at = datetime(2003, 1, 1, tzinfo=UTC) + timedelta(days=days)
    at += timedelta(microseconds=rng.choice([0, 1, 999_999, rng.randrange(86_400_000_000)]))
    return None if rng.random() < 0.1 else at


def _value(rng: random.Random, type_: str) -> Any:
    if type_ in ("timestamp", "date"):
        at = _time(rng)
        return at if at is None or type_ == "timestamp" else at.date()
    if rng.random() < 0.1:
        return None
    if type_.startswith("decimal"):
        digits = rng.choice([0, 1, -1, 5, -5, 1234, 99_995, rng.randrange(-(10**9), 10**9)])
        return Decimal(digits).scaleb(-scale_of(type_))
    choices: Mapping[str, Sequence[Any]] = {
        "integer": [0, 1, -1, 7, 1000],
        "float": [0.0, 1.5, -2.25, 1e9],
        "string": ["", "12.345", "-0.5", "1,5", "abc", " 7 "],
        "string[]": [[], ["a"], ["a", "b", None], ["c"]],
        "integer[]": [[], [1], [1, 2, 3]],
    }
    return rng.choice(choices[type_])


RNG = random.Random(11)
ROWS = [tuple(_value(RNG, type_) for type_ in FIELDS.values()) for _ in range(300)]


def _held(type_: str, value: Any) -> Any:
    return int(value.scaleb(scale_of(type_))) if isinstance(value, Decimal) else value


FRAME = pl.DataFrame(
    [[_held(t, v) for t, v in zip(FIELDS.values(), row, strict=True)] for row in ROWS],
    schema={n: FIELD_DTYPES["decimal" if "(" in t else t] for n, t in FIELDS.items()},  # type: ignore[index]
    orient="row",
)


@pytest.fixture(scope="module")
def oracle() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    columns = ", ".join(f'"{name}" {_SQL[type_]}' for name, type_ in FIELDS.items())
    db.execute("set TimeZone = 'UTC'")
    db.execute(f"create table events (nr integer, {columns})")
    marks = ", ".join("?" * (len(FIELDS) + 1))
    db.executemany(f"insert into events values ({marks})", [(n, *r) for n, r in enumerate(ROWS)])
    return db


def plain(value: Any) -> Any:
    """Numbers as they are, times as microseconds."""
    if isinstance(value, timedelta):
        return value / timedelta(seconds=1)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def ours(expression: str, zone: str) -> list[Any]:
    partials, _ = compile_value(f"count({expression})", FIELDS, zone)
    argument = partials[1].argument
    assert argument is not None
    return FRAME.with_columns(__e=argument)["__e"].to_list()


def decided(expression: str, zone: str) -> list[Any]:
    return FRAME.with_columns(__e=compile_where(expression, FIELDS, zone))["__e"].to_list()


def theirs(db: duckdb.DuckDBPyConnection, expression: str, zone: str) -> list[Any]:
    db.execute(f"set TimeZone = '{zone}'")
    return [
        plain(v) for (v,) in db.execute(f"select {expression} from events order by nr").fetchall()
    ]


CONDITIONS = [
    *("p > 12.34", "p = 0.05", "p >= q", "p <> i", "p between -0.05 and 9.99"),
    *("p in (0.05, 1, q)", "p + q > i", "p * 1.1 > q", "p - q < 0.0001", "p * q >= 0", "-p > 0"),
    *("abs(p) > 5", "p % 2 = 1", "p * i > 3.5", "p / 3 > 1.0", "coalesce(p, 0) >= 0.01"),
    *("nullif(p, 0.05) is null", "case when i > 0 then p else q end > 1", "greatest(p, q) > 1"),
    *("least(p, 0.5, i) < 0", "round(p, 1) = 0.1", "round(q, -1) > 10", "round(q, 2) = q"),
    *("p > x", "cast(p as double) > 0.05", "cast(q as bigint) = 10"),
    *("cast(i as decimal(18, 2)) = p", "cast(q as decimal(18, 2)) = p"),
    *("cast(x as decimal(18, 4)) = q", "floor(p) > 3", "sqrt(abs(p)) > 1", "p is null"),
    *("sign(p) = 1", "a > '2003-04-01'", "a >= '2003-04-01 10:30'"),
    *("a < timestamptz '2004-01-01 00:00:00+02'", "a between '2003-01-01' and '2003-12-31'"),
    *("a < b", "a > d", "d >= '2003-04-01'", "d = a::date", "d > date '2003-10-27'"),
    *("a in ('2003-01-01', b)", "coalesce(a, b) > '2004-01-01'", "epoch(a - b) > 3600"),
    *("a - b > interval 2 days", "b - a <= interval '36' hour", "a + interval 1 day > b"),
    *("a - interval 1 month < b", "d + interval 2 week > a", "d + 3 > e"),
    *("a + interval 90 minutes > b", "interval 1 year + a > b", "d - 1 < e"),
    *("date_trunc('day', a) = d", "date_trunc('week', d) = e", "cast(a as date) = d"),
    *("a::date = '2003-04-01'", "cast(d as timestamptz) > a", "last_day(d) = e"),
    *("last_day(a) > d", "dayname(a) = 'Monday'", "monthname(d) = 'April'"),
    *("strftime(a, '%Y-%m') = '2003-04'", "strftime(d, '%d/%m/%y') > '15'"),
    *("strftime(a, '%H:%M') < '12:00'", "list_contains(tags, 'a')", "contains(tags, 'b')"),
    *("list_contains(codes, 2)", "not contains(tags, 'a')", "list_contains(codes, i)"),
    *("contains(tags, s)", "contains(s, '5')", "tags is null"),
]  # fmt: skip
NUMBERS = [
    *("hour(a)", "minute(a)", "second(a)", "day(a)", "month(a)", "year(a)", "quarter(a)"),
    *("week(a)", "weekofyear(a)", "dayofweek(a)", "weekday(a)", "isodow(a)", "dayofyear(a)"),
    *("day(d)", "month(d)", "extract(dow from a)", "extract(hour from a)"),
    *("extract(week from d)", "extract(isoyear from d)", "extract(millisecond from a)"),
    *("extract(microsecond from a)", "date_part('isodow', d)", "date_part('hour', a)"),
    *("datepart('doy', a)", "extract(epoch from a)", "epoch(a)", "epoch(d)", "epoch_ms(a)"),
    *("epoch_us(a)", "epoch(a - b)", "d - e", "cast(a as date) - d", "len(tags)"),
    *("length(tags)", "array_length(codes)", "len(s)", "year(d) * 100 + month(d)"),
    *(f"date_diff('{unit}', a, b)" for unit in ("second", "minute", "hour", "day", "week")),
    *(f"date_diff('{unit}', a, b)" for unit in ("month", "quarter", "year")),
    *(f"datediff('{unit}', d, e)" for unit in ("day", "week", "month", "year")),
    *(f"epoch(date_trunc('{unit}', a))" for unit in ("second", "minute", "hour", "day", "week")),
    *(f"epoch(date_trunc('{unit}', a))" for unit in ("month", "quarter", "year")),
]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", CONDITIONS)
def test_a_condition_decides_as_in_duckdb(
    oracle: duckdb.DuckDBPyConnection, expression: str, zone: str
) -> None:
    assert decided(expression, zone) == theirs(oracle, expression, zone)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", NUMBERS)
def test_a_part_of_a_time_is_that_of_duckdb(
    oracle: duckdb.DuckDBPyConnection, expression: str, zone: str
) -> None:
    if expression == "epoch(a - b)":  # DuckDB counts days of 24 hours where the clocks change
        expression = "epoch(a) - epoch(b)"
    mine, expected = ours(expression, zone), theirs(oracle, expression, zone)
    for n, (a, b) in enumerate(zip(mine, expected, strict=True)):
        # Of so many rows, pytest.approx would take most of the time.
        same = a is b if b is None else math.isclose(a, b, rel_tol=1e-15, abs_tol=1e-6)
        assert same, (n, ROWS[n], a, b)


AGGREGATES = [
    *("sum(p)", "sum(q)", "sum(p * q)", "sum(p * i)", "sum(p + q - i)", "avg(p)", "min(p)"),
    *("max(q)", "sum(p) - sum(q)", "sum(p) / count(p)", "sum(p) / sum(q)", "sum(p) * 1.1"),
    *("round(sum(p), 1)", "count(distinct p)", "sum(p) filter (where p > 0.05)", "stddev(p)"),
    *("median(p) filter (where i > 0)", "sum(round(p, 1))", "coalesce(sum(p), 0)"),
    *("sum(case when i > 0 then p end)", "sum(distinct p)", "arg_min(p, q)"),
    *("sum(cast(x as decimal(18, 2)))", "-sum(p)", "abs(min(p))", "avg(epoch(a) - epoch(b))"),
    *("max(epoch(a))", "epoch(max(a))", "epoch(max(a)) - epoch(min(b))", "max(d) - min(d)"),
    *("count(distinct a)", "count(distinct cast(a as date))", "count(distinct d)"),
    *("count(tags)", "count_if(hour(a) < 12)", "avg(len(tags))", "sum(len(codes))"),
    "epoch(min(d))",
]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES[:2])
@pytest.mark.parametrize("value", AGGREGATES)
def test_an_aggregate_is_that_of_duckdb(
    oracle: duckdb.DuckDBPyConnection, value: str, zone: str
) -> None:
    partials, made = compile_value(value, FIELDS, zone)
    kpi: Any = SimpleNamespace(partials=partials, where=None)
    aggregator = Aggregator(kpi)
    halves = []
    for part in (FRAME[::2], FRAME[1::2]):
        rows = part.with_row_index("_offset").with_columns(
            _time=pl.lit(0, pl.Int64), _offset=pl.col("_offset").cast(pl.Int64), k=pl.lit(1)
        )
        folded = aggregator.finish(aggregator.fold(rows.lazy(), ["k"]).collect())
        halves.append(tuple(folded.select(aggregator.columns()).row(0)))
    finals = aggregator.finals(aggregator.merge(*halves))
    schema = {f"a{n}": dtype for n, dtype in enumerate(aggregator.final_dtypes)}
    frame = pl.DataFrame([finals], schema=schema, orient="row")
    (got,) = frame.select(made.expr.alias("value"))["value"].to_list()
    oracle.execute(f"set TimeZone = '{zone}'")
    (expected,) = oracle.execute(f"select ({value})::double from events").fetchone() or ()
    exact = not any(word in value for word in ("avg", "/", "std", "1.1"))
    assert got == (expected if exact else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a > 5", "a timestamp and an integer don't go together"),
        ("a > 'soon'", "'soon' is not a timestamp"),
        ("a + b > '2003-01-01'", "a timestamp and a timestamp can't be added or subtracted"),
        ("hour(s) = 1", "a timestamp is needed here, this is a string"),
        ("extract(century from a) = 1", "a time has no part 'century'"),
        ("date_trunc('decade', a) > b", "'decade' is no unit of the calendar"),
        ("strftime(a, '%s') = '1'", "'%s' is not supported in a format"),
        ("cast(s as date) > d", "a string is not cast to a date"),
        ("cast(p as decimal(38, 2)) > 1", "a decimal has at most 18 digits"),
        ("list_contains(s, 'a')", "a list is needed here, this is a string"),
        ("list_contains(codes, 'a')", "a list of integers can't contain a string"),
        ("tags = codes", "a list of strings and a list of integers don't go together"),
        ("a > now()", "there is no function `now`"),
        ("a - b > interval 1 month", "a month is no number of seconds"),
    ],
)
def test_what_does_not_go_is_refused(expression: str, message: str) -> None:
    with pytest.raises(SqlProblem) as caught:
        compile_where(expression, FIELDS)
    assert caught.value.message.startswith(message)
    assert caught.value.end <= len(expression)


@pytest.mark.parametrize(
    "value", ["avg(a)", "max(a)", "sum(d)", "count(distinct tags)", "quantile(a, 0.5)"]
)
def test_an_aggregate_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(SqlProblem):
        compile_value(value, FIELDS)
