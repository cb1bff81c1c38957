"""The format `avro`.

Records of schemas that polars can read are read as columns (`AvroColumns`, `avro_values`), all
others as equivalent JSON (`avro_json`). A path that a schema lacks is null; a field can also be
read by its aliases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.avro_json import read_avro
from agent.core.decode.avro_schema import (
    AvroSchema,
    AvroType,
    inner_name,
    parse_schema,
    polars_schema,
    takes_no_bytes,
)
from agent.core.decode.avro_values import INSIDE, converted, is_right
from agent.core.decode.codec import CHUNK_RECORDS, BodyError, ColumnRead, ColumnReader
from agent.core.decode.format import Flags, KeyDemand, Kind
from agent.core.decode.schemas import SchemaError
from agent.core.model.events import Schema
from agent.core.model.paths import Keys

_FIRST_MARK = 0x1_6B70_6961
"""A number of five bytes that no record ends with by chance."""
_MARK = "mark"
_SYNC = bytes(range(16))


def varint(number: int) -> bytes:
    """A long in Avro's encoding: zigzag, seven bits per byte, the lowest first."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left & ~0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


_MARKS = [varint(_FIRST_MARK + index) for index in range(CHUNK_RECORDS)]


@dataclass(frozen=True, slots=True)
class ColumnPath:
    """A path in a schema, as a column and an expression.

    `column` is the column to read ("": none), `expression` the value from it (None: the schema
    lacks the path), `type` the type of the value without null. `is_through`: the path continues
    into a type that has no members, so any value there is of a wrong type. `is_column`: the value
    is the column itself.
    """

    type: AvroType
    expression: pl.Expr | None = None
    column: str = ""
    is_through: bool = False
    is_column: bool = False


_ABSENT = ColumnPath(AvroType("null"))


class AvroColumns:
    """Reads many records of one columnar schema at once, as polars columns.

    The records are joined into one Avro object container, with a header that describes their bytes
    to polars (`avro_schema.polars_schema`). Records have no separators, so each is followed by a
    mark, a number that the header declares as the last field. If all marks are read in order, every
    record was read from its first byte to its last. Records nested directly in each other are
    flattened to one row of columns, so that only the demanded columns are read.

    polars accepts two things that Avro does not define: a branch number beyond a union's two (read
    as the branch with a value), and numbers with more bytes than necessary. They are accepted here,
    too, and a record is read the same whichever others are read with it.
    """

    def __init__(self, schema: AvroSchema) -> None:
        self._root = _Flat(schema.root, count())
        names = (f"n{number}" for number in count())
        fields = [{"name": c.name, "type": polars_schema(c.type, names)} for c in self._root.all()]
        fields.append({"name": _MARK, "type": "long"})
        described = json.dumps({"type": "record", "name": "root", "fields": fields}).encode()
        key = b"avro.schema"
        meta = b"".join([varint(1), varint(len(key)), key, varint(len(described)), described])
        self._header = b"".join([b"Obj\x01", meta, varint(0), _SYNC])

    def resolve(self, path: Sequence[str]) -> ColumnPath:
        """The column and expression of a path."""
        flat = self._root
        for depth, step in enumerate(path):
            if flat.inside is None:
                return _nested(flat, path[depth:])
            inner = flat.step(step)
            if inner is None:
                return _ABSENT
            flat = inner
        if flat.inside is not None:
            return ColumnPath(flat.type, pl.lit(value=True))
        return _nested(flat, ())

    def read(self, bodies: Sequence[bytes], columns: Sequence[str]) -> pl.DataFrame:
        """The columns of at most CHUNK_RECORDS bodies. Raises BodyError."""
        parts = [b""] * (2 * len(bodies))
        parts[::2] = bodies
        parts[1::2] = _MARKS[: len(bodies)]
        data = b"".join(parts)
        block = [self._header, varint(len(bodies)), varint(len(data)), data, _SYNC]
        try:
            frame = pl.read_avro(BytesIO(b"".join(block)), columns=[*columns, _MARK])
        except (Exception, pl.exceptions.PanicException) as cause:
            # Whatever a library does with the bytes, only these records are affected.
            raise BodyError(str(cause)) from cause
        marks = frame.drop_in_place(_MARK).to_numpy() - _FIRST_MARK
        if marks.size != len(bodies) or not (marks == np.arange(marks.size)).all():
            raise BodyError("a record does not end where its schema does")
        return frame


class _Flat:
    """A record nested directly in the root or in another such record, or a column of one."""

    def __init__(self, type: AvroType, numbers: Iterator[int]) -> None:
        self.type = type
        self.name = ""
        self.inside: list[_Flat] | None = None
        if type.kind == "record":
            self.inside = [_Flat(f.type, numbers) for f in type.fields]
        elif not takes_no_bytes(type):
            self.name = f"c{next(numbers)}"

    def all(self) -> Iterator[_Flat]:
        """The columns, in the order of their bytes."""
        if self.name:
            yield self
        for inner in self.inside or ():
            yield from inner.all()

    def step(self, step: str) -> _Flat | None:
        """The field with a name; None: there is none."""
        field = self.type.field(step)
        if field is None or self.inside is None:
            return None
        return self.inside[self.type.fields.index(field)]


def _nested(flat: _Flat, path: Sequence[str]) -> ColumnPath:
    """The expression of a path within a column."""
    type, expression = flat.type.value_type, pl.col(flat.name)
    if takes_no_bytes(type):
        return _ABSENT
    for step in path:
        if type.kind == "record":
            field = type.field(step)
            if field is None or takes_no_bytes(field.type):
                return _ABSENT
            name = inner_name(type.fields.index(field))
            expression, type = expression.struct.field(name), field.type.value_type
        elif type.kind == "map" and type.items is not None:
            is_key = pl.element().struct.field(inner_name(0)) == step
            values = expression.list.eval(pl.element().filter(is_key).struct.field(inner_name(1)))
            expression, type = values.list.get(-1, null_on_oob=True), type.items.value_type
        else:
            return ColumnPath(type, expression, flat.name, is_through=True)
    return ColumnPath(type, expression, flat.name, is_column=not path)


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
