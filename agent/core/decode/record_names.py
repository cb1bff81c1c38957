"""What the schemas that records name call them: `com.example.OrderPaid`.

In a topic with several kinds of records, as producers with RecordNameStrategy write it, nothing
else may tell one kind from another.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from agent.core.decode.batch import Batch, Rows
from agent.core.decode.codec import BodyError
from agent.core.decode.schema_shape import record_name
from agent.core.decode.schemas import SchemaError, grouped, headers_of
from agent.core.model.schemas import Schema


def record_names(batch: Batch, rows: Rows) -> list[str | None]:
    """The full name of each record by its schema; None where it is not known."""
    names: list[str | None] = [None] * rows.size
    records = [batch.value(row) for row in rows.tolist()]
    groups, _ = grouped(records, headers_of(batch, rows))
    for group in groups:
        schema = (batch.schemas or {}).get(group.schema)
        if schema is None:
            continue
        for index in group.indices.tolist():
            if schema.kind == "PROTOBUF":
                names[index] = _message_name(schema, group.rest or records[index][group.skip :])
            else:
                names[index] = _name(schema)
    return names


@lru_cache(maxsize=1024)
def _name(schema: Schema) -> str | None:
    with suppress(SchemaError):
        return record_name(schema) or None
    return None


def _message_name(schema: Schema, body: bytes) -> str | None:
    """The message of a record, by the indexes that its body begins with."""
    from agent.core.decode.protobuf_format import message_indexes

    with suppress(BodyError):
        return _name_at(schema, message_indexes(body)[0])
    return None


@lru_cache(maxsize=1024)
def _name_at(schema: Schema, indexes: tuple[int, ...]) -> str | None:
    from agent.core.decode.protobuf_schema import ProtobufSchema

    with suppress(SchemaError):
        message = ProtobufSchema(schema).indexed(indexes)
        return None if message is None else message.full_name
    return None
