"""The keys of records as text: `{key: true}`.

A key that names a schema of the registry is what it encodes: a string or number as text, a record
as JSON. Serializers of a registry write such keys also where they are single values. Any other key
is the text of its bytes.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent.core.decode.batch import Batch, Rows
from agent.core.decode.codec import BodyError, encode_json
from agent.core.decode.format import UnreadableError
from agent.core.decode.schemas import KEY_HEADER, SchemaError, grouped, headers_of
from agent.core.decode.single_record import tree_of
from agent.core.decode.tree import text_of
from agent.core.model.events import Schema

if TYPE_CHECKING:
    from agent.core.decode.avro_schema import AvroSchema
    from agent.core.decode.protobuf_format import ProtobufCodec


def key_texts(batch: Batch, rows: Rows) -> list[bytes | None]:
    """The key of each record as UTF-8; None where there is none, the key itself where it is not
    readable."""
    texts = [batch.key(row) for row in rows.tolist()]
    if not batch.schemas:
        return texts
    keys = [key or b"" for key in texts]
    groups, _ = grouped(keys, headers_of(batch, rows, KEY_HEADER))
    for group in groups:
        schema = batch.schemas.get(group.schema)
        if schema is None:
            continue
        for index in group.indices.tolist():
            if keys[index]:
                with suppress(BodyError, SchemaError, UnreadableError):
                    body = group.rest + keys[index][group.skip :]
                    texts[index] = text_of_key(_value(schema, body))
    return texts


def text_of_key(value: Any) -> bytes | None:
    """What a key encodes as UTF-8: a string or number as it is, other values as JSON; None for
    null."""
    if value is None:
        return None
    text = text_of(value)
    return encode_json(value) if text is None else text.encode()


def _value(schema: Schema, body: bytes) -> Any:
    """What a key encodes, as JSON. Raises BodyError, SchemaError and UnreadableError."""
    if schema.kind == "JSON":
        return tree_of(body, None)
    if schema.kind == "PROTOBUF":
        from agent.core.decode.protobuf_schema import json_value

        return json_value(_protobuf(schema).parse(body))
    from agent.core.decode.avro_json import read_avro

    return read_avro(_avro(schema), body)


@lru_cache(maxsize=1024)
def _avro(schema: Schema) -> AvroSchema:
    from agent.core.decode.avro_schema import parse_any_schema

    return parse_any_schema(schema.text, schema.references)


@lru_cache(maxsize=1024)
def _protobuf(schema: Schema) -> ProtobufCodec:
    from agent.core.decode.protobuf_format import ProtobufCodec

    return ProtobufCodec(schema)
