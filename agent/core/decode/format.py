"""The interface of formats: JSON, Avro, Protobuf.

A `Format` reads the values of a batch as columns, and a single record exactly, if a column is
ambiguous or a contract reads more than columns can provide. The decoder and the validation depend
on this interface only.
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
"""The reason why a record can't be read, and the detail in words."""

DType = type[pl.DataType]
Demand = tuple[Path, DType]
"""A path in the record, and the dtype of the column for it; `pl.Struct`: a Boolean column, whether
there is an object. A path through `[]` has a column of lists."""
KeyDemand = tuple[Keys, DType]
"""A demand whose path has keys only."""

_AS_THEY_ARE: Mapping[FieldType, DType] = {
    "string": pl.String,
    "integer": pl.Int64,
    "float": pl.Float64,
    "boolean": pl.Boolean,
}

Kind = Literal["string", "integer", "float", "boolean", "id", "time"]
"""What a value must be: a field's type; for "id" a string or an integer; for "time" anything."""


class WrongPlaceError(Exception):
    """A path leads through a value that is neither object nor array. The message says where."""


class UnreadableError(Exception):
    """A record, or its key, can't be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem[1])
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Screened:
    """The records that a reader must not read, by index: blank ones, and those with a problem."""

    blank: Sequence[int] = ()
    problems: Mapping[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of some records.

    `frame` has `_row`, and a column for each demand with the reader's name for it. A value of
    another type than demanded is null; `unsure`: the rows that may have such a value. In a String
    column, any value is text: a number its digits without exponent, a boolean `true` or `false`, a
    time ISO 8601, a list or an object JSON. `unreadable`: the rows of records that are not in the
    frame.
    """

    frame: pl.DataFrame
    unsure: Rows
    unreadable: Sequence[int]


class Reader(Protocol):
    """Reads the columns of some demands."""

    @property
    def reads(self) -> int:
        """How often it reads the records: several times, if demands have different types at the
        same path."""

    def column(self, demand: Demand) -> str:
        """The name of the column for a demand."""

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """Which records are known to have only values of the demanded types."""

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""

    def empty(self) -> pl.DataFrame:
        """The columns of no records."""


class Format(Protocol):
    """A format of the values and keys of records. `Batch.schemas` has the schemas that it needs."""

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """The records that a reader must not read. `sizes`: their sizes in bytes."""

    def reader(self, demands: Iterable[Demand]) -> Reader:
        """A reader for demands."""

    def reaches(self, demand: Demand) -> bool:
        """Whether readers can have a column for a demand."""

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record can't be read as an object; None: it can."""

    def label(self, batch: Batch, row: int) -> str:
        """What to add to a verdict of a record: its schema; "" without one."""

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None if it is absent or null.

        Raises WrongPlaceError if the path leads through a value that is not an object.
        """

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """A record with a value as Python objects, as from JSON: dicts, lists, str, int, float,
        Decimal, bool and None. Only members named in `keys` (UTF-8) must be exact; None: all.

        Raises UnreadableError if the record can't be read.
        """

    def key_texts(self, batch: Batch, rows: Rows) -> list[bytes | None]:
        """The key of each record as UTF-8; None where there is none."""

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The same for a record's key; None without a key."""

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column have another kind in their record (null does not count).

        `records` has the record of each value, in order; `unsure`: which of them may have values of
        other types (`Columns.unsure`).
        """


def is_converted(field: Field) -> bool:
    """Whether a field's values are parsed from text (`agent.core.decode.field_values`)."""
    return field.type not in _AS_THEY_ARE or field.format is not None


def demanded(field: Field) -> DType:
    """The dtype that is demanded for a field."""
    return pl.String if is_converted(field) else _AS_THEY_ARE[field.type]


def column_path(path: Path) -> Keys:
    """The path as the path of a column. Raises ValueError if it has more than keys."""
    keys = keys_of(path)
    if keys is None:
        raise ValueError(f"no column is at {path_text(path)}")
    return keys


def is_columnar(contract: Contract) -> bool:
    """Whether a contract reads only keys of the record's value, which columns can provide."""
    if contract.envelope is not None or contract.decode or contract.each is not None:
        return False
    return all(keys_of(path) is not None for path in contract.paths)


def type_demands(contracts: Iterable[Contract]) -> list[Demand]:
    """The demands that determine to which contract a record belongs."""
    return [(column_path(c.type_path), pl.String) for c in contracts if c.type_path is not None]


def time_demand(contract: Contract, path: Path) -> Demand:
    """The demand for a time: any value as text, unless a field has the same path."""
    declared = [demanded(f) for f in contract.fields if f.path == path]
    return column_path(path), declared[0] if declared else pl.String


def text_demand(path: Path) -> Demand:
    """The demand for a text, whatever fields have the same path."""
    return column_path(path), pl.String


def times_of_day(contract: Contract) -> list[Path]:
    """The paths of times of day that complete a date."""
    return [s.time_of_day for s in contract.times if s.time_of_day is not None]


def id_demand(contract: Contract, path: Path) -> Demand:
    """The demand for an id: text (5 and "5" are the same id), or an integer if a field with the
    same path is one."""
    declared = [demanded(f) for f in contract.fields if f.path == path]
    return column_path(path), pl.Int64 if declared == [pl.Int64] else pl.String


def demands_of(contract: Contract) -> list[Demand]:
    """All demands of a contract."""
    demands = type_demands([contract])
    demands.extend((column_path(f.path), demanded(f)) for f in contract.fields)
    demands.extend(time_demand(contract, source.path) for source in contract.times)
    demands.extend(text_demand(path) for path in times_of_day(contract))
    demands.extend(id_demand(contract, path) for path in contract.ids)
    return demands


def labelled(format: Format, batch: Batch, row: int, detail: str) -> str:
    """The detail of a verdict, with the schema of its record."""
    label = format.label(batch, row)
    return f"{detail} ({label})" if label and label not in detail else detail
