"""Event contracts: what is promised of an event type on its topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

Scalar = str | int | bool | None
"""A dimension's value. Floats are refused as dimensions at `check`."""

FieldType = Literal["string", "integer", "float", "boolean"]
FIELD_DTYPES: Mapping[FieldType, type[pl.DataType]] = {
    "string": pl.String,
    "integer": pl.Int64,
    "float": pl.Float64,
    "boolean": pl.Boolean,
}
Path = tuple[str, ...]
"""A place in a JSON object: `user.id` is `("user", "id")`."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract. `minimum` and `maximum` are inclusive; numbers only."""

    name: str
    path: Path
    type: FieldType
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class LookupField:
    """A field that the event lacks: `column` of the row of a lookup whose key equals the event's
    fields `keys`; null where there is none. `digest` stands for all that the column holds."""

    name: str
    lookup: str
    column: str
    keys: tuple[str, ...]
    type: FieldType
    digest: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What a product team promises of one event type.

    `type_path` None: every event of the topic is of this type; else the event whose value there
    equals `type_value`. An event further back than `max_past_ms` before its record's timestamp is
    rejected (None: none is). `duplicate_window_ms`: how long an id is remembered at most.
    """

    name: str
    topic: str
    type_path: Path | None
    type_value: str
    time_path: Path
    timezone: str
    id_path: Path | None
    lateness_ms: int
    max_future_ms: int
    idle_after_ms: int
    max_bytes: int
    fields: tuple[Field, ...]
    duplicate_window_ms: int
    max_past_ms: int | None = None
    lookups: tuple[LookupField, ...] = ()
