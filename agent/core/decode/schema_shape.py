"""The shapes of a schema's records as JSON: which values may be where. Avro, Protobuf and JSON
Schema have the same kind of shape; `avro_json` and `protobuf_schema` define the JSON of a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.core.decode.schemas import SchemaError
from agent.core.model.events import Schema

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    from agent.core.decode.avro_schema import AvroType

DEEPEST = 32
"""The most levels of a shape: the maximum length of a path."""
ANYTHING_KINDS = frozenset({"string", "integer", "number", "boolean", "object", "array"})


@dataclass(frozen=True, slots=True)
class Shape:
    """The values that may be at a path. `kinds` are JSON Schema's types, without null.

    `may_lack`: it may be null or absent. `members` are those of an object; if `rest` is not None,
    an object may have others, of that shape. `items`: the elements of an array. `values`: the texts
    that are allowed, empty for any. `logical`: Avro's name of the logical type (without the unit of
    a timestamp), whichever the schema's language; "bytes" for base64, "duration" for seconds.
    `scale`: of a decimal, None if it is unknown. `has_default`: records that are older than the
    field may lack it. `aliases`: the members that are former names of other members.
    """

    kinds: frozenset[str]
    may_lack: bool = False
    members: Mapping[str, Shape] = field(default_factory=dict)
    rest: Shape | None = None
    items: Shape | None = None
    values: tuple[str, ...] = ()
    logical: str = ""
    scale: int | None = None
    has_default: bool = False
    aliases: frozenset[str] = frozenset()


ANYTHING = Shape(ANYTHING_KINDS, may_lack=True)
"""The shape where a schema says nothing."""


def shape_of(schema: Schema) -> Shape:
    """The shape of the records of a schema. Raises SchemaError."""
    if schema.kind == "AVRO":
        from agent.core.decode.avro_schema import parse_schema

        return _avro(parse_schema(schema.text, schema.references).root)
    if schema.kind == "PROTOBUF":
        from agent.core.decode.protobuf_schema import ProtobufSchema

        known = ProtobufSchema(schema)
        return _message(known.named(schema.message) if schema.message else known.outermost)
    return _JsonSchema(schema).shape()


def record_name(schema: Schema) -> str:
    """The full name of a schema's records; "" if it has none. Raises SchemaError."""
    if schema.kind == "AVRO":
        from agent.core.decode.avro_schema import parse_schema

        name = parse_schema(schema.text, schema.references).parsed["name"]
    elif schema.kind == "PROTOBUF":
        from agent.core.decode.protobuf_schema import ProtobufSchema

        name = schema.message or ProtobufSchema(schema).outermost.full_name
    else:
        root = _parsed(schema.text)
        name = root.get("title", "") if isinstance(root, dict) else ""
    return str(name)


def _either(shapes: Iterable[Shape]) -> Shape:
    """The shape of a value that has one of some shapes."""
    each = list(shapes)
    if len(each) == 1:
        return each[0]
    kinds = frozenset().union(*(shape.kinds for shape in each))
    names = dict.fromkeys(name for shape in each for name in shape.members)
    rests = [shape.rest for shape in each if shape.rest is not None]
    items = [shape.items for shape in each if shape.items is not None]
    objects = [shape for shape in each if "object" in shape.kinds]
    texts = [shape for shape in each if "string" in shape.kinds]
    is_listed = all(shape.values for shape in texts)
    return Shape(
        kinds,
        any(shape.may_lack for shape in each),
        {name: _member(objects, name) for name in names},
        rests[0] if rests else None,
        items[0] if items else None,
        tuple(value for shape in texts for value in shape.values) if is_listed else (),
    )


def _member(objects: Iterable[Shape], name: str) -> Shape:
    """A member of a value that is one of some objects; it may be absent if one of them lacks it."""
    each = [shape.members.get(name, Shape(frozenset(), may_lack=True)) for shape in objects]
    return _either(each)


def _avro(type: AvroType) -> Shape:
    if type.kind == "union":
        others = [_avro(branch) for branch in type.branches if branch.kind != "null"]
        shape = _either(others)
        has_null = len(others) < len(type.branches)
        return _lacking(shape) if has_null else shape
    if type.kind == "record":
        members = {f.name: replace(_avro(f.type), has_default=f.has_default) for f in type.fields}
        aliases = {alias: members[f.name] for f in type.fields for alias in f.aliases}
        former = frozenset(aliases.keys() - members.keys())
        return Shape(frozenset({"object"}), members=aliases | members, aliases=former)
    if type.kind == "map" and type.items is not None:
        return Shape(frozenset({"object"}), rest=_lacking(_avro(type.items)))
    if type.kind == "array" and type.items is not None:
        return Shape(frozenset({"array"}), items=_avro(type.items))
    if type.kind == "recursive":
        return ANYTHING
    return Shape(
        frozenset({_avro_kind(type)}),
        values=type.symbols,
        logical=_avro_logical(type),
        scale=type.scale if type.logical == "decimal" else None,
    )


def _avro_kind(type: AvroType) -> str:
    logical = type.logical or ""
    if logical == "decimal":
        return "number"
    if logical == "date" or logical.startswith("local-"):
        return "string"
    return _AVRO.get(type.kind, "string")


def _avro_logical(type: AvroType) -> str:
    if type.logical is None:
        return "bytes" if type.kind in ("bytes", "fixed") else ""
    return type.logical.rpartition("-")[0] or type.logical


_AVRO = {
    "int": "integer", "long": "integer", "float": "number", "double": "number",
    "boolean": "boolean",
}  # fmt: skip


def _lacking(shape: Shape) -> Shape:
    return replace(shape, may_lack=True)


_PROTOBUF = {
    1: "integer", 2: "integer", 3: "integer", 4: "integer", 5: "number", 6: "number",
    7: "boolean", 8: "string", 9: "string",
}  # fmt: skip
"""By FieldDescriptor.CppType, except messages (10)."""


def _message(message: Descriptor, depth: int = 0) -> Shape:
    special = _WELL_KNOWN.get(message.full_name)
    if special is not None:
        return special
    if depth > DEEPEST:
        return ANYTHING
    members = {f.name: _protobuf_field(f, depth) for f in message.fields}
    return Shape(frozenset({"object"}), members=members)


def _protobuf_field(field: FieldDescriptor, depth: int) -> Shape:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        value = _protobuf_value(entry.fields_by_name["value"], depth)
        return Shape(frozenset({"object"}), rest=_lacking(value))
    value = _protobuf_value(field, depth)
    if field.is_repeated:
        return Shape(frozenset({"array"}), items=value)
    # Any message may be absent in Protobuf; only for scalars is that declared explicitly.
    is_optional = field.has_presence and field.message_type is None
    return _lacking(value) if is_optional else value


def _protobuf_value(field: FieldDescriptor, depth: int) -> Shape:
    if field.message_type is not None:
        return _message(field.message_type, depth + 1)
    if field.enum_type is not None:
        return Shape(frozenset({"string"}), values=tuple(field.enum_type.values_by_name))
    logical = "bytes" if field.type == field.TYPE_BYTES else ""
    return Shape(frozenset({_PROTOBUF[field.cpp_type]}), logical=logical)


_WELL_KNOWN = {
    "google.protobuf.Timestamp": Shape(frozenset({"integer"}), logical="timestamp"),
    "google.protobuf.Duration": Shape(frozenset({"number"}), logical="duration"),
    "confluent.type.Decimal": Shape(frozenset({"number"}), logical="decimal"),
    **dict.fromkeys(
        (f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue")), ANYTHING
    ),
    **{
        f"google.protobuf.{name}Value": Shape(frozenset({kind}), may_lack=True)
        for name, kind in {
            "Double": "number", "Float": "number", "Int64": "integer", "UInt64": "integer",
            "Int32": "integer", "UInt32": "integer", "Bool": "boolean", "String": "string",
            "Bytes": "string",
        }.items()
    },
}  # fmt: skip
"""Well-known messages that are not an object in JSON."""


_FORMATS = {"date-time": "timestamp", "date": "date", "uuid": "uuid"}
"""JSON Schema's `format`, as logical types."""


class _JsonSchema:
    """A JSON Schema of any draft: its types, members and items. Other keywords (patterns,
    conditions) do not affect the shape."""

    def __init__(self, schema: Schema) -> None:
        self._root = _parsed(schema.text)
        self._named = {name: _parsed(text) for name, text in schema.references}

    def shape(self) -> Shape:
        return self._of(self._root, self._root, 0)

    def _of(self, schema: Any, root: Any, depth: int) -> Shape:
        """`root` is the document in which references of the schema are looked up."""
        if not isinstance(schema, dict) or depth > DEEPEST:
            return ANYTHING
        if isinstance(schema.get("$ref"), str):
            return self._of(*self._referred(schema["$ref"], root), depth + 1)
        own = self._own(schema, root, depth)
        for key in ("anyOf", "oneOf"):
            branches = [b for b in _list(schema.get(key)) if b != {"type": "null"}]
            if branches:
                either = _either(self._of(branch, root, depth + 1) for branch in branches)
                has_null = len(branches) < len(schema[key])
                own = _both(own, _lacking(either) if has_null else either)
        for part in _list(schema.get("allOf")):
            own = _both(own, self._of(part, root, depth + 1))
        return own

    def _own(self, schema: Mapping[str, Any], root: Any, depth: int) -> Shape:
        """The shape by a schema's own keywords, without schemas that it refers to."""
        said = schema.get("type", schema.get("enum") and _types(schema["enum"]))
        types = {said} if isinstance(said, str) else set(said or (*ANYTHING_KINDS, "null"))
        required = schema.get("required") or ()
        members = {
            name: _present(self._of(part, root, depth + 1), name in required)
            for name, part in (schema.get("properties") or {}).items()
        }
        more = schema.get("additionalProperties", None if members else True)
        rest = None if more in (False, None) else self._of(more, root, depth + 1)
        items = schema.get("items")
        return Shape(
            frozenset(types - {"null"}),
            "null" in types,
            members,
            None if rest is None else _lacking(rest),
            self._of(items, root, depth + 1) if isinstance(items, dict) else ANYTHING,
            tuple(value for value in _list(schema.get("enum")) if isinstance(value, str)),
            _FORMATS.get(str(schema.get("format")), ""),
        )

    def _referred(self, reference: str, root: Any) -> tuple[Any, Any]:
        document, _, pointer = reference.partition("#")
        at = root if not document else self._named.get(document)
        root = at
        for step in filter(None, pointer.split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            at = at.get(key) if isinstance(at, dict) else None
        return at, root


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as cause:
        raise SchemaError(f"no JSON Schema: {cause}") from cause


def _present(shape: Shape, is_required: bool) -> Shape:
    return shape if is_required else _lacking(shape)


def _both(first: Shape, second: Shape) -> Shape:
    """The shape of a value that has two shapes at once. An integer is a number, too."""
    kinds = first.kinds & second.kinds
    if "number" in first.kinds | second.kinds:
        kinds |= {"integer"} & (first.kinds | second.kinds)
    return Shape(
        kinds,
        first.may_lack and second.may_lack,
        {**first.members, **second.members},
        first.rest if first.members else second.rest,
        second.items if first.items in (None, ANYTHING) else first.items,
        first.values or second.values,
        first.logical or second.logical,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _types(values: Iterable[Any]) -> list[str]:
    names = {bool: "boolean", str: "string", int: "integer", float: "number", type(None): "null"}
    return [names.get(type(value), "object") for value in values]
