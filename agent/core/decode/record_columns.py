"""Columns of a record's key, headers, timestamp, topic, partition and schema.

They are made from the batch, independently of the format. Text is parsed as the demanded type, as
in `extraction`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

import polars as pl

from agent.core.decode.batch import Batch, Rows
from agent.core.decode.codec import BodyError
from agent.core.decode.format import DType, Format
from agent.core.decode.schema_shape import record_name
from agent.core.decode.schemas import SchemaError, grouped, headers_of
from agent.core.model.events import Schema
from agent.core.model.paths import TEXT_ROOTS, Root


def record_names(batch: Batch, rows: Rows) -> list[str | None]:
    """What the schemas that records name call them: `com.example.OrderPaid`; None: not known.

    In a topic with several kinds of records, as producers with RecordNameStrategy write it, nothing
    else may tell one kind from another.
    """
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


_INTEGER = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_NUMBERS = ("timestamp", "partition", "offset", "index")


def has_column(root: Root, dtype: DType, *, is_text: bool) -> bool:
    """Whether a root has a column of a dtype. `is_text`: only text is acceptable."""
    if root.part in TEXT_ROOTS:
        return True
    if root.part in ("topic", "schema"):
        return dtype == pl.String
    return root.part in _NUMBERS and dtype != pl.Boolean and not is_text


def record_column(
    format: Format, batch: Batch, rows: Rows, root: Root, dtype: DType
) -> tuple[pl.Series, Rows]:
    """The values at a root for some rows of a batch, and the rows whose value there has another
    type."""
    if root.part == "topic":
        return pl.Series([batch.topic]).new_from_index(0, rows.size), rows[:0]
    if root.part == "schema":
        return pl.Series(record_names(batch, rows), dtype=pl.String), rows[:0]
    if root.part in _NUMBERS:
        return _numbers(batch, rows, root).cast(dtype), rows[:0]
    if not (batch.headers if root.part == "header" else batch.keys):
        return pl.Series([None], dtype=dtype).new_from_index(0, rows.size), rows[:0]
    raw = pl.Series(_contents(format, batch, rows, root), dtype=pl.Binary)
    text = _text(raw)
    values = text if dtype == pl.String else _read(text, dtype)
    is_wrong = (values.is_null() & raw.is_not_null()).to_numpy()
    return values, rows[is_wrong]


def _contents(format: Format, batch: Batch, rows: Rows, root: Root) -> list[bytes | None]:
    if root.part == "key_text":
        return format.key_texts(batch, rows)
    return [batch.header(row, root.name) for row in rows.tolist()]


def _text(contents: pl.Series) -> pl.Series:
    """Decode UTF-8; invalid text is null."""
    try:
        return contents.cast(pl.String)
    except pl.exceptions.ComputeError:  # some value is not UTF-8
        return pl.Series([_decoded(content) for content in contents], dtype=pl.String)


def _decoded(content: bytes | None) -> str | None:
    with suppress(UnicodeDecodeError):
        return None if content is None else content.decode()
    return None


def _numbers(batch: Batch, rows: Rows, root: Root) -> pl.Series:
    if root.part == "partition":
        return pl.Series(batch.positions.get("partition", batch.partitions)[rows].astype("int64"))
    if root.part == "offset":
        return pl.Series(batch.positions.get("offset", batch.offsets)[rows])
    stamps = pl.Series(batch.timestamps[rows])
    if not batch.timestamped:
        return pl.Series([None], dtype=pl.Int64).new_from_index(0, rows.size)
    return stamps.set(stamps <= 0, None)  # Kafka writes -1 for none


def _read(text: pl.Series, dtype: DType) -> pl.Series:
    """Parse text as a dtype; null if it can't be parsed."""
    if dtype == pl.Boolean:
        words = {"true": True, "false": False}
        return text.replace_strict(words, default=None, return_dtype=pl.Boolean)
    pattern = _INTEGER if dtype == pl.Int64 else _NUMBER
    digits = pl.when(text.str.contains(pattern)).then(text.str.strip_prefix("+"))
    values = pl.select(digits.cast(dtype, strict=False)).to_series()
    return values.set(values.is_infinite(), None) if dtype == pl.Float64 else values
