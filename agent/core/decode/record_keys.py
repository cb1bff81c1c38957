"""The keys of records as text: `{key: true}`.

A key that names an Avro schema of the registry is what it encodes: a string or number as text, a
record as JSON. Serializers of a registry write such keys also where they are single values. Any
other key is the text of its bytes.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from agent.core.decode.batch import Batch, Rows
from agent.core.decode.codec import BodyError, encode_json
from agent.core.decode.schemas import KEY_HEADER, SchemaError, grouped, headers_of
from agent.core.decode.tree import text_of
from agent.core.model.schemas import Schema

if TYPE_CHECKING:
    from agent.core.decode.avro_schema import AvroSchema


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
        if schema is None or schema.kind != "AVRO":
            continue
        for index in group.indices.tolist():
            if keys[index]:
                with suppress(BodyError, SchemaError):
                    texts[index] = _text(schema, keys[index][group.skip :])
    return texts


def _text(schema: Schema, body: bytes) -> bytes | None:
    from agent.core.decode.avro_json import read_avro

    value = read_avro(_parsed(schema), body)
    if value is None:
        return None
    text = text_of(value)
    return encode_json(value) if text is None else text.encode()


@lru_cache(maxsize=1024)
def _parsed(schema: Schema) -> AvroSchema:
    from agent.core.decode.avro_schema import parse_any_schema

    return parse_any_schema(schema.text, schema.references)
