"""The format `avro`.

Records of schemas that polars can read are read as columns (`avro_columns`, `avro_values`), all
others as equivalent JSON (`avro_json`). A path that a schema lacks is null; a field can also be
read by its aliases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.avro_columns import AvroColumns, ColumnPath
from agent.core.decode.avro_json import read_avro
from agent.core.decode.avro_schema import AvroSchema, parse_schema
from agent.core.decode.avro_values import INSIDE, converted, is_right
from agent.core.decode.codec import ColumnRead, ColumnReader
from agent.core.decode.format import Flags, KeyDemand, Kind
from agent.core.decode.schemas import SchemaError
from agent.core.model.paths import Keys
from agent.core.model.schemas import Schema


class AvroCodec:
    """Reads records of one schema. Raises SchemaError if it is not a schema of Avro records."""

    def __init__(self, schema: Schema) -> None:
        if schema.kind != "AVRO":
            raise SchemaError(f"expected an Avro schema, found one of {schema.kind.title()}")
        self._schema: AvroSchema = parse_schema(schema.text, schema.references)
        self._columns = None if self._schema.not_columnar else AvroColumns(self._schema)

    def tree(self, body: bytes) -> dict[str, Any]:
        """A record as the equivalent JSON object. Raises BodyError."""
        record: dict[str, Any] = read_avro(self._schema, body)
        return record

    def reader(self, demands: Sequence[KeyDemand]) -> ColumnReader | None:
        """A reader of columns; None if polars can't read the schema, or for lists and objects as
        text."""
        if self._columns is None:
            return None
        targets = [self._columns.resolve(path) for path, _ in demands]
        for target, (_, dtype) in zip(targets, demands, strict=True):
            if target.type.kind in INSIDE and dtype == pl.String:
                return None
        return AvroReader(self._columns, demands)

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether all values at a path have the required kind."""
        if self._columns is None:
            return None
        target = self._columns.resolve(path)
        if target.expression is None:
            return True
        return False if target.is_through else is_right(target.type, kind)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    target: ColumnPath
    demand: KeyDemand


class AvroReader:
    """Reads the demanded columns of records of one columnar schema."""

    def __init__(self, columns: AvroColumns, demands: Sequence[KeyDemand]) -> None:
        self._columns = columns
        self._wanted = [
            _Column(f"c{i}", columns.resolve(demand[0]), demand) for i, demand in enumerate(demands)
        ]
        self._names = sorted({c.target.column for c in self._wanted if c.target.column})

    def read(self, bodies: Sequence[bytes]) -> ColumnRead:
        """The columns of records. Raises BodyError."""
        frame = self._columns.read(bodies, self._names)
        count = len(bodies)
        unsure: Flags = np.zeros(count, dtype=np.bool_)
        bad: Flags = np.zeros(count, dtype=np.bool_)
        columns = []
        for wanted in self._wanted:
            (_, dtype), target = wanted.demand, wanted.target
            if target.expression is None:
                columns.append(pl.Series(wanted.name, [None], dtype=dtype).new_from_index(0, count))
                continue
            if target.is_column:
                raw = frame.get_column(target.column)
            elif target.column:
                raw = frame.select(target.expression).to_series()
            else:  # a record nested directly: always present
                raw = pl.Series([True]).new_from_index(0, count)
            if target.type.kind == "enum":
                bad |= _is_no_symbol(raw, len(target.type.symbols))
                raw = raw.set(pl.Series(bad), None) if bad.any() else raw
            if target.is_through:
                column = pl.Series([None], dtype=dtype).new_from_index(0, count)
            else:
                column = converted(raw, target.type, dtype)
            if column.null_count() > raw.null_count():
                unsure |= (column.is_null() & raw.is_not_null()).to_numpy()
            columns.append(column.alias(wanted.name))
        read = pl.DataFrame(columns)
        if not bad.any():
            return ColumnRead(read, unsure)
        return ColumnRead(read.filter(pl.Series(~bad)), unsure[~bad], np.flatnonzero(bad).tolist())


def _is_no_symbol(indices: pl.Series, symbols: int) -> Flags:
    """Which indices of symbols are out of range."""
    return ((indices < 0) | (indices >= symbols)).fill_null(value=False).to_numpy()
