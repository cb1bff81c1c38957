"""Lookups: tables, from files beside the rules or from topics, that events are joined with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from agent.core.model.events import Contract, LookupField
from agent.core.model.field_types import FieldDType

FROM, UNTIL = "_from", "_until"
"""The columns of a lookup's validity."""

ALWAYS_MS = -(2**62)
"""The start of validity of a row whose `from` is empty."""

Join = tuple[str, tuple[str, ...]]
"""The name of a lookup, and the event's fields that form its key."""


@dataclass(frozen=True, slots=True)
class LookupTopic:
    """The topic that a lookup is read from. `begins` and `ends` are the members of a row's value
    that bound its validity; without `begins` a row is valid from its record's timestamp on. Times
    without an offset are in `timezone`."""

    name: str
    begins: str | None = None
    ends: str | None = None
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Lookup:
    """One table, with at most one valid row for a key at any time.

    `table` has the key columns `keys` and the columns to join, sorted by key and validity; with a
    validity (`is_timed`) also `_from` (Int64, ms, inclusive) and `_until` (Int64, ms, exclusive;
    null: until the next row of the key). `digests`: for each column a digest of its values, keys
    and validity; the fingerprints of KPIs that read the column include it. With a `topic`, the
    table is empty, the digests are of the declaration, and `file` is "".
    """

    name: str
    keys: tuple[str, ...]
    table: pl.DataFrame
    is_timed: bool
    digests: Mapping[str, str]
    file: str
    topic: LookupTopic | None = None


def cell_of_json(cell: Any, dtype: FieldDType) -> Any:
    """A JSON value as a value of a column's dtype (String, Int64, Float64, Boolean); None if it has
    another type."""
    if isinstance(cell, bool):
        return cell if dtype == pl.Boolean else None
    if isinstance(cell, int) and dtype == pl.Int64:
        return cell if -(2**63) <= cell < 2**63 else None
    if isinstance(cell, int | float) and dtype == pl.Float64:
        return float(cell)
    return cell if isinstance(cell, str) and dtype == pl.String else None


def joins_of(contract: Contract) -> dict[Join, tuple[LookupField, ...]]:
    """The joins of a contract's events, with the fields that each adds."""
    joins: dict[Join, tuple[LookupField, ...]] = {}
    for field in contract.lookups:
        join = (field.lookup, field.keys)
        joins[join] = (*joins.get(join, ()), field)
    return joins


def missed_column(join: Join) -> str:
    """The name of the Boolean column that says whether an event has a key without a valid row."""
    lookup, keys = join
    return f"_missed {lookup} by {' '.join(keys)}"
