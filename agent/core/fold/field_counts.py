"""Counts events with fields that have no value: absent, of another type, or without a lookup row.

An event counts even if an optional field has another type and is therefore null; only these counts
show that. A field that is null in every event usually has a wrong path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.batch import Rows
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi
from agent.core.model.lookups import joins_of, missed_column


@dataclass(slots=True)
class FieldCounts:
    """The number of valid events of one contract, and of their fields without a value.

    `nulls` counts nulls by field, `wrong_types` the nulls that replace a value of another type.
    `misses` counts, by lookup, the events whose key has no row; `failed_casts`, by field, the
    events for which a cast of the field in the SQL of some KPI failed.
    """

    events: int = 0
    nulls: Counter[str] = field(default_factory=Counter)
    wrong_types: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    failed_casts: Counter[str] = field(default_factory=Counter)

    def add(self, other: FieldCounts) -> None:
        """Add other counts of the same contract."""
        self.events += other.events
        self.nulls.update(other.nulls)
        self.wrong_types.update(other.wrong_types)
        self.misses.update(other.misses)
        self.failed_casts.update(other.failed_casts)

    @property
    def always_null(self) -> list[str]:
        """The fields that were null in every event."""
        return [name for name, number in self.nulls.items() if number == self.events]


def count_fields(
    contract: Contract,
    table: pl.DataFrame,
    wrong_types: Mapping[tuple[str, str], Rows],
    counted: npt.NDArray[np.bool_],
    casts: Mapping[str, pl.Expr],
) -> FieldCounts:
    """The counts of a contract's table. `counted`: which records of the batch to count (others were
    counted before a restart); `casts`: the result of `casts_of`."""
    if not counted.all():
        table = table.filter(pl.Series(counted[table["_row"].to_numpy()]))
    totals = FieldCounts(table.height)
    for f in contract.fields:
        if number := table[f.name].null_count():
            totals.nulls[f.name] = number
        rows = wrong_types.get((contract.name, f.name))
        if rows is not None and (number := int(np.isin(rows, table["_row"]).sum())):
            totals.wrong_types[f.name] = number
    for join in joins_of(contract):
        if number := int(table[missed_column(join)].sum()):
            totals.misses[join[0]] += number
    if casts:
        failed = table.select(**{name: expr.sum() for name, expr in casts.items()}).row(
            0, named=True
        )
        totals.failed_casts.update({name: number for name, number in failed.items() if number})
    return totals


def casts_of(kpis: Iterable[Kpi]) -> dict[str, pl.Expr]:
    """By field, an expression for whether a cast of it fails in a row, for any of the KPIs."""
    failed: dict[str, list[pl.Expr]] = {}
    for cast in (cast for kpi in kpis for cast in kpi.casts):
        for name in cast.fields:
            known = failed.setdefault(name, [])
            if not any(each.meta.eq(cast.failed) for each in known):
                known.append(cast.failed)
    return {name: pl.any_horizontal(each).fill_null(False) for name, each in failed.items()}


def in_words(counts: Mapping[str, FieldCounts]) -> Iterator[str]:
    """The counts that need attention, by contract, one sentence each."""
    for contract, totals in counts.items():
        every = "the only event" if totals.events == 1 else f"all {totals.events:,} events"
        for name in totals.always_null:
            wrong = totals.wrong_types[name]
            why = ": none has its path" if not wrong else f", of another type in {wrong:,}"
            yield f"{contract}: {name} is null in {every}{why}"
        for name, number in totals.wrong_types.items():
            if name not in totals.always_null:
                yield (
                    f"{contract}: {name} has another type in {number:,} of {totals.events:,} "
                    "events, and is null there"
                )
        for name, number in totals.failed_casts.items():
            yield (
                f"{contract}: a cast of {name} fails in {number:,} of {totals.events:,} events, "
                "and is null there (`try_cast` says that it may)"
            )
        for name, number in totals.misses.items():
            yield (
                f"{contract}: {name} has no row for the key of {number:,} of {totals.events:,} "
                "events: what they look up there is null"
            )
