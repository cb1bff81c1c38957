"""Protobuf schemas, and the conversion of messages to equivalent JSON.

A schema is the text of a FileDescriptorSet in base64, with its main file last. Messages, repeated
fields and maps become JSON objects and arrays, and fields have their names of the `.proto` file. An
unset field is null; a field without presence (proto3 without `optional`) has its default. 64-bit
integers are numbers, an enum is the name of its value, bytes are base64, NaN and the infinities are
null. Well-known types: a Timestamp is a number of nanoseconds (`avro_json.timestamp`), a Duration a
number of seconds, a wrapper its value; Struct and Value are their JSON, and Confluent's Decimal is
a number.

https://protobuf.dev/programming-guides/field_presence/, .../proto3/#json
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from agent.core.decode.avro_json import decimal
from agent.core.decode.schema_times import timestamp
from agent.core.decode.schemas import SchemaError
from agent.core.model.events import Schema

NANOS = 1_000_000_000
WELL_KNOWN = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
    )
}  # fmt: skip
"""Files that a descriptor set may lack, because every compiler has them."""


def file_set(text: str) -> descriptor_pb2.FileDescriptorSet:
    """The descriptor set of a schema's text. Raises SchemaError."""
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, Exception) as cause:
        raise SchemaError("no Protobuf descriptor set") from cause
    if not files.file:
        raise SchemaError("a Protobuf descriptor set without a file")
    return files


class ProtobufSchema:
    """The messages of a schema. Raises SchemaError."""

    def __init__(self, schema: Schema) -> None:
        files = file_set(schema.text)
        self._pool = descriptor_pool.DescriptorPool()
        names = {file.name for file in files.file}
        try:
            for name, content in WELL_KNOWN.items():
                if name not in names:
                    self._pool.AddSerializedFile(content)
            for file in files.file:
                self._pool.Add(file)
            self._main = self._pool.FindFileByName(files.file[-1].name)
            messages = list(self._main.message_types_by_name.values())
        except (TypeError, KeyError, ValueError) as cause:
            raise SchemaError(f"no Protobuf schema: {cause}") from cause
        if not messages:
            raise SchemaError(f"{self._main.name} declares no message")
        # In the order of the file, which the mapping does not keep.
        order = {message.name: at for at, message in enumerate(files.file[-1].message_type)}
        self._messages = sorted(messages, key=lambda message: order[message.name])

    @property
    def first(self) -> Descriptor:
        """The message that is declared first."""
        return self._messages[0]

    @property
    def outermost(self) -> Descriptor:
        """The message of records, as far as the file shows: the only one that no other message of
        the file holds, or the first."""
        held = {
            field.message_type.full_name
            for message in self._messages
            for field in message.fields
            if field.message_type is not None and field.message_type.full_name != message.full_name
        }
        outer = [message for message in self._messages if message.full_name not in held]
        return outer[0] if len(outer) == 1 else self.first

    @property
    def only(self) -> Descriptor | None:
        """The message of all records, if the schema has only one."""
        sole = self._messages[0]
        return sole if len(self._messages) == 1 and not sole.nested_types else None

    def named(self, name: str) -> Descriptor:
        """A message by its full name. Raises SchemaError."""
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError as cause:
            known = ", ".join(message.full_name for message in self._messages)
            raise SchemaError(f"there is no message {name}; there are {known}") from cause

    def indexed(self, indexes: tuple[int, ...]) -> Descriptor | None:
        """A message by its indexes in the main file, as in Confluent's wire format."""
        messages, message = self._messages, None
        for index in indexes:
            if not 0 <= index < len(messages):
                return None
            message = messages[index]
            messages = list(message.nested_types)
        return message


def message_class(message: Descriptor) -> Any:
    """The class that parses messages."""
    return message_factory.GetMessageClass(message)


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    entry = field.message_type
    return entry is not None and entry.GetOptions().map_entry


def json_value(message: Any) -> Any:
    """A message as JSON."""
    special = SPECIAL.get(message.DESCRIPTOR.full_name)
    if special is not None:
        return special(message)
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Any, field: FieldDescriptor) -> Any:
    if field.is_repeated:
        values = getattr(message, field.name)
        if is_map(field):
            value = field.message_type.fields_by_name["value"]
            return {_key(key): json_field_value(values[key], value) for key in values}
        return [json_field_value(value, field) for value in values]
    if field.has_presence and not message.HasField(field.name):
        return None
    return json_field_value(getattr(message, field.name), field)


def json_field_value(value: Any, field: FieldDescriptor) -> Any:
    """A single value of a field as JSON."""
    if field.message_type is not None:
        return json_value(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def _timestamp(message: Any) -> int | str:
    return timestamp(message.seconds * NANOS + message.nanos, NANOS, is_local=False)


def _duration(message: Any) -> Decimal:
    return Decimal(message.seconds * NANOS + message.nanos).scaleb(-9).normalize()


def _decimal(message: Any) -> Any:
    return decimal(int.from_bytes(message.value, "big", signed=True), max(0, message.scale))


def _json(message: Any) -> Any:
    return json_format.MessageToDict(message)


def _wrapped(message: Any) -> Any:
    return json_field_value(message.value, message.DESCRIPTOR.fields_by_name["value"])


SPECIAL: Mapping[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _json,
    "google.protobuf.Value": _json,
    "google.protobuf.ListValue": _json,
    "confluent.type.Decimal": _decimal,
    **{
        f"google.protobuf.{name}": _wrapped
        for name in wrappers_pb2.DESCRIPTOR.message_types_by_name
    },
}
"""Messages that are not objects in JSON, and their conversion."""
