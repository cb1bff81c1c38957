"""Which series changed a KPI, and by how much: a comparison of two windows, series by series.

Only additive KPIs, such as counts and sums, have a total: their value over all series is the sum of
the series' values. For averages or percentiles, the series' own changes are ranked, without a
total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from agent.core.model.kpis import Dimensions, Kpi, PartialKind
from agent.core.model.plan import Plan
from agent.core.model.results import PastWindow

MOST_NAMED = 10
"""Series that are listed; the others are one row."""
TRIES = 16
_ADDITIVE = (PartialKind.COUNT, PartialKind.SUM)


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one series; `before` or `after` None: it has no window there. `share`: of the
    total's change; None if there is no total, or no change of it."""

    dimensions: Dimensions
    before: float | None
    after: float | None
    difference: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """The changes of series from the windows that end at `before_ms` to those that end at
    `after_ms`, the largest first. `total`: before and after; None: the KPI is not additive.
    `others`: how many series are not in `changes`, and the sum of their differences."""

    before_ms: int
    after_ms: int
    changes: tuple[Change, ...]
    total: tuple[float, float] | None
    others: tuple[int, float]


def contribution(
    plan: Plan, kpi: Kpi, windows: Sequence[PastWindow], back_ms: int
) -> Contribution | None:
    """The change from the windows `back_ms` ago, or the oldest known ones, to the newest. None:
    there is nothing to compare."""
    ends = sorted({window.end_ms for window in windows if window.value is not None})
    if len(ends) < 2:
        return None
    after_ms = ends[-1]
    earlier = [end for end in ends if end <= after_ms - kpi.window.span_ms]
    if not earlier:
        return None
    before_ms = min(earlier, key=lambda end: abs(end - (after_ms - back_ms)))
    before, after = _values(windows, before_ms), _values(windows, after_ms)
    totals = sum(before.values()), sum(after.values())
    total = totals if is_additive(plan, kpi.name) else None
    total_difference = total[1] - total[0] if total else 0.0
    changes = []
    for dimensions in before.keys() | after.keys():
        old, new = before.get(dimensions), after.get(dimensions)
        if total is None and (old is None or new is None):
            continue
        difference = (new or 0.0) - (old or 0.0)
        share = difference / total_difference if total and total_difference else None
        changes.append(Change(dimensions, old, new, difference, share))
    changes.sort(key=lambda change: (-abs(change.difference), str(change.dimensions)))
    rest = changes[MOST_NAMED:]
    others = len(rest), sum(change.difference for change in rest)
    return Contribution(before_ms, after_ms, tuple(changes[:MOST_NAMED]), total, others)


def _values(windows: Sequence[PastWindow], end_ms: int) -> Mapping[Dimensions, float]:
    return {w.dimensions: w.value for w in windows if w.end_ms == end_ms and w.value is not None}


def is_additive(plan: Plan, name: str) -> bool:
    """Whether a KPI's value over all its series is the sum of the series' values."""
    kpi = plan.kpis[name]
    if kpi.contract is None:
        same = all(plan.kpis[i].by == kpi.by and is_additive(plan, i) for i in kpi.inputs)
        return same and _is_linear(kpi, kpi.inputs)
    used = set(kpi.value.meta.root_names())
    columns = [f"a{number}" for number in range(len(kpi.partials))]
    kinds = [p.kind for column, p in zip(columns, kpi.partials, strict=True) if column in used]
    return all(kind in _ADDITIVE for kind in kinds) and _is_linear(kpi, tuple(columns))


def _is_linear(kpi: Kpi, columns: Sequence[str]) -> bool:
    """Whether the KPI's expression is additive: f(a + b) = f(a) + f(b).

    Tested with random numbers, for which a quotient, a product, a constant, a limit or a rounding
    is not.
    """
    random = np.random.default_rng(1)
    first, second = random.uniform(0, 1000, (2, TRIES, len(columns)))
    rows = np.concatenate([first, second, first + second])
    table = pl.DataFrame(rows, schema=list(columns))
    value = kpi.value.cast(pl.Float64).alias("value")
    results = table.select(value)["value"].to_numpy().reshape(3, TRIES)
    return bool(np.allclose(results[0] + results[1], results[2], rtol=1e-9, atol=0))
