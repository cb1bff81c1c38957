"""What every window must say: DuckDB's answer to the KPIs' own SQL over the very same events.

A fast wrong answer counts as nothing: every benchmark holds each window against this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb

from agent.core.model.kpis import Kpi, PartialKind
from agent.core.model.plan import Plan
from benchmarks.workload import WINDOW_MS, Shape, write

Window = tuple[str, tuple[str | None, ...], int]
"""KPI, dimensions, start of the window in ms."""
Value = tuple[float | None, int]
"""The value, and the number of events."""

COLUMNS = {
    "type": "VARCHAR", "at": "BIGINT", "customer": "VARCHAR", "region": "VARCHAR",
    "channel": "VARCHAR", "employee": "VARCHAR", "amount": "DOUBLE", "response_seconds": "DOUBLE",
    "score": "BIGINT",
}  # fmt: skip
FLOAT_ERROR = 1e-9
QUANTILE_ERROR = 0.011
"""The sketch's stated relative error of 0.5 %, and DuckDB's own choice between two neighbours."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many windows were compared with the truth, and what was wrong with the first few."""

    windows: int
    wrong: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether all windows were there and right."""
        return self.windows > 0 and not self.wrong


def events(shape: Shape) -> duckdb.DuckDBPyConnection:
    """A database with the workload as table `events`."""
    base = duckdb.connect()
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    base.execute(
        f'CREATE TABLE events AS SELECT *, "at" - "at" % {WINDOW_MS} AS start FROM read_json('
        f"'{write(shape)}', format='newline_delimited', columns={{{columns}}})"
    )
    return base


def windows(shape: Shape, plan: Plan) -> dict[Window, Value]:
    """Every window of every KPI that holds events."""
    base = events(shape)
    by_window: dict[Window, Value] = {}
    for kpi in plan.kpis.values():
        groups = ", ".join(["start", *kpi.by])
        where = f"type = '{kpi.contract}'" + (f" AND ({kpi.where_sql})" if kpi.where_sql else "")
        rows = base.execute(
            f"SELECT {groups}, ({kpi.sql})::DOUBLE, count(*) FROM events WHERE {where} "
            f"GROUP BY {groups}"
        ).fetchall()
        for start, *dimensions, value, number in rows:
            by_window[kpi.name, tuple(dimensions), start] = (value, number)
    return by_window


def compare(
    plan: Plan, expected: Mapping[Window, Value], published: Iterable[dict[str, object]]
) -> Verdict:
    """Hold what `kpi-values` published (decoded records) against the truth.

    A repeated key counts once, if it says the same. A window of a series without any event in it
    is right when it says so.
    """
    by_window: dict[Window, Value] = {}
    wrong: list[str] = []
    for record in published:
        if record["kind"] != "window":
            continue
        window = _window(plan.kpis[str(record["kpi"])], record)
        told_value: Value = (record["value"], record["events"])  # type: ignore[assignment]
        if by_window.setdefault(window, told_value) != told_value:
            wrong.append(f"{window} told twice: {by_window[window]} and {told_value}")
    for window, (value, number) in by_window.items():
        truth = expected.get(window, (None if value is None else 0.0, 0))
        if number != truth[1] or not _equal(value, truth[0], _error(plan.kpis[window[0]])):
            wrong.append(f"{window} is {value} of {number}, in truth {truth[0]} of {truth[1]}")
    wrong += [f"{window} is missing" for window in expected if window not in by_window]
    return Verdict(len(expected), tuple(wrong))


def _window(kpi: Kpi, record: Mapping[str, object]) -> Window:
    from datetime import datetime

    dimensions: Mapping[str, str | None] = record["dimensions"]  # type: ignore[assignment]
    start = datetime.fromisoformat(str(record["start"]))
    return kpi.name, tuple(dimensions[name] for name in kpi.by), int(start.timestamp() * 1000)


def _error(kpi: Kpi) -> float:
    quantile = any(p.kind is PartialKind.QUANTILE for p in kpi.partials)
    return QUANTILE_ERROR if quantile else FLOAT_ERROR


def _equal(value: float | None, truth: float | None, error: float) -> bool:
    if value is None or truth is None:
        return value is truth
    return math.isclose(value, truth, rel_tol=error, abs_tol=1e-12)
