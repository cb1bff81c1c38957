"""Lookups: tables beside the rules that give events what they lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from agent.core.model.events import Contract, LookupField

FROM, UNTIL = "_from", "_until"
"""The columns of a lookup's validity."""

Join = tuple[str, tuple[str, ...]]
"""A lookup, and the event's fields that are its key."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One table, of which at most one row holds for a key at any time.

    `table` has the columns of `keys` and those that events may have, sorted by key and validity;
    with a validity (`is_timed`) also `_from` (Int64, ms, inclusive) and `_until` (Int64, ms,
    exclusive; null: until the next row of the key). `digests`: of each column, a digest of its
    values with their keys and validity; what reads a column depends on it.
    """

    name: str
    keys: tuple[str, ...]
    table: pl.DataFrame
    is_timed: bool
    digests: Mapping[str, str]
    file: str


def joins_of(contract: Contract) -> dict[Join, tuple[LookupField, ...]]:
    """The joins that a contract's events need, with the fields that each gives."""
    joins: dict[Join, tuple[LookupField, ...]] = {}
    for field in contract.lookups:
        join = (field.lookup, field.keys)
        joins[join] = (*joins.get(join, ()), field)
    return joins


def missed_column(join: Join) -> str:
    """The Boolean column that says whether an event has a key for which no row holds."""
    lookup, keys = join
    return f"_missed {lookup} by {' '.join(keys)}"
