"""The seam between the formats of records and the decoder.

A format turns the values of a batch into columns, and reads a single record exactly where a column
leaves a doubt, or where a contract asks for more than columns can say. To add one, write a module
with a class that has the methods of `Format`, name it in `formats`, and write its test beside
`tests/core/decode/test_json_format.py`; the decoder and the validation know nothing of any format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Records, Rows
from agent.core.model.events import Contract, Field, FieldType
from agent.core.model.paths import Keys, Path, keys_of, path_text
from agent.core.model.results import Reason

Flags = npt.NDArray[np.bool_]
Problem = tuple[Reason, str]
"""Why a record can't be read, and the detail in words."""

DType = type[pl.DataType]
Demand = tuple[Path, DType]
"""A place in the record, and the type that is asked for there; `pl.Struct`: whether an object
stands there. What a path through `[]` leads to is a list."""
KeyDemand = tuple[Keys, DType]
"""The same of a place that keys lead to."""

_AS_THEY_ARE: Mapping[FieldType, DType] = {
    "string": pl.String,
    "integer": pl.Int64,
    "float": pl.Float64,
    "boolean": pl.Boolean,
}

Kind = Literal["string", "integer", "float", "boolean", "id", "time"]
"""What a value has to be: a field's type; a string or a whole number; anything."""


class WrongPlaceError(Exception):
    """A path leads through something that is no object. The message says where and what."""


class UnreadableError(Exception):
    """A record, or its key, can't be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem[1])
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Screened:
    """Records that no reader may see, by index: blank ones, and those that can't be read."""

    blank: Sequence[int] = ()
    problems: Mapping[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """What a reader made of some records.

    `frame`: `_row`, and a column for each demand, under the reader's name for it. A value of
    another type than demanded is null there; `unsure` are the rows of which it is not known
    whether they have one. In a String any value is text: a number its digits without exponent, a
    boolean `true` or `false`, a time ISO 8601, a list or an object JSON. `unreadable`: rows of
    records that are not in the frame.
    """

    frame: pl.DataFrame
    unsure: Rows
    unreadable: Sequence[int]


class Reader(Protocol):
    """Reads the columns that some demands ask for."""

    @property
    def reads(self) -> int:
        """How often it goes over the records: demands may contradict each other."""

    def column(self, demand: Demand) -> str:
        """The name of the column that answers a demand."""

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """In which records, each by itself, everything is of a type that the demands allow."""

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""

    def empty(self) -> pl.DataFrame:
        """The columns of no records."""


class Format(Protocol):
    """A format of records' values and keys. What it needs beside them is in `Batch.schemas`."""

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """The records that no reader may see, by index. `sizes`: their bytes."""

    def reader(self, demands: Iterable[Demand]) -> Reader:
        """A reader for demands."""

    def reaches(self, demand: Demand) -> bool:
        """Whether a reader can have a column for a demand."""

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record can't be read as an object, None if it can."""

    def label(self, batch: Batch, row: int) -> str:
        """What a verdict says of a record beside its problem: its schema; "" without one."""

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None where it is absent or null.

        Raises WrongPlaceError where the path leads through something that is no object.
        """

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record that has a value, as JSON would have it: dicts, lists, str, int,
        float, Decimal, bool and None. Only the members that are called as one of `keys` (UTF-8)
        matter; None: all do.

        Raises UnreadableError where it can't be read.
        """

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The same of a record's key; None where it has none."""

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column were something else in their record (null is not).

        `records` has one for each value, in order; `unsure` says of which the columns are unsure.
        """


def is_converted(field: Field) -> bool:
    """Whether a field's values are made of text (`agent.core.decode.field_values`)."""
    return field.type not in _AS_THEY_ARE or field.format is not None


def demanded(field: Field) -> DType:
    """The type that a field's place is asked for."""
    return pl.String if is_converted(field) else _AS_THEY_ARE[field.type]


def plain(path: Path) -> Keys:
    """A path as a format takes it. Raises ValueError where it has more than keys."""
    keys = keys_of(path)
    if keys is None:
        raise ValueError(f"no column is at {path_text(path)}")
    return keys


def is_plain(contract: Contract) -> bool:
    """Whether a contract reads what columns are made of: keys, in the record's value."""
    if contract.envelope is not None or contract.decode or contract.each is not None:
        return False
    return all(keys_of(path) is not None for path in contract.paths)


def type_demands(contracts: Iterable[Contract]) -> list[Demand]:
    """What says to which contract a record belongs."""
    return [(plain(c.type_path), pl.String) for c in contracts if c.type_path is not None]


def time_demand(contract: Contract, path: Path) -> Demand:
    """A time is read as any value in text, unless a field declares its path."""
    declared = [demanded(f) for f in contract.fields if f.path == path]
    return plain(path), declared[0] if declared else pl.String


def id_demand(contract: Contract, path: Path) -> Demand:
    """An id is read as text (5 and "5" are one id), or a declared integer."""
    declared = [demanded(f) for f in contract.fields if f.path == path]
    return plain(path), pl.Int64 if declared == [pl.Int64] else pl.String


def demands_of(contract: Contract) -> list[Demand]:
    """All that a contract needs of a record."""
    demands = type_demands([contract])
    demands.extend((plain(f.path), demanded(f)) for f in contract.fields)
    demands.extend(time_demand(contract, source.path) for source in contract.times)
    demands.extend(id_demand(contract, path) for path in contract.ids)
    return demands


def labelled(format: Format, batch: Batch, row: int, detail: str) -> str:
    """The detail of a verdict, with the schema of its record."""
    label = format.label(batch, row)
    return f"{detail} ({label})" if label and label not in detail else detail
