"""The format `protobuf`, read by Google's own library.

Each record is parsed on its own, and what contracts ask for is gathered into columns. Where that is
more than values of fields (a message as text, an array, a wrapper), the record is read as the JSON
that it means (`protobuf_schema`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from agent.core.decode.avro_schema import AvroType
from agent.core.decode.avro_values import converted, is_right
from agent.core.decode.codec import BodyError, ColumnReader, NotColumnarError, Read
from agent.core.decode.format import Demand, Flags, Kind
from agent.core.decode.protobuf_schema import (
    NANOS,
    SPECIAL,
    ProtobufSchema,
    is_map,
    message_class,
    plain,
)
from agent.core.decode.schemas import SchemaError
from agent.core.model.paths import Keys
from agent.core.model.schemas import Schema

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
"""Of a field's values, the type of Avro that is read in the same way, and polars'."""
_TIMESTAMP = (AvroType("long", "timestamp-nanos"), pl.Int64)
_MOST = 2**63

Get = Callable[[Any], Any]
"""Gets a value out of a message; None where there is none."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value of a field: how to get it, and what it is. `field` None: it is absent in all records.
    `is_time`: a Timestamp."""

    get: Get
    field: FieldDescriptor | None = None
    is_time: bool = False

    @property
    def types(self) -> tuple[AvroType, type[pl.DataType]]:
        """The type of the values."""
        if self.is_time:
            return _TIMESTAMP
        return (AvroType("null"), pl.Null) if self.field is None else _TYPES[self.field.cpp_type]


class ProtobufCodec:
    """Reads records of one schema. Raises SchemaError where it is none of Protobuf messages.

    Where the schema says no message, each record begins with which one it is, as Confluent's wire
    format has it.
    """

    def __init__(self, schema: Schema) -> None:
        if schema.kind != "PROTOBUF":
            raise SchemaError(f"expected a Protobuf schema, found one of {schema.kind.title()}")
        self._schema = ProtobufSchema(schema)
        self._only = self._schema.named(schema.message) if schema.message else None

    def tree(self, body: bytes) -> dict[str, Any]:
        """The JSON object that a record means. Raises BodyError."""
        tree = plain(self.parse(body))
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

    def reader(self, demands: Sequence[Demand]) -> ColumnReader:
        """A reader of columns."""
        return ProtobufReader(self, demands)

    def leaves(self, message: Descriptor, demands: Sequence[Demand]) -> list[_Leaf] | None:
        """What some demands ask for of a message; None where one is more than values of fields."""
        leaves = [leaf for path, _ in demands if (leaf := leaf_at(message, path)) is not None]
        return leaves if len(leaves) == len(demands) else None

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether whatever can stand at a path is what it has to be."""
        message = self._only or self._schema.only
        leaf = None if message is None else leaf_at(message, path)
        return None if leaf is None else leaf.field is None or is_right(leaf.types[0], kind)

    def message_of(self, body: bytes) -> tuple[Descriptor, int]:
        """The message of a record, and where it begins."""
        if self._only is not None:
            return self._only, 0
        indexes, start = _message_indexes(body)
        message = self._schema.indexed(indexes)
        if message is None:
            raise BodyError(f"the schema has no message {list(indexes)}")
        return message, start


class ProtobufReader:
    """Reads what some demands ask for of records of one message at a time."""

    def __init__(self, codec: ProtobufCodec, demands: Sequence[Demand]) -> None:
        self._codec = codec
        self._demands = demands
        self._leaves: dict[str, list[_Leaf] | None] = {}

    def read(self, bodies: Sequence[bytes]) -> Read:
        """The columns of records. Raises BodyError, and NotColumnarError."""
        message, start = self._codec.message_of(bodies[0])
        prefix = bodies[0][:start]
        if start:
            if not all(body.startswith(prefix) for body in bodies):
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

    def _columns(self, messages: Sequence[Any], leaves: Sequence[_Leaf]) -> Read:
        unsure: Flags = np.zeros(len(messages), dtype=np.bool_)
        columns = []
        raws: dict[Keys, pl.Series] = {}
        for index, ((path, dtype), leaf) in enumerate(zip(self._demands, leaves, strict=True)):
            if leaf.field is None:
                raw = pl.Series([None], dtype=dtype).new_from_index(0, len(messages))
                columns.append(raw.alias(f"c{index}"))
                continue
            if path not in raws:
                raws[path] = _series(list(map(leaf.get, messages)), leaf, unsure)
            column = converted(raws[path], leaf.types[0], dtype)
            if column.null_count() > raws[path].null_count():
                unsure |= (column.is_null() & raws[path].is_not_null()).to_numpy()
            columns.append(column.alias(f"c{index}"))
        return Read(pl.DataFrame(columns), unsure)


def _series(values: list[Any], leaf: _Leaf, unsure: Flags) -> pl.Series:
    """Values of a field. Of an enum, names; `unsure` is set where a number has none, and where a
    timestamp is too far away."""
    field, (_, dtype) = leaf.field, leaf.types
    if field is not None and field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        named = [names.get(value) for value in values]
        unsure |= [n is None and v is not None for n, v in zip(named, values, strict=True)]
        return pl.Series(named, dtype=dtype)
    if leaf.is_time:
        far = [value is not None and not -_MOST <= value < _MOST for value in values]
        if any(far):
            unsure |= far
            values = [None if out else value for out, value in zip(far, values, strict=True)]
    return pl.Series(values, dtype=dtype)


def leaf_at(message: Descriptor, path: Keys) -> _Leaf | None:
    """The value at a path; None where it is more than a value of a field."""
    chain: list[FieldDescriptor] = []
    at: Descriptor | None = message
    for depth, name in enumerate(path):
        if at is None:
            return None
        field = at.fields_by_name.get(name)
        if field is None:
            return _Leaf(lambda _: None)
        if field.is_repeated:
            rest = path[depth + 1 :]
            return _entry(chain, field, rest[0]) if is_map(field) and len(rest) == 1 else None
        chain.append(field)
        at = field.message_type
        if at is not None and at.full_name in SPECIAL:
            return _special(chain) if depth == len(path) - 1 else None
    field = chain[-1]
    return _Leaf(_getter(chain), field) if field.cpp_type in _TYPES else None


def _entry(chain: Sequence[FieldDescriptor], field: FieldDescriptor, key: str) -> _Leaf | None:
    """The value of a key of a map."""
    of_key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    if of_key.cpp_type != _F.CPPTYPE_STRING or value.cpp_type not in _TYPES:
        return None
    to_map = _getter([*chain, field])

    def get(message: Any) -> Any:
        entries = to_map(message)
        return None if entries is None else entries.get(key)

    return _Leaf(get, value)


def _special(chain: Sequence[FieldDescriptor]) -> _Leaf | None:
    """A timestamp, or what a wrapper holds; None of other messages that are no objects."""
    message = chain[-1].message_type
    if message.full_name == "google.protobuf.Timestamp":
        to_time = _getter(chain)

        def nanos(record: Any) -> int | None:
            time = to_time(record)
            return None if time is None else time.seconds * NANOS + time.nanos

        return _Leaf(nanos, chain[-1], is_time=True)
    value = message.fields_by_name.get("value")
    if len(message.fields) != 1 or value is None or value.cpp_type not in _TYPES:
        return None
    return _Leaf(_getter([*chain, value]), value)


def _getter(chain: Sequence[FieldDescriptor]) -> Get:
    """Gets the value of a field of a field …; None where one of them has none."""
    if not any(field.has_presence for field in chain):
        return attrgetter(".".join(field.name for field in chain))
    steps = [(field.name, field.has_presence) for field in chain]

    def get(message: Any) -> Any:
        for name, has_presence in steps:
            if has_presence and not message.HasField(name):
                return None
            message = getattr(message, name)
        return message

    return get


def _message_indexes(body: bytes) -> tuple[tuple[int, ...], int]:
    """Which message a record is, and where it begins: how many indexes there are and they, each a
    zigzag varint; a zero alone stands for the first message. Raises BodyError."""
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
"""So deep may messages be declared within messages."""


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise BodyError("the record ends before it says which message it is", is_cut=True)
