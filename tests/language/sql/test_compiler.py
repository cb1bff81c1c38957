"""SQL expressions hold to DuckDB's answers, and what is wrong is refused where it stands."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pytest

from agent.core.aggregate.aggregator import Aggregator
from agent.core.model.events import FIELD_DTYPES, FieldType
from agent.core.model.kpis import Partial, PartialKind
from agent.core.model.windows import FixedWindow
from agent.language.sql.compiler import (
    SqlProblem,
    compile_condition,
    compile_derived,
    compile_value,
    compile_where,
)
from agent.language.sql.history_call import Subject
from agent.language.sql.history_functions import FeatureCollector

SUBJECT = Subject(FixedWindow(60_000, 60_000), (), False, "UTC", "higher", True)

FIELDS: Mapping[str, FieldType] = {
    "x": "float",
    "y": "float",
    "i": "integer",
    "j": "integer",
    "s": "string",
    "t": "string",
    "b": "boolean",
    "c": "boolean",
    "Region": "string",
}
_COLUMNS: Mapping[str, list[Any]] = {
    "x": [None, 0.0, -0.0, 1.5, -2.5, 2.5, 1e9, -0.285, 100.0, 3.0],
    "i": [None, 0, 1, -1, 7, -7, 3, 25, -15, 1_000_000],
    "s": [None, "", "a", "A", " ab ", "b%c", "émile", "apac", "a_b\nc", "12.5"],
    "b": [None, True, False],
}
_SQL_TYPES = {"string": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN"}


def _rows(n: int = 150) -> list[tuple[Any, ...]]:
    rng = random.Random(3)
    pools = {"float": "x", "integer": "i", "string": "s", "boolean": "b"}
    return [tuple(rng.choice(_COLUMNS[pools[t]]) for t in FIELDS.values()) for _ in range(n)]


ROWS = _rows()
FRAME = pl.DataFrame(ROWS, schema={f: FIELD_DTYPES[t] for f, t in FIELDS.items()}, orient="row")


@pytest.fixture(scope="module")
def oracle() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    columns = ", ".join(f'"{name}" {_SQL_TYPES[type_]}' for name, type_ in FIELDS.items())
    db.execute(f"create table events (nr integer, {columns})")
    marks = ", ".join("?" * (len(FIELDS) + 1))
    db.executemany(f"insert into events values ({marks})", [(n, *r) for n, r in enumerate(ROWS)])
    return db


def answers(db: duckdb.DuckDBPyConnection, expression: str) -> list[Any]:
    """DuckDB's values of a scalar expression, row by row, without NaN and infinity."""
    rows = db.execute(f"select {expression} from events order by nr").fetchall()
    return [clean(value) for (value,) in rows]


def clean(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    return float(value) if math.isfinite(value) else None


def ours(expression: str) -> list[Any]:
    partials, _ = compile_value(f"count({expression})", FIELDS)
    argument = partials[1].argument
    assert argument is not None
    return [clean(value) for value in FRAME.with_columns(__e=argument)["__e"].to_list()]


def same(mine: Sequence[Any], theirs: Sequence[Any]) -> None:
    for n, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if isinstance(b, float):
            # Of so many rows, pytest.approx would take most of the time.
            close = a is not None and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
            assert close, (n, a, b, ROWS[n])
        else:
            assert a == b, (n, a, b, ROWS[n])


NUMBERS = [
    *("x + y", "x - y * 2", "i + j", "i * j - 3", "i - x", "-i", "-x", "-(-5)", "+x", "1e3 + i"),
    *("x / 2", "i / 2", "1 / 3", "i / nullif(j, 0)", "x / y", "i % 3", "i % 4"),
    *("x % 2.5", "i % -3", "-i % 3", "i % 2 * 3", "i - j + 2", "2 * i % 3", "mod(i, 3)"),
    *("abs(i)", "abs(x)", "round(x)", "round(x, 2)", "round(x * 0.37, 1)", "round(x, -1)"),
    *("round(i)", "round(i, 2)", "round(i, -1)", "round(i, -3)", "floor(x)", "ceil(x)", "floor(i)"),
    *("ceiling(x / 7)", "sqrt(x)", "sqrt(abs(i))", "ln(x)", "ln(i)", "power(x, 2)", "power(i, 3)"),
    *("power(x, 0.5)", "pow(x, -1)", "greatest(x, y)", "greatest(i, x, 2)", "least(i, j)"),
    *("least(x, i)", "coalesce(x, y, 0)", "coalesce(i, 2.5)", "coalesce(null, i)", "ifnull(i, 0)"),
    *("nullif(i, 0)", "nullif(i, 1.0)", "nullif(x, i)", "nullif(x, null)", "length(s)", "len(t)"),
    *("case when b then 1 when c then 2.5 else i end", "case when x > 0 then i end"),
    *(
        "case i when 1 then 10 when 7 then 70 end",
        "case s when 'a' then 1 when t then 2 else 3 end",
    ),
    *("case x when null then 1 else 2 end", "if(b, x, y)", "if(x > 1, 1, 0)", "cast(i as double)"),
    *(
        "cast(x as bigint)",
        "x::bigint",
        "x::int",
        "b::int",
        "cast(b as bigint)",
        "cast(b as double)",
        "null + 1",
    ),
    *("cast(x / 2 as bigint)", "try_cast(s as double)", "case when null then 1 else 2 end"),
    *("9223372036854775807 - 1 + 0 * i", "x * 1e3", "i + cast(c as bigint)", "(i + 1) * (j - 1)"),
    *("sign(x)", "sign(i)", "trunc(x)", "trunc(i)", "exp(x / 100)", "exp(i % 5)"),
    *("log(nullif(abs(i), 0))", "log10(nullif(abs(x), 0))", "log2(nullif(abs(i), 0))"),
    *("log(3, nullif(abs(i), 0))", "strpos(s, 'b')", "instr(s, t)", "position('c' in s)"),
    *("strpos(s, '')", "strpos('émile', 'le')", "try_cast(left(s, 2) as double)"),
]
CONDITIONS = [
    *("x > 1", "x >= i", "i = 7", "i <> j", "i != 1", "x == 2.5", "i = 1.0", "x < y", "i <= j"),
    *("s = 'a'", "s < t", "s >= 'a'", "s <> ''", "REGION = 'a'", '"Region" = s', "b = c", "b < c"),
    *("b and c", "b or c", "not b", "not b and c", "b or null", "b and null", "not (b or c)"),
    *("not x > 1", "not i = j", "x > 1 and y > 1 or b", "x > 1 or y > 1 and b", "x = null"),
    *("x is null", "s is not null", "b is true", "b is not true", "b is false", "(x > 1) is true"),
    *("(x > 1) is null", "i between 0 and 10", "x between i and 5", "x not between -1 and 1.5"),
    *("i between null and 3", "s between 'a' and 'b'", "i in (1, 7)", "i not in (1, 7, null)"),
    *("x in (1.5, 0)", "i in (1.0, 7)", "s in ('a', 'apac', t)", "s not in ('')", "b in (true)"),
    *("s like 'a%'", "s like '%b%c'", "s not like '_'", "s like ''", "s like '%'", "s like 'a.b'"),
    *(
        "s like 'b!%c' escape '!'",
        "s ilike 'A%'",
        "s ilike 'É%'",
        "s not ilike '%B%'",
        "s like '_'",
    ),
    *(
        "s not like 'b!%c' escape '!'",
        "starts_with(s, 'a')",
        "starts_with(s, t)",
        "contains(s, '')",
    ),
    *("contains(s, t)", "contains(s, 'b')", "x is distinct from y", "i is not distinct from j"),
    *(
        "lower(s) = 'a'",
        "coalesce(b, false)",
        "case when b then c else x > 1 end",
        "true",
        "i <> 0.5",
    ),
    *("nullif(s, '') is null", "coalesce(s, t, 'none') = 'none'", "greatest(x, y) > 1", "(b) = c"),
    *("length(s) > 2 and s is not null", "x / nullif(y, 0) > 1", "cast(i as varchar) = '7'"),
    *("cast(b as varchar) = 'true'", "s || t = 'aa'", "trim(s) = 'ab'", "-i > 3", "i % 2 = 1"),
    *(
        "null > 1",
        "null in (1)",
        "null like 'a'",
        "abs(null) > 1",
        "round(null) = 1",
        "null is null",
    ),
    *("nullif(null, 1) is null", "coalesce(null, null) is null", "null between 1 and 2"),
    *("case when b then null end is null", "greatest(null, i) = 7", "upper(null) = 'A'"),
    *("null || s = 'a'", "null is distinct from x", "i in (null, 7)", "null = null", "not null"),
    *("case null when 1 then b else c end", "length(null) = 1", "null % 2 = 1", "-i % 3 = -1"),
    *("c = b is true", "b is true = c", "x > 1 is null", "not b is null", "c = b is not null"),
    *("ends_with(s, 'c')", "ends_with(s, t)", "s ^@ 'a'", "regexp_matches(s, 'b.c')"),
    *("regexp_matches(s, '^a')", "regexp_matches(s, 'A', 'i')", "regexp_matches(s, 'b.c', 's')"),
    *(r"regexp_matches(s, '\d+\.\d')", r"regexp_matches(s, '^\w*$')", "regexp_matches(s, '')"),
    *("regexp_full_match(s, 'a|apac')", "regexp_full_match(s, '.*')", "regexp_matches(null, 'a')"),
    *("s in (left(t, 1), right(t, 2))", "regexp_full_match(s, 'A|B', 'i')"),
]
STRINGS = [
    *("lower(s)", "upper(s)", "trim(s)", "s || '-' || t", "coalesce(s, 'none')", "nullif(s, '')"),
    *("case when b then s else t end", "cast(i as varchar)", "cast(b as varchar)", "if(c, s, 'x')"),
    *("trim('\u00a0 a\t ')", "'it''s'", "cast(s as varchar)", "s"),
    *("trim(s, 'a')", "ltrim(s)", "rtrim(s)", "ltrim(s, 'ab')", "rtrim(s, 'c')", "trim(s, '')"),
    *("trim(both 'a' from s)", "concat(s, '-', t)", "concat(s, null)", "concat_ws('-', s, t)"),
    *("concat_ws('-', s, null, t)", "left(s, 2)", "left(s, -1)", "right(s, 2)", "right(s, -2)"),
    *("left(s, 0)", "right(s, 99)", "substring(s, 2)", "substring(s, 1, 2)", "substr(s, 0, 2)"),
    *("substring(s, -2)", "substring(s, -3, 2)", "substring(s, 99)", "substring(s from 2 for 1)"),
    *("substring(s, 0)", "substring(s, -99, 2)", "substring(s, 2, 0)", "substring('émile', 2, 3)"),
    *("split_part(s, 'b', 1)", "split_part(s, '%', 2)", "split_part(s, 'a', -1)"),
    *("split_part(s, '-', 0)", "split_part(s, '', 2)", "split_part(s, 'b', 9)"),
    *(
        "replace(s, 'a', 'xy')",
        "replace(s, 'b%', '$1')",
        "replace(s, '', 'x')",
        "replace(s, 'a', t)",
    ),
    *("replace(s, 'a', '')", "regexp_extract(s, '[a-z]+')", "regexp_extract(s, '(b)(%)?', 2)"),
    *(
        "regexp_extract(s, 'x')",
        "regexp_extract(s, 'A', 0, 'i')",
        r"regexp_extract(s, '(\d+)\.', 1)",
    ),
    *("regexp_replace(s, 'a', 'x')", "regexp_replace(s, 'a*', 'x', 'g')"),
    *(r"regexp_replace(s, '(.)(.)', '\2\1', 'g')", r"regexp_replace(s, 'a', '[\0$1]')"),
    "regexp_replace(s, 'A', '', 'gi')",
]


@pytest.mark.parametrize("expression", [*NUMBERS, *CONDITIONS, *STRINGS])
def test_scalar_expressions_answer_as_duckdb(
    oracle: duckdb.DuckDBPyConnection, expression: str
) -> None:
    same(ours(expression), answers(oracle, expression))


def test_a_sum_of_many_terms_is_translated_as_often_as_it_has_terms(
    oracle: duckdb.DuckDBPyConnection,
) -> None:
    expression = " - ".join(["i", *["j + x"] * 40])
    same(ours(expression), answers(oracle, expression))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_where_keeps_the_rows_that_duckdb_keeps(
    oracle: duckdb.DuckDBPyConnection, condition: str
) -> None:
    rows = oracle.execute(f"select nr from events where {condition} order by nr").fetchall()
    kept = FRAME.with_row_index("nr").filter(compile_where(condition, FIELDS))["nr"].to_list()
    assert kept == [nr for (nr,) in rows]


class Writer:
    """Random well-typed expressions, whose steps stay finite in DuckDB too."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def number(self, depth: int) -> str:
        if depth == 0:
            return self.rng.choice(["x", "y", "i", "j", "0", "2", "-3", "5e-1", "25e-1"])
        a, b = self.number(depth - 1), self.number(depth - 1)
        c, s = self.condition(depth - 1), self.string(depth - 1)
        return self.rng.choice([
            *(f"({a} + {b})", f"({a} - {b})", f"{a} / nullif({b}, 0)", f"abs({a})", f"-({a})"),
            *(f"case when {c} then {a} else {b} end", f"coalesce({a}, {b})", f"nullif({a}, {b})"),
            *(f"least({a}, {b})", f"greatest({a}, {b})", f"floor({a})", f"length({s})"),
            *(f"(({a}) % nullif({self.rng.choice(['i', '3', '-7'])}, 0))", f"sqrt(abs({a}))"),
        ])  # fmt: skip

    def condition(self, depth: int) -> str:
        if depth == 0:
            return self.rng.choice(["b", "c", "x is null", "s = 'a'", "i > 1", "null = x"])
        a, b, s = self.number(depth - 1), self.number(depth - 1), self.string(depth - 1)
        c, d = self.condition(depth - 1), self.condition(depth - 1)
        return self.rng.choice([
            *(f"({c} and {d})", f"({c} or {d})", f"not ({c})", f"({c}) is true", f"{a} <= {b}"),
            *(f"{a} is not null", f"{a} in ({b}, 1, null)", f"{s} like '%a%'", f"{a} <> {b}"),
            *(f"{a} not between {b} and 3", f"starts_with({s}, 'a')", f"({c}) is distinct from b"),
        ])  # fmt: skip

    def string(self, depth: int) -> str:
        if depth == 0:
            return self.rng.choice(["s", "t", "Region", "'a'", "''"])
        a, b = self.string(depth - 1), self.string(depth - 1)
        return self.rng.choice([
            *(f"lower({a})", f"({a} || {b})", f"coalesce({a}, {b})", f"nullif({a}, {b})"),
            f"case when {self.condition(depth - 1)} then {a} end",
        ])  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_expressions_answer_as_duckdb(oracle: duckdb.DuckDBPyConnection, seed: int) -> None:
    writer = Writer(seed)
    for n in range(25):
        write = (writer.number, writer.condition, writer.string)[n % 3]
        expression = write(1 + n % 3)
        try:
            same(ours(expression), answers(oracle, expression))
        except (AssertionError, SqlProblem) as problem:
            raise AssertionError(expression) from problem


@pytest.mark.parametrize(
    "expression",
    [
        *("x / 0", "i / 0", "i % 0", "x % 0", "1 % 0", "sqrt(-1)", "ln(0)", "ln(-1)"),
        *("power(10, 400)", "power(0, -1)", "9223372036854775807 + 1", "cast(1e300 as bigint)"),
        *("-9223372036854775807 * 2", "cast('abc' as double)", "cast('nan' as double)"),
        *("round(1e308, 15)", "power(-8, 0.5)", "exp(1000)", "log(0)", "log2(-1)", "log(1, 5)"),
    ],
)
def test_what_has_no_finite_answer_is_null(expression: str) -> None:
    assert set(ours(expression)) == {None}


VALUES = [
    *("count(*)", "count(x)", "count()", "sum(x)", "avg(i)", "min(x)", "max(i)", "stddev(x)"),
    *("stddev_samp(i)", "count_if(b)", "count_if(x > 1)", "count(distinct s)", "count(distinct b)"),
    *("count(distinct i)", "count(distinct x)", "sum(i) / count(*)", "round(avg(x), 2)"),
    *("sum(x) filter (where b)", "count(*) filter (where s = 'a')", "avg(x + i) filter (where c)"),
    *("count_if(b) filter (where c) / count(*)", "coalesce(sum(x) filter (where false), 0)"),
    *(
        "case when count(*) > 5 then avg(x) else 0 end",
        "max(x) - min(x)",
        "sum(case when b then 1 end)",
    ),
    *("count(*) % 7", "-count(i)", "greatest(sum(x), sum(i))", "sum(1)", "count(1)", "sum(x * i)"),
    *("100.0 * count_if(i between 0 and 3) / nullif(count(i), 0)", "sqrt(sum(x * x) / count(x))"),
    *("sum(x) filter (where null)", "count(distinct lower(s)) filter (where b or c)", "avg(x) * 2"),
    *("if(count(*) = 0, 1, 2)", "sum(length(s))", "count(s || t)", "min(abs(x)) + max(-i)"),
    *("median(x)", "median(i)", "quantile_cont(x, 0.9)", "quantile_cont(i + x, 0.33)"),
    *("quantile_disc(x, 0.4)", "variance(x)", "var_samp(i)", "var_pop(x)", "stddev_pop(i)"),
    *("sum(distinct x)", "sum(distinct i)", "avg(distinct x)", "avg(distinct i) filter (where b)"),
    *("approx_count_distinct(s)", "weighted_avg(x, abs(i))", "weighted_avg(i, x * x)"),
    "case when bool_or(b) then 1 else 0 end",
    *("if(bool_and(x > -5), 1, 2)", "if(bool_or(b) filter (where c) is null, 1, 2)"),
    *("median(x) - quantile_cont(x, 0.5)", "median(x) filter (where false)", "variance(x * i)"),
    *("cast(bool_or(b) as bigint) + var_pop(x)", "mode(i) filter (where i = 3)", "mode(5)"),
    *("arg_max(x, x)", "arg_min(i, i)", "arg_max(i * 2, i)", "min_by(x, abs(x))", "max_by(x, x)"),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_answer_as_duckdb(oracle: duckdb.DuckDBPyConnection, value: str) -> None:
    kept = "from events where i is not null group by all order by 1 nulls first"
    theirs = oracle.execute(f'select "Region", {value} {kept}').fetchall()
    partials, final = compile_value(value, FIELDS)
    kpi: Any = SimpleNamespace(partials=partials, where=compile_where("i is not null", FIELDS))
    aggregator = Aggregator(kpi)
    rows = FRAME.with_row_index("_offset").with_columns(_time=pl.lit(0, pl.Int64)).lazy()
    folded = aggregator.finish(aggregator.fold(rows, ["Region"]).collect()).sort("Region")
    finals = [aggregator.finals(row[1:]) for row in folded.rows()]
    schema = {f"a{n}": dtype for n, dtype in enumerate(aggregator.final_dtypes)}
    mine = pl.DataFrame(finals, schema=schema, orient="row").select(v=final.expr)
    assert mine["v"].dtype.is_float() == (final.type == "float")
    assert [row[0] for row in folded.rows()] == [region for region, _ in theirs]
    same(mine["v"].to_list(), [clean(v) if v is None else clean(float(v)) for _, v in theirs])


def kinds(value: str) -> list[PartialKind]:
    partials, _ = compile_value(value, FIELDS)
    return [partial.kind for partial in partials]


def test_the_first_partial_counts_every_event() -> None:
    partials, _ = compile_value("sum(x)", FIELDS)
    assert partials[0] == Partial(PartialKind.COUNT)
    assert kinds("count(*)") == [PartialKind.COUNT]


def test_equal_aggregates_share_a_partial() -> None:
    assert kinds("sum(x) / SUM( x ) + sum(X)") == [PartialKind.COUNT, PartialKind.SUM]
    assert kinds("sum(x) - sum(x) filter (where b)") == [
        *(PartialKind.COUNT, PartialKind.SUM, PartialKind.SUM)
    ]
    assert kinds("quantile(x, 0.5) / quantile(x, 0.9)") == [
        *(PartialKind.COUNT, PartialKind.QUANTILE, PartialKind.QUANTILE)
    ]


def test_retention_first_last_and_quantile_become_partials() -> None:
    value = "retention(s) + first(x) + last(i) + quantile(x, 0.95)"
    assert kinds(value) == [
        *(PartialKind.COUNT, PartialKind.RETENTION, PartialKind.FIRST, PartialKind.LAST),
        PartialKind.QUANTILE,
    ]
    partials, _ = compile_value(value, FIELDS)
    assert partials[4].q == 0.95


@pytest.mark.parametrize(
    ("value", "orders", "visits", "expected"),
    [
        ("orders / visits", 3.0, 4.0, 0.75),
        ("orders / visits", 3.0, 0.0, None),
        ("orders / visits", None, 4.0, None),
        ("coalesce(orders, 0) + visits", None, 4.0, 4.0),
        ("round(orders / visits, 1)", 1.0, 3.0, 0.3),
        ("orders * visits", 1e300, 1e300, None),
        ("1", 1.0, 1.0, 1.0),
    ],
)
def test_derived_values_are_arithmetic_over_inputs(
    value: str, orders: float | None, visits: float | None, expected: float | None
) -> None:
    inputs = pl.DataFrame(
        {"orders": [orders], "visits": [visits]},
        schema={"orders": pl.Float64, "visits": pl.Float64},
    )
    column = inputs.select(v=compile_derived(value, ["orders", "visits"]).expr)["v"]
    assert column.to_list() == [expected]


def test_conditions_are_null_without_a_value() -> None:
    rows = pl.DataFrame({"value": [700.0, 100.0, None], "events": [3, 3, 0]})
    columns = ["value", "events", "target"]
    condition = compile_condition("value > 600 and events >= 3", columns, FeatureCollector(SUBJECT))
    assert rows.select(v=condition)["v"].to_list() == [True, False, False]
    plain = compile_condition("value > 600", columns, FeatureCollector(SUBJECT))
    assert rows.select(v=plain)["v"].to_list() == [True, False, None]
