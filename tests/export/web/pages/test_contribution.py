"""Which series moved a KPI: sums add up, averages are only compared."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from agent.core.model.kpis import Kpi, Partial, PartialKind
from agent.core.model.results import PastWindow
from agent.export.web.pages.contribution import MOST_NAMED, contribution, is_additive
from tests.export.invented import FIVE_MINUTES, MINUTE_MS, kpi, plan

ORDERS = kpi("orders", "Orders", "orders", by=("region",))
COUNT, SUM = Partial(PartialKind.COUNT), Partial(PartialKind.SUM, pl.col("x"))
MEAN = Partial(PartialKind.MEAN, pl.col("x"))


@pytest.mark.parametrize(
    ("partials", "value", "expected"),
    [
        ((COUNT,), pl.col("a0"), True),
        ((COUNT, SUM), pl.col("a1") * 2 - pl.col("a0"), True),
        ((COUNT, SUM), pl.col("a1") / pl.col("a0"), False),
        ((COUNT, SUM), pl.col("a1") + 1, False),
        ((COUNT, SUM), pl.col("a1").round(), False),
        ((COUNT, MEAN), pl.col("a1"), False),
    ],
)
def test_sums_of_sums_are_additive_and_nothing_else(
    partials: tuple[Partial, ...], value: pl.Expr, expected: bool
) -> None:
    tested = replace(ORDERS, partials=partials, value=value)
    assert is_additive(plan([tested]), "orders") is expected


def test_a_kpi_over_kpis_is_additive_where_its_inputs_are() -> None:
    visits = kpi("visits", "Visits", None, by=("region",))
    both = kpi("both", "Both", None, by=("region",), inputs=("orders", "visits"))
    added = replace(both, value=pl.col("orders") + pl.col("visits"))
    divided = replace(both, value=pl.col("orders") / pl.col("visits"))
    assert is_additive(plan([ORDERS, visits, added]), "both")
    assert not is_additive(plan([ORDERS, visits, divided]), "both")


def windows(end_minute: int, **values: float | None) -> list[PastWindow]:
    return [PastWindow((name,), end_minute * MINUTE_MS, value) for name, value in values.items()]


def test_the_series_that_moved_most_come_first_with_their_part() -> None:
    past = windows(10, emea=100.0, amer=50.0) + windows(20, emea=40.0, amer=60.0, apac=10.0)
    moved = contribution(plan([ORDERS]), ORDERS, past, 10 * MINUTE_MS)
    assert moved is not None
    assert moved.total == (150.0, 110.0)
    parts = {c.dimensions[0]: (c.before, c.after, c.difference, c.share) for c in moved.changes}
    assert parts == {
        "emea": (100.0, 40.0, -60.0, 1.5),
        "amer": (50.0, 60.0, 10.0, -0.25),
        "apac": (None, 10.0, 10.0, -0.25),
    }
    assert moved.changes[0].dimensions == ("emea",)
    assert sum(c.share or 0 for c in moved.changes) == 1


def _mean(of: Kpi) -> Kpi:
    return replace(of, partials=(COUNT, MEAN), value=pl.col("a1"))


def test_averages_have_no_total_and_no_parts() -> None:
    mean = _mean(ORDERS)
    past = windows(10, emea=100.0, amer=50.0) + windows(20, emea=40.0, amer=60.0, apac=10.0)
    moved = contribution(plan([mean]), mean, past, 10 * MINUTE_MS)
    assert moved is not None
    assert moved.total is None
    assert [(c.dimensions[0], c.difference, c.share) for c in moved.changes] == [
        ("emea", -60.0, None), ("amer", 10.0, None),
    ]  # fmt: skip


def test_of_many_series_the_others_are_one_sum() -> None:
    names = [f"r{n:02}" for n in range(40)]
    past = windows(10, **dict.fromkeys(names, 0.0)) + windows(
        20, **{name: float(n) for n, name in enumerate(names)}
    )
    moved = contribution(plan([ORDERS]), ORDERS, past, 10 * MINUTE_MS)
    assert moved is not None
    assert len(moved.changes) == MOST_NAMED
    assert moved.others == (30, float(sum(range(30))))


def test_windows_that_overlap_are_not_compared() -> None:
    past = windows(10, emea=1.0) + windows(11, emea=2.0)
    assert FIVE_MINUTES.size_ms > MINUTE_MS
    assert contribution(plan([ORDERS]), ORDERS, past, MINUTE_MS) is None
