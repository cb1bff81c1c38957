"""Avro schemas: their types, and equivalent schemas that polars can read.

Different Avro types have the same binary encoding: a map is an array of pairs, an enum and an int
are longs, a boolean is one byte, a record is its fields in sequence. polars knows few of Avro's
types and panics on others. So it is given another schema for the same bytes, of types that it can
read, and `avro_format` maps paths of the real schema to it. If there is no such schema,
`not_columnar` says why, and records are read one at a time.

Avro 1.12, "Binary encoding" and "Logical types": https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from agent.core.decode.schema_times import DAYS, OF_DAY, UNITS
from agent.core.decode.schemas import SchemaError

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
MAX_DECIMAL_BYTES = 16
"""polars stores decimals in 128 bits."""
MAX_DECIMAL_PRECISION = 38

TIMESTAMPS = {
    "timestamp-millis": 1_000,
    "timestamp-micros": 1_000_000,
    "timestamp-nanos": 1_000_000_000,
}
"""Units per second, by logical type."""
_CONNECT_NAMES = {
    name: "date" if units == DAYS else next(n for n, u in TIMESTAMPS.items() if u == units)
    for name, units in UNITS.items()
    if units != OF_DAY
}
"""The logical types that names of schemas in Kafka Connect mean: Debezium writes no others."""


@dataclass(frozen=True, slots=True)
class AvroField:
    """A field of a record. One with a default may be newer than some records."""

    name: str
    aliases: tuple[str, ...]
    type: AvroType
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class AvroType:
    """A type of a schema.

    `kind` is Avro's name of the type, or `recursive` for a record within itself. `items` is the
    type of an array's items or of a map's values. `logical` is None if Avro does not define the
    logical type for this kind.
    """

    kind: str
    logical: str | None = None
    fields: tuple[AvroField, ...] = ()
    items: AvroType | None = None
    symbols: tuple[str, ...] = ()
    size: int = 0
    precision: int = 0
    scale: int = 0
    branches: tuple[AvroType, ...] = ()

    @property
    def value_type(self) -> AvroType:
        """The type without null: for a union of null and one other type, the other."""
        others = [b for b in self.branches if b.kind != "null"]
        return others[0] if len(others) == 1 and len(self.branches) == 2 else self

    def field(self, name: str) -> AvroField | None:
        """The field with a name or, if there is none, with an alias."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        return next((f for f in self.fields if name in f.aliases), None)


@dataclass(frozen=True)
class AvroSchema:
    """A parsed schema. `parsed` is the schema as fastavro needs it."""

    root: AvroType
    parsed: Any

    @cached_property
    def not_columnar(self) -> str | None:
        """Why polars can't read records of the schema; None: it can."""
        return next(_obstacles(self.root), None)

    @cached_property
    def has_aliases(self) -> bool:
        """Whether any field has an alias."""
        return _has_aliases(self.root)


def parse_schema(text: str, references: Sequence[tuple[str, str]] = ()) -> AvroSchema:
    """Parse a schema of records. `references`: (name, text) of the schemas that it references.

    Raises SchemaError.
    """
    schema = parse_any_schema(text, references)
    if schema.root.kind != "record":
        raise SchemaError(f"expected a schema of records, found one of {schema.root.kind}")
    return schema


def parse_any_schema(text: str, references: Sequence[tuple[str, str]] = ()) -> AvroSchema:
    """Parse a schema, as of keys that are single values. Raises SchemaError."""
    named: dict[str, Any] = {}
    try:
        for _, reference in references:
            fastavro.parse_schema(_with_own_logical_types(json.loads(reference)), named)
        raw = _with_own_logical_types(json.loads(text))
        parsed = fastavro.parse_schema(raw, named)
    except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError) as cause:
        raise SchemaError(f"no Avro schema: {cause}") from cause
    except RecursionError as cause:
        raise SchemaError("no Avro schema: nested too deep") from cause
    root = _Types(named).type_of(parsed)
    if _has_empty_items(root):  # a few bytes could encode millions of them
        raise SchemaError("an array or a map of values that take no bytes")
    return AvroSchema(root, parsed)


# ---- fastavro's schemas, with logical types that lose nothing

OWN = "kpi-agent-"
"""The prefix of logical types that `avro_json` reads itself: fastavro converts timestamps to
`datetime`s, which have neither nanoseconds nor years from 10000 on."""


def _with_own_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_own_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    own = {key: _with_own_logical_types(value) for key, value in schema.items()}
    logical = own.pop("logicalType", _CONNECT_NAMES.get(str(schema.get("connect.name"))))
    if isinstance(logical, str) and _is_logical(logical, schema):
        own["logicalType"] = OWN + logical
    return own


class _Types:
    """Makes types from what fastavro has parsed, in which named types are defined once."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._open: list[str] = []

    def type_of(self, schema: Any) -> AvroType:
        if isinstance(schema, list):
            return AvroType("union", branches=tuple(self.type_of(branch) for branch in schema))
        if isinstance(schema, str):
            if schema in PRIMITIVES:
                return AvroType(schema)
            return AvroType("recursive") if schema in self._open else self._named_type(schema)
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._record(schema)
        if kind not in (*PRIMITIVES, "fixed", "enum", "array", "map"):
            return self.type_of(kind)
        items = schema.get("items", schema.get("values"))
        precision, scale = _digits(schema)
        return AvroType(
            kind,
            str(schema.get("logicalType", "")).removeprefix(OWN) or None,
            items=None if items is None else self.type_of(items),
            symbols=tuple(schema.get("symbols", ())),
            size=schema.get("size", 0),
            precision=precision,
            scale=scale,
        )

    def _named_type(self, name: str) -> AvroType:
        return self.type_of(self._named[name])

    def _record(self, schema: Any) -> AvroType:
        self._open.append(schema["name"])
        fields = tuple(
            AvroField(
                f["name"], tuple(f.get("aliases", ())), self.type_of(f["type"]), "default" in f
            )
            for f in schema["fields"]
        )
        self._open.pop()
        return AvroType("record", fields=fields)


def _digits(schema: Any) -> tuple[int, int]:
    """Precision and scale; 0 if it is not a decimal."""
    given = (schema.get("precision", 0), schema.get("scale", 0))
    precision, scale = (value if type(value) is int else 0 for value in given)
    return precision, scale


def _is_logical(logical: str, schema: Any) -> bool:
    """Whether Avro defines the logical type for this type; otherwise it must be ignored."""
    kind: Any = schema.get("type")
    if logical == "decimal":
        precision, scale = _digits(schema)
        return bool(kind in ("bytes", "fixed") and 0 <= scale <= precision > 0)
    if logical == "uuid":
        return bool(kind == "string" or (kind == "fixed" and schema.get("size") == 16))
    if logical == "date":
        return bool(kind == "int")
    return bool(kind == "long") and logical.removeprefix("local-") in TIMESTAMPS


def _inner(type: AvroType) -> Iterator[AvroType]:
    """The types directly nested in a type."""
    yield from (field.type for field in type.fields)
    yield from type.branches
    if type.items is not None:
        yield type.items


def takes_no_bytes(type: AvroType) -> bool:
    """Whether the encoding of a value has no bytes."""
    if type.kind == "record":
        return all(takes_no_bytes(f.type) for f in type.fields)
    return type.kind == "null" or (type.kind == "fixed" and type.size == 0)


def _has_aliases(type: AvroType) -> bool:
    return any(field.aliases for field in type.fields) or any(map(_has_aliases, _inner(type)))


def _has_empty_items(type: AvroType) -> bool:
    is_empty = type.items is not None and takes_no_bytes(type.items)
    return is_empty or any(map(_has_empty_items, _inner(type)))


# ---- the same bytes for polars


def _obstacles(type: AvroType) -> Iterator[str]:
    """The parts of a type that polars can't read, the outermost first."""
    if type.kind == "recursive":
        yield "a record that holds itself"
    if type.kind == "union":
        if len(type.branches) != 2 or type.value_type is type:
            yield "a union of other than null and one type"
        elif takes_no_bytes(type.value_type):
            yield "a union with a type that takes no bytes"
    is_decimal_of_fixed = type.logical == "decimal" and type.kind == "fixed"
    if is_decimal_of_fixed and type.size > MAX_DECIMAL_BYTES:
        yield "a decimal of more than 16 bytes"
    if type.logical == "decimal" and type.precision > MAX_DECIMAL_PRECISION:
        yield "a decimal of more than 38 digits"
    for inner in _inner(type):
        yield from _obstacles(inner)


def polars_schema(type: AvroType, names: Iterator[str]) -> Any:
    """The schema of a columnar type for polars. `names` gives new names, because records need
    different ones."""
    if type.kind == "union":
        return ["null" if b.kind == "null" else polars_schema(b, names) for b in type.branches]
    if type.kind in ("int", "long", "enum"):
        return "long"  # polars cuts ints beyond 32 bits, and panics on an enum in a union
    if type.kind in ("boolean", "fixed"):
        # A boolean as its byte: polars reads any other than 1 as false.
        fixed = {"type": "fixed", "name": next(names), "size": type.size or 1}
        return fixed | _decimal(type)
    if type.items is not None:
        items = _pair(type.items) if type.kind == "map" else type.items
        return {"type": "array", "items": polars_schema(items, names)}
    if type.kind == "record":
        fields = [
            {"name": inner_name(index), "type": polars_schema(f.type, names)}
            for index, f in enumerate(type.fields)
            if not takes_no_bytes(f.type)
        ]
        return {"type": "record", "name": next(names), "fields": fields}
    return {"type": type.kind} | _decimal(type)


def _decimal(type: AvroType) -> dict[str, Any]:
    if type.logical != "decimal":
        return {}
    # polars cuts numbers with more digits than declared.
    digits = {"precision": MAX_DECIMAL_PRECISION, "scale": type.scale}
    return {"logicalType": "decimal"} | digits


def _pair(value: AvroType) -> AvroType:
    """An entry of a map."""
    return AvroType(
        "record",
        fields=tuple(
            AvroField(name, (), type)
            for name, type in (("key", AvroType("string")), ("value", value))
        ),
    )


def inner_name(index: int) -> str:
    """The name of a record's field for polars, by its index: producers may use any names."""
    return f"k{index}"
