"""The format `avro`.

A record of a schema that polars can read is read as columns (`avro_columns`, `avro_values`), any
other as the JSON that it means (`avro_json`). A path that a schema lacks is null; a field is also
reached by its aliases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.avro_columns import AvroColumns, Place
from agent.core.decode.avro_json import read_avro
from agent.core.decode.avro_schema import AvroSchema, parse_schema
from agent.core.decode.avro_values import INSIDE, converted, is_right
from agent.core.decode.codec import ColumnReader, Read
from agent.core.decode.format import Flags, KeyDemand, Kind
from agent.core.decode.schemas import SchemaError
from agent.core.model.paths import Keys
from agent.core.model.schemas import Schema


class AvroCodec:
    """Reads records of one schema. Raises SchemaError where it is none of Avro records."""

    def __init__(self, schema: Schema) -> None:
        if schema.kind != "AVRO":
            raise SchemaError(f"expected an Avro schema, found one of {schema.kind.title()}")
        self._schema: AvroSchema = parse_schema(schema.text, schema.references)
        self._columns = None if self._schema.not_columnar else AvroColumns(self._schema)

    def tree(self, body: bytes) -> dict[str, Any]:
        """The JSON object that a record means. Raises BodyError."""
        return read_avro(self._schema, body)

    def reader(self, demands: Sequence[KeyDemand]) -> ColumnReader | None:
        """A reader of columns; None where polars can't read the schema, and of lists and objects as
        text."""
        if self._columns is None:
            return None
        places = [self._columns.place(path) for path, _ in demands]
        for place, (_, dtype) in zip(places, demands, strict=True):
            if place.type.kind in INSIDE and dtype == pl.String:
                return None
        return AvroReader(self._columns, demands)

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether whatever can stand at a path is what it has to be."""
        if self._columns is None:
            return None
        place = self._columns.place(path)
        if place.expression is None:
            return True
        return False if place.is_through else is_right(place.type, kind)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    place: Place
    demand: KeyDemand


class AvroReader:
    """Reads what some demands ask for of records of one columnar schema."""

    def __init__(self, columns: AvroColumns, demands: Sequence[KeyDemand]) -> None:
        self._columns = columns
        self._wanted = [
            _Column(f"c{i}", columns.place(demand[0]), demand) for i, demand in enumerate(demands)
        ]
        self._names = sorted({c.place.column for c in self._wanted if c.place.column})

    def read(self, bodies: Sequence[bytes]) -> Read:
        """The columns of records. Raises BodyError."""
        frame = self._columns.read(bodies, self._names)
        count = len(bodies)
        unsure: Flags = np.zeros(count, dtype=np.bool_)
        bad: Flags = np.zeros(count, dtype=np.bool_)
        columns = []
        for wanted in self._wanted:
            (_, dtype), place = wanted.demand, wanted.place
            if place.expression is None:
                columns.append(pl.Series(wanted.name, [None], dtype=dtype).new_from_index(0, count))
                continue
            if place.is_column:
                raw = frame.get_column(place.column)
            elif place.column:
                raw = frame.select(place.expression).to_series()
            else:  # a record within a record: always there
                raw = pl.Series([True]).new_from_index(0, count)
            if place.type.kind == "enum":
                bad |= _is_no_symbol(raw, len(place.type.symbols))
                raw = raw.set(pl.Series(bad), None) if bad.any() else raw
            if place.is_through:
                column = pl.Series([None], dtype=dtype).new_from_index(0, count)
            else:
                column = converted(raw, place.type, dtype)
            if column.null_count() > raw.null_count():
                unsure |= (column.is_null() & raw.is_not_null()).to_numpy()
            columns.append(column.alias(wanted.name))
        read = pl.DataFrame(columns)
        if not bad.any():
            return Read(read, unsure)
        return Read(read.filter(pl.Series(~bad)), unsure[~bad], np.flatnonzero(bad).tolist())


def _is_no_symbol(indices: pl.Series, symbols: int) -> Flags:
    """Which numbers of symbols are of none."""
    return ((indices < 0) | (indices >= symbols)).fill_null(value=False).to_numpy()
