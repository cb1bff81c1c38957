"""Which series moved a KPI, and by how much: two windows of it, compared series by series.

A total is said only of KPIs whose value over all series is the sum of the series' values: those
that are additive, as counts and sums are. Of an average or a percentile the series' own changes are
ranked, and nothing is added up.
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
"""Series that are named; the others are one row."""
TRIES = 16
_ADDITIVE = (PartialKind.COUNT, PartialKind.SUM)


@dataclass(frozen=True, slots=True)
class Change:
    """How one series changed. `share` is its part of the total's change; None where that is none,
    or where there is no total. A series without a window is None there."""

    dimensions: Dimensions
    before: float | None
    after: float | None
    difference: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """The changes, the largest first, from the windows that end at one instant to those that end
    at another; `total` None: the KPI is not additive. `others`: how many are not named, and their
    difference."""

    before_ms: int
    after_ms: int
    changes: tuple[Change, ...]
    total: tuple[float, float] | None
    others: tuple[int, float]


def contribution(
    plan: Plan, kpi: Kpi, windows: Sequence[PastWindow], back_ms: int
) -> Contribution | None:
    """What changed from `back_ms` before the newest windows until them; from the oldest ones, where
    so much is not known. None: there is nothing to compare."""
    ends = sorted({window.end_ms for window in windows if window.value is not None})
    if len(ends) < 2:
        return None
    after_ms = ends[-1]
    earlier = [end for end in ends if end <= after_ms - kpi.window.span_ms]
    if not earlier:
        return None
    before_ms = min(earlier, key=lambda end: abs(end - (after_ms - back_ms)))
    before, after = _values(windows, before_ms), _values(windows, after_ms)
    adds_up = is_additive(plan, kpi.name)
    total = (sum(before.values()), sum(after.values())) if adds_up else None
    moved = total[1] - total[0] if total else 0.0
    changes = []
    for dimensions in before.keys() | after.keys():
        was, now = before.get(dimensions), after.get(dimensions)
        if total is None and (was is None or now is None):
            continue
        difference = (now or 0.0) - (was or 0.0)
        share = difference / moved if total and moved else None
        changes.append(Change(dimensions, was, now, difference, share))
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
    """Whether the KPI's expression of a sum is the sum of the expressions.

    Tried with numbers that have nothing in common: a quotient, a product, a constant, a limit or
    a rounding shows.
    """
    random = np.random.default_rng(1)
    some, more = random.uniform(0, 1000, (2, TRIES, len(columns)))
    rows = np.concatenate([some, more, some + more])
    table = pl.DataFrame(rows, schema=list(columns))
    value = kpi.value.cast(pl.Float64).alias("value")
    results = table.select(value)["value"].to_numpy().reshape(3, TRIES)
    return bool(np.allclose(results[0] + results[1], results[2], rtol=1e-9, atol=0))
