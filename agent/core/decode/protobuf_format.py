"""The format `protobuf`, read by Google's library.

Each record is parsed on its own, and the demanded values are collected into columns. If a demand is
for more than the value of a field (a message as text, an array), records are read as equivalent
JSON (`protobuf_schema`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
import polars as pl
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from agent.core.decode.avro_schema import AvroType
from agent.core.decode.avro_values import converted, is_right
from agent.core.decode.codec import BodyError, ColumnRead, ColumnReader, NotColumnarError
from agent.core.decode.format import Flags, KeyDemand, Kind
from agent.core.decode.protobuf_schema import (
    NANOS,
    SPECIAL,
    ProtobufSchema,
    is_map,
    json_value,
    message_class,
)
from agent.core.decode.schemas import SchemaError
from agent.core.model.events import Schema
from agent.core.model.paths import Keys

_F = FieldDescriptor
_TYPES: Mapping[int, tuple[AvroType, type[pl.DataType]]] = {
    _F.CPPTYPE_INT32: (AvroType("long"), pl.Int64),
    _F.CPPTYPE_INT64: (AvroType("long"), pl.Int64),
    _F.CPPTYPE_UINT32: (AvroType("long"), pl.Int64),
    _F.CPPTYPE_UINT64: (AvroType("long"), pl.UInt64),
    _F.CPPTYPE_FLOAT: (AvroType("double"), pl.Float64),
    _F.CPPTYPE_DOUBLE: (AvroType("double"), pl.Float64),
    _F.CPPTYPE_BOOL: (AvroType("boolean"), pl.Boolean),
    _F.CPPTYPE_STRING: (AvroType("string"), pl.String),
    _F.CPPTYPE_ENUM: (AvroType("string"), pl.String),
}
"""By the C++ type of a field, the Avro type that is converted in the same way, and the dtype."""
_TIMESTAMP = (AvroType("long", "timestamp-nanos"), pl.Int64)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """The value of a field, and how to get it from messages.

    `path`: the dotted names of the fields that lead to it. `checks`: (path of a message, "" for the
    record; name of a field in it) that must all be set for the value to be present. `key`: the key
    of a map at the path. `field` None: no record has it. `is_time`: the value is a Timestamp.
    """

    path: str = ""
    checks: tuple[tuple[str, str], ...] = ()
    field: FieldDescriptor | None = None
    key: str | None = None
    is_time: bool = False

    @property
    def types(self) -> tuple[AvroType, type[pl.DataType]]:
        """The Avro type and the dtype of the values."""
        if self.is_time:
            return _TIMESTAMP
        return (AvroType("null"), pl.Null) if self.field is None else _TYPES[self.field.cpp_type]


class ProtobufCodec:
    """Reads records of one schema. Raises SchemaError if it is not a Protobuf schema.

    If the schema names no message, each record starts with the index of its message, as in
    Confluent's wire format.
    """

    def __init__(self, schema: Schema) -> None:
        if schema.kind != "PROTOBUF":
            raise SchemaError(f"expected a Protobuf schema, found one of {schema.kind.title()}")
        self._schema = ProtobufSchema(schema)
        self._only = self._schema.named(schema.message) if schema.message else None

    def tree(self, body: bytes) -> dict[str, Any]:
        """A record as the equivalent JSON object. Raises BodyError."""
        tree = json_value(self.parse(body))
        if not isinstance(tree, dict):
            raise BodyError("the record is no message with fields")
        return tree

    def parse(self, body: bytes) -> Any:
        """The message of a record. Raises BodyError."""
        message, start = self.message_of(body)
        try:
            return message_class(message).FromString(body[start:])
        except (DecodeError, UnicodeDecodeError) as cause:
            raise BodyError(f"no {message.full_name}: the bytes are not its encoding") from cause

    def reader(self, demands: Sequence[KeyDemand]) -> ColumnReader:
        """A reader of columns."""
        return ProtobufReader(self, demands)

    def leaves(self, message: Descriptor, demands: Sequence[KeyDemand]) -> list[_Leaf] | None:
        """The fields of a message for some demands; None if one is more than the value of a
        field."""
        leaves = [leaf for path, _ in demands if (leaf := leaf_at(message, path)) is not None]
        return leaves if len(leaves) == len(demands) else None

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether all values at a path have the required kind."""
        message = self._only or self._schema.only
        leaf = None if message is None else leaf_at(message, path)
        return None if leaf is None else leaf.field is None or is_right(leaf.types[0], kind)

    def message_of(self, body: bytes) -> tuple[Descriptor, int]:
        """The message type of a record, and where the message starts."""
        if self._only is not None:
            return self._only, 0
        indexes, start = message_indexes(body)
        message = self._schema.indexed(indexes)
        if message is None:
            raise BodyError(f"the schema has no message {list(indexes)}")
        return message, start


class ProtobufReader:
    """Reads the demanded columns of records that all have the same message type."""

    def __init__(self, codec: ProtobufCodec, demands: Sequence[KeyDemand]) -> None:
        self._codec = codec
        self._demands = demands
        self._leaves: dict[str, list[_Leaf] | None] = {}

    def read(self, bodies: Sequence[bytes]) -> ColumnRead:
        """The columns of records. Raises BodyError, and NotColumnarError."""
        message, start = self._codec.message_of(bodies[0])
        prefix = bodies[0][:start]
        if start:
            if not all(map(methodcaller("startswith", prefix), bodies)):
                raise NotColumnarError  # several messages of one schema
            bodies = [body[start:] for body in bodies]
        if message.full_name not in self._leaves:
            self._leaves[message.full_name] = self._codec.leaves(message, self._demands)
        leaves = self._leaves[message.full_name]
        if leaves is None:
            raise NotColumnarError
        try:
            messages = list(map(message_class(message).FromString, bodies))
            return self._columns(messages, leaves)
        except (DecodeError, UnicodeDecodeError) as cause:
            raise BodyError("not the encoding of the message") from cause

    def _columns(self, messages: Sequence[Any], leaves: Sequence[_Leaf]) -> ColumnRead:
        unsure: Flags = np.zeros(len(messages), dtype=np.bool_)
        columns = []
        raws: dict[Keys, pl.Series] = {}
        for index, ((path, dtype), leaf) in enumerate(zip(self._demands, leaves, strict=True)):
            if leaf.field is None:
                raw = pl.Series([None], dtype=dtype).new_from_index(0, len(messages))
                columns.append(raw.alias(f"c{index}"))
                continue
            if path not in raws:
                raws[path] = _series(messages, leaf, unsure)
            column = converted(raws[path], leaf.types[0], dtype)
            if column.null_count() > raws[path].null_count():
                unsure |= (column.is_null() & raws[path].is_not_null()).to_numpy()
            columns.append(column.alias(f"c{index}"))
        return ColumnRead(pl.DataFrame(columns), unsure)


def _series(messages: Sequence[Any], leaf: _Leaf, unsure: Flags) -> pl.Series:
    """The values of a field, null if absent; for an enum, names. Sets `unsure` for enum numbers
    without a name and for timestamps that are out of range."""
    if leaf.key is not None:  # an absent map has no entries
        maps = map(attrgetter(leaf.path), messages)
        values = pl.Series([entries.get(leaf.key) for entries in maps], dtype=_dtype(leaf))
        return _named(values, leaf, unsure)
    if leaf.is_time:
        values, far = _nanos(messages, leaf.path)
        unsure |= far
    else:
        values = pl.Series(list(map(attrgetter(leaf.path), messages)), dtype=_dtype(leaf))
    absent = _absent(messages, leaf, values)
    values = values if absent is None else values.set(absent, None)
    return _named(values, leaf, unsure)


def _dtype(leaf: _Leaf) -> type[pl.DataType]:
    is_enum = leaf.field is not None and leaf.field.enum_type is not None
    return pl.Int64 if is_enum else leaf.types[1]


def _named(values: pl.Series, leaf: _Leaf, unsure: Flags) -> pl.Series:
    """The names of an enum's numbers; other values stay the same."""
    if leaf.field is None or leaf.field.enum_type is None:
        return values
    names = {n: value.name for n, value in leaf.field.enum_type.values_by_number.items()}
    named = values.replace_strict(names, default=None, return_dtype=pl.String)
    unsure |= (named.is_null() & values.is_not_null()).to_numpy()
    return named


def _absent(messages: Sequence[Any], leaf: _Leaf, values: pl.Series) -> pl.Series | None:
    """Which messages have no value; None: all have one. An absent value is read as the default of
    its type, so only defaults are checked."""
    if not leaf.checks:
        return None
    default = {pl.String: "", pl.Boolean: False}.get(values.dtype.base_type(), 0)
    rows = np.flatnonzero((values == default).fill_null(value=False).to_numpy())
    some = [messages[row] for row in rows.tolist()]
    present = np.ones(rows.size, dtype=np.bool_)
    for path, field in leaf.checks:
        holders = list(map(attrgetter(path), some)) if path else some
        if holders:
            has_field = type(holders[0]).HasField
            present &= np.fromiter(map(has_field, holders, repeat(field)), np.bool_, rows.size)
    absent = np.zeros(len(messages), dtype=np.bool_)
    absent[rows] = ~present
    return pl.Series(absent)


def _nanos(messages: Sequence[Any], path: str) -> tuple[pl.Series, Flags]:
    """Timestamps in nanoseconds, null if they do not fit, and which do not."""
    count = len(messages)
    times = list(map(attrgetter(path), messages))
    parts = (map(attrgetter(part), times) for part in ("seconds", "nanos"))
    seconds, nanos = (np.fromiter(part, np.int64, count) for part in parts)
    far = np.abs(seconds) >= _MOST_SECONDS
    values = pl.Series(np.where(far, 0, seconds) * NANOS + nanos)
    return (values.set(pl.Series(far), None) if far.any() else values), far


_MOST_SECONDS = 2**63 // NANOS - 3


def leaf_at(message: Descriptor, path: Keys) -> _Leaf | None:
    """The field at a path; None if it is more than the value of a field."""
    chain: list[FieldDescriptor] = []
    at: Descriptor | None = message
    for depth, name in enumerate(path):
        if at is None:
            return None
        field = at.fields_by_name.get(name)
        if field is None:
            return _Leaf()
        chain.append(field)
        rest = path[depth + 1 :]
        if field.is_repeated:
            return _entry(chain, rest[0]) if is_map(field) and len(rest) == 1 else None
        at = field.message_type
        if at is not None and at.full_name in SPECIAL:
            return None if rest else _special(chain)
    return _leaf(chain, chain[-1]) if chain[-1].cpp_type in _TYPES else None


def _leaf(chain: Sequence[FieldDescriptor], field: FieldDescriptor, **more: Any) -> _Leaf:
    """The field at the end of a chain of fields."""
    names = [link.name for link in chain]
    checks = [
        (".".join(names[:depth]), link.name)
        for depth, link in enumerate(chain)
        if link.has_presence and not link.is_repeated
    ]
    return _Leaf(".".join(names), tuple(checks), field, **more)


def _entry(chain: Sequence[FieldDescriptor], key: str) -> _Leaf | None:
    """The value of a key in a map."""
    entry = chain[-1].message_type.fields_by_name
    is_plain = entry["key"].cpp_type == _F.CPPTYPE_STRING and entry["value"].cpp_type in _TYPES
    return _leaf(chain, entry["value"], key=key) if is_plain else None


def _special(chain: Sequence[FieldDescriptor]) -> _Leaf | None:
    """A timestamp, or the value of a wrapper; None for other messages that are not JSON objects."""
    message = chain[-1].message_type
    if message.full_name == "google.protobuf.Timestamp":
        return _leaf(chain, chain[-1], is_time=True)
    value = message.fields_by_name.get("value")
    if len(message.fields) != 1 or value is None or value.cpp_type not in _TYPES:
        return None
    return _leaf([*chain, value], value)


def message_indexes(body: bytes) -> tuple[tuple[int, ...], int]:
    """The indexes of a record's message type, and where the message starts. The record begins with
    their number and the indexes, as zigzag varints; a single zero means the first message. Raises
    BodyError."""
    count, at = _varint(body, 0)
    if count == 0:
        return (0,), at
    if not 0 < count <= _MOST_INDEXES:
        raise BodyError("the record does not say which message it is")
    indexes = []
    for _ in range(count):
        index, at = _varint(body, at)
        indexes.append(index)
    return tuple(indexes), at


_MOST_INDEXES = 32
"""The maximum nesting of message declarations."""


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise BodyError("the record ends before it says which message it is", is_cut=True)
