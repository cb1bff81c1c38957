"""Partials answer as DuckDB does, whichever way rows were batched and states were merged."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from agent.core.aggregate.aggregator import Aggregator, State
from agent.core.aggregate.columns import from_polars, to_scalars
from agent.core.aggregate.functions import FUNCTIONS
from agent.core.aggregate.rows import PartialRows
from agent.core.model.kpis import Partial, PartialKind

SCHEMA: dict[str, type[pl.DataType]] = {
    "_partition": pl.Int32,
    "_offset": pl.Int64,
    "_time": pl.Int64,
    "_slice": pl.Int64,
    "region": pl.String,
    "x": pl.Float64,
    "n": pl.Int64,
    "who": pl.String,
    "ok": pl.Boolean,
}
KEYS = ["region"]
X, N, WHO, OK = (pl.col(name) for name in ("x", "n", "who", "ok"))

RANKED_BY = (PartialKind.ARG_MIN, PartialKind.ARG_MAX)


def of(kind: PartialKind, argument: pl.Expr, *filters: pl.Expr, **others: Any) -> Partial:
    """A partial, ranked by the other number where it ranks."""
    if kind in RANKED_BY:
        others |= {"order": X if argument is N else N * N, "whole_order": argument is not N}
    return Partial(kind, argument, *filters, **others)


PARTIALS = (
    Partial(PartialKind.COUNT),
    *(of(kind, X, q=0.9) for kind in PartialKind),
    *(of(kind, N, OK, q=0.25) for kind in PartialKind),
    *(of(kind, N, whole=True) for kind in PartialKind),
    Partial(PartialKind.COUNT, None, OK),
    Partial(PartialKind.DISTINCT, WHO, OK),
    Partial(PartialKind.DISTINCT, OK),
    Partial(PartialKind.RETENTION, WHO),
)


def aggregator(*partials: Partial, where: pl.Expr | None = None) -> Aggregator:
    kpi: Any = SimpleNamespace(partials=partials or PARTIALS, where=where)
    return Aggregator(kpi)


def events(count: int, seed: int) -> list[tuple[Any, ...]]:
    rng = random.Random(seed)
    return [
        (
            rng.randrange(2),
            offset,
            rng.randrange(20) * 1000,
            0,
            rng.choice(["emea", "apac", None]),
            rng.choice([None, 0.0, -0.0, rng.gauss(0, 50), float(rng.randrange(-5, 5))]),
            rng.choice([None, 0, rng.randrange(-100, 100)]),
            rng.choice([None, "", f"w{rng.randrange(30)}"]),
            rng.choice([None, True, False]),
        )
        for offset in range(count)
    ]


def table(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def folded(agg: Aggregator, rows: pl.DataFrame, keys: list[str] = KEYS) -> pl.DataFrame:
    return agg.finish(agg.fold(rows.lazy(), keys).collect())


def states(frame: pl.DataFrame) -> dict[Any, State]:
    return {row[0]: row[1:] for row in frame.rows()}


def same(a: State, b: State) -> None:
    """Equal, floats to rounding."""
    assert len(a) == len(b)
    for mine, theirs in zip(a, b, strict=True):
        if isinstance(theirs, float):
            assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-9)
        else:
            assert mine == theirs


# The DuckDB of each kind over a column; {f} is its FILTER.
ORACLE = {
    PartialKind.COUNT: "count({c}) {f}",
    PartialKind.SUM: "sum({c}) {f}",
    PartialKind.MEAN: "avg({c}) {f}",
    PartialKind.MIN: "min({c}) {f}",
    PartialKind.MAX: "max({c}) {f}",
    PartialKind.STDDEV: "stddev_samp({c}) {f}",
    PartialKind.FIRST: "arg_min({c}, (_time, _offset)) {f}",
    PartialKind.LAST: "arg_max({c}, (_time, _offset)) {f}",
    PartialKind.DISTINCT: "count(distinct {c}) {f}",
    PartialKind.QUANTILE: "quantile_disc({c}, {q}) {f}",
    PartialKind.QUANTILE_CONT: "quantile_cont({c}, {q}) {f}",
    PartialKind.STDDEV_POP: "stddev_pop({c}) {f}",
    PartialKind.VARIANCE: "var_samp({c}) {f}",
    PartialKind.VAR_POP: "var_pop({c}) {f}",
    PartialKind.SUM_DISTINCT: "sum(distinct {c}) {f}",
    PartialKind.MEAN_DISTINCT: "avg(distinct {c}) {f}",
    PartialKind.ARG_MIN: "arg_min({c}, ({o}, _time, _offset)) {n}",
    PartialKind.ARG_MAX: "arg_max({c}, ({o}, _time, _offset)) {n}",
    # Of equally many, DuckDB's mode is any.
    PartialKind.MODE: """list_min(list_transform(list_filter(map_entries(histogram({c}) {f}),
        lambda e: e.value = list_max(map_values(histogram({c}) {f}))), lambda e: e.key))""",
}


@pytest.fixture(scope="module")
def oracle() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    types = {"String": "VARCHAR", "Float64": "DOUBLE", "Boolean": "BOOLEAN"}
    columns = ", ".join(f"{c} {types.get(t.__name__, 'BIGINT')}" for c, t in SCHEMA.items())
    db.execute(f"create table events ({columns})")
    db.executemany(f"insert into events values ({', '.join('?' * len(SCHEMA))})", events(400, 1))
    return db


@pytest.mark.parametrize("kind", ORACLE)
@pytest.mark.parametrize("column", ["x", "n"])
@pytest.mark.parametrize("where", ["", "filter (where ok)", "filter (where n > 1000)"])
def test_every_kind_answers_as_duckdb(
    oracle: duckdb.DuckDBPyConnection, kind: PartialKind, column: str, where: str
) -> None:
    condition = {"": None, "filter (where ok)": OK}.get(where, N > 1000)
    order = {"x": "n * n", "n": "x"}[column]
    # DuckDB's arg_min looks at the row, of which `o` is only a part, for nulls.
    ranks = f"({order}) is not null" + where.replace("filter (where", " and (").rstrip(")")
    ranked = f"filter (where {ranks}{')' if where else ''})"
    sql = ORACLE[kind].format(c=column, f=where, q=0.75, o=order, n=ranked)
    theirs = dict(oracle.execute(f"select region, {sql} from events group by all").fetchall())
    number = {"x": X, "n": N}[column]
    partial = of(kind, number, *([] if condition is None else [condition]), q=0.75)
    partial = replace(partial, whole=column == "n")
    agg = aggregator(Partial(PartialKind.COUNT), partial)
    by_region = states(folded(agg, table(events(400, 1))))
    mine = {region: agg.finals(state)[1] for region, state in by_region.items()}
    assert mine.keys() == theirs.keys()
    for region, value in theirs.items():
        assert mine[region] == (value if value is None else pytest.approx(float(value), rel=1e-9))


@pytest.mark.parametrize(
    "kind",
    [
        *(PartialKind.SUM, PartialKind.MEAN, PartialKind.MIN, PartialKind.MAX),
        *(PartialKind.FIRST, PartialKind.LAST, PartialKind.SUM_DISTINCT, PartialKind.MODE),
        *(PartialKind.ARG_MIN, PartialKind.ARG_MAX),
    ],
)
@settings(max_examples=settings.default.max_examples // 3)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(-(2**63), 2**63 - 1),
            st.integers(2**53, 2**53 + 99),
            st.sampled_from([-(2**63), 2**63 - 1]),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 20),
)
def test_whole_numbers_keep_all_their_digits(
    kind: PartialKind, values: list[int | None], cut: int
) -> None:
    by = {"order": N // 2, "whole_order": True} if kind in RANKED_BY else {}
    agg = aggregator(Partial(PartialKind.COUNT), Partial(kind, N, whole=True, **by))
    rows = table([(0, i, i, 0, "emea", None, n, None, None) for i, n in enumerate(values)])
    known = [value for value in values if value is not None]
    ranked = sorted(known, key=lambda n: n // 2)  # stable: of equal keys, the earliest comes first
    expected = {
        PartialKind.SUM: sum(known),
        PartialKind.MEAN: sum(known) / max(len(known), 1),
        PartialKind.MIN: min(known, default=None),
        PartialKind.MAX: max(known, default=None),
        PartialKind.FIRST: known[0] if known else None,
        PartialKind.LAST: known[-1] if known else None,
        PartialKind.SUM_DISTINCT: sum(set(known)),
        PartialKind.MODE: min(known, key=lambda n: (-known.count(n), n), default=None),
        PartialKind.ARG_MIN: ranked[0] if ranked else None,
        PartialKind.ARG_MAX: ranked[-1] if ranked else None,
    }[kind]
    parts = [folded(agg, part) for part in (rows[:cut], rows[cut:]) if part.height]
    merged = agg.merge_all([states(part)["emea"] for part in parts])
    assert added(agg, parts)["emea"] == merged
    assert agg.finals(merged)[1] == (expected if known else None)


def test_where_leaves_out_what_is_not_true() -> None:
    rows = table(
        [(0, i, 0, 0, "emea", 1.0, i, "a", ok) for i, ok in enumerate([True, False, None])]
    )
    agg = aggregator(Partial(PartialKind.COUNT), where=OK)
    assert states(folded(agg, rows)) == {"emea": (1,)}


def added(agg: Aggregator, parts: list[pl.DataFrame]) -> dict[str, State]:
    """Tables by region merged as rows of columns, some one by one and some together."""
    rows, regions = PartialRows(agg), dict[str, int]()
    for some in (parts[:1], parts[1:3], parts[3:]):
        table = pl.concat(some) if some else pl.DataFrame(schema={"region": pl.String})
        for region in table["region"].to_list():
            if region not in regions:
                regions[region] = len(rows)
                rows.append(1)
        if some:
            where = np.array([regions[region] for region in table["region"].to_list()])
            rows.add(where, [from_polars(table[name]) for name in agg.columns()])
    columns = list(map(to_scalars, rows.columns, agg.nullable))
    return {region: tuple(column[row] for column in columns) for region, row in regions.items()}


batches = st.lists(st.integers(0, 60), min_size=0, max_size=5)


@settings(max_examples=settings.default.max_examples // 3)
@given(batches, st.integers(0, 10_000))
def test_any_batches_combine_to_the_same_state(cuts: list[int], seed: int) -> None:
    agg, rows = aggregator(), table(events(60, seed))
    whole = folded(agg, rows)
    bounds = [0, *sorted(cuts), 60]
    parts = [folded(agg, rows[a:b]) for a, b in pairwise(bounds) if a < b]
    random.Random(seed).shuffle(parts)
    assert whole.schema == {"region": pl.String} | dict(
        zip(agg.columns(), agg.dtypes(), strict=True)
    )
    combined, expected = added(agg, parts), states(whole)
    assert combined.keys() == expected.keys()
    for region, state in expected.items():
        same(combined[region], state)


@settings(max_examples=settings.default.max_examples // 3)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_any_tree_of_merges_gives_the_same_state(pieces: int, seed: int) -> None:
    rng, agg, rows = random.Random(seed), aggregator(), table(events(60, seed))
    cut = [rows.filter(pl.col("_offset") % pieces == piece) for piece in range(pieces)]
    whole = states(folded(agg, rows))
    for region, expected in whole.items():
        parts = [states(folded(agg, piece)).get(region, agg.empty()) for piece in cut]
        same(agg.merge_all(parts), expected)
        while len(parts) > 1:
            a, b = (parts.pop(rng.randrange(len(parts))) for _ in range(2))
            same(agg.merge(a, b), agg.merge(b, a))
            parts.append(agg.merge(a, b))
        same(parts[0], expected)
        same(agg.finals(parts[0], parts[0]), agg.finals(expected, expected))


def test_merging_with_nothing_changes_nothing() -> None:
    agg = aggregator()
    for state in states(folded(agg, table(events(80, 5)))).values():
        assert agg.merge(state, agg.empty()) == state
        assert agg.merge(agg.empty(), state) == state
    assert agg.merge(agg.empty(), agg.empty()) == agg.empty()
    assert agg.merge_all([]) == agg.merge_all([agg.empty()] * 3) == agg.empty()


def test_finals_of_nothing_count_zero_and_are_null_otherwise() -> None:
    agg = aggregator()
    counting = (PartialKind.COUNT, PartialKind.DISTINCT)
    expected = tuple(0 if p.kind in counting else None for p in PARTIALS)
    assert agg.finals(agg.empty(), None) == expected


def test_first_and_last_go_by_time_then_offset_and_leave_out_nulls() -> None:
    rows = table([
        (0, 1, 5000, 0, "emea", 10.0, None, None, True),
        (0, 2, 1000, 0, "emea", None, None, None, True),
        (0, 3, 2000, 0, "emea", 30.0, None, None, True),
        (0, 4, 2000, 0, "emea", 40.0, None, None, True),
        (0, 5, 5000, 0, "emea", 50.0, None, None, True),
        (0, 6, 9000, 0, "emea", 60.0, None, None, False),
    ])  # fmt: skip
    agg = aggregator(
        Partial(PartialKind.COUNT), Partial(PartialKind.FIRST, X), Partial(PartialKind.LAST, X, OK)
    )
    state = states(folded(agg, rows))["emea"]
    assert state == (6, 2000, 3, 30.0, 5000, 5, 50.0)
    assert agg.finals(state) == (6, 30.0, 50.0)


def test_retention_is_the_share_of_the_window_before() -> None:
    agg = aggregator(Partial(PartialKind.COUNT), Partial(PartialKind.RETENTION, WHO))

    def window(*who: str | None) -> State:
        rows = [(0, i, 0, 0, "emea", 0.0, 0, name, True) for i, name in enumerate(who)]
        return states(folded(agg, table(rows)))["emea"]

    before, now = window("a", "b", "c", "d", "a", None), window("b", "d", "x")
    assert agg.finals(now, before) == (3, 0.5)
    assert agg.finals(now, None) == (3, None)
    assert agg.finals(now, agg.empty()) == (3, None)
    assert agg.finals(agg.empty(), before) == (0, 0.0)


def test_stddev_keeps_its_digits_far_from_zero() -> None:
    agg = aggregator(Partial(PartialKind.COUNT), Partial(PartialKind.STDDEV, X))
    rows = table([(0, i, 0, 0, "emea", 1e9 + i % 2, 0, "", True) for i in range(1000)])
    first, second = (states(folded(agg, part))["emea"] for part in (rows[:300], rows[300:]))
    asked = "select stddev_samp(1e9 + i % 2) from range(1000) t(i)"
    ((expected,),) = duckdb.connect().execute(asked).fetchall()
    assert agg.finals(agg.merge(first, second))[1] == pytest.approx(expected, rel=1e-9)
    parts = [folded(agg, part) for part in (rows[:300], rows[300:])]
    assert agg.finals(added(agg, parts)["emea"])[1] == pytest.approx(expected, rel=1e-9)


def stddev(parts: list[list[float]]) -> float | None:
    """Of values in parts, merged as states; as columns it must be the same."""
    agg = aggregator(Partial(PartialKind.COUNT), Partial(PartialKind.STDDEV, X))
    tables = [
        folded(agg, table([(0, i, 0, 0, "emea", x, 0, "", True) for i, x in enumerate(part)]))
        for part in parts
    ]
    merged = agg.finals(agg.merge_all([states(part)["emea"] for part in tables]))[1]
    as_columns = agg.finals(added(agg, tables)["emea"])[1]
    assert as_columns == (None if merged is None else pytest.approx(merged, rel=1e-12, abs=0))
    return merged  # type: ignore[no-any-return]


@given(
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_equal_values_deviate_by_exactly_zero(value: float, counts: list[int]) -> None:
    assert stddev([[value] * count for count in counts]) == (0.0 if sum(counts) > 1 else None)


@pytest.mark.parametrize("zero", [0.0, 1e9, 1e15, -4e15])
def test_stddev_is_the_same_wherever_zero_is(zero: float) -> None:
    values = [float(i % 3) for i in range(1000)]
    far = [[zero + x for x in values[a : a + 70]] for a in range(0, 1000, 70)]
    assert stddev(far) == pytest.approx(float(np.std(values, ddof=1)), rel=1e-12)


def test_many_kpis_go_through_one_collect() -> None:
    rows = table(events(200, 9))
    several = [aggregator(Partial(PartialKind.COUNT), p) for p in PARTIALS]
    keys = ["_partition", "_slice", "region"]
    together = pl.collect_all([agg.fold(rows.lazy(), keys) for agg in several])
    for agg, frame in zip(several, together, strict=True):
        alone = folded(agg, rows, keys)
        assert_frame_equal(agg.finish(frame), alone, check_row_order=False, rel_tol=1e-12)


def test_merge_is_a_fold_over_slices() -> None:
    agg = aggregator(Partial(PartialKind.COUNT), Partial(PartialKind.SUM, X))
    assert reduce(agg.merge, [(1, 1, 2.5)] * 10, agg.empty()) == (10, 10, 25.0)


def test_every_kind_has_a_state_of_its_columns_width() -> None:
    assert set(FUNCTIONS) == set(PartialKind)
    for kind in FUNCTIONS.values():
        assert len(kind.empty) == len(kind.dtypes)
