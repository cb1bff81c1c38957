"""JSON records with a schema id in front, as the serializers of a schema registry write them.

A record is a zero byte, the four bytes of the schema's id, and the JSON. JSON can be read without
its schema, so the five bytes are skipped; records without them (with the id in a header) are read
as they are. Keys that name a schema are read as JSON, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Records, Rows
from agent.core.decode.format import (
    Columns,
    Demand,
    Flags,
    Kind,
    Problem,
    Screened,
    UnreadableError,
)
from agent.core.decode.json_format import JsonFormat, JsonReader
from agent.core.decode.record_keys import text_of_key
from agent.core.decode.schemas import KEY_HEADER, PREFIX_BYTES
from agent.core.decode.single_record import tree_of
from agent.core.model.paths import Keys
from agent.core.model.results import Reason


class FramedJson(JsonFormat):
    """The format `json` with `schema: registry`."""

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """Records without JSON, and those that the JSON format screens."""
        bodies = [_unframed(record) for record in chunk.records]
        empty = [index for index, body in enumerate(bodies) if not body]
        for index in empty:
            bodies[index] = b"{}"
        lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
        screened = super().screen(batch, Chunk(chunk.rows, bodies), lengths)
        nothing = Reason.NOT_JSON, "nothing follows the schema's id"
        return Screened(screened.blank, dict(screened.problems) | dict.fromkeys(empty, nothing))

    def reader(self, demands: Iterable[Demand]) -> FramedReader:
        """A reader for demands."""
        return FramedReader(demands)

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record is not a JSON object; None: it is one."""
        return super().problem(_unframed_batch(batch), row)

    def label(self, batch: Batch, row: int) -> str:
        """The schema whose id is before the JSON."""
        content = batch.value(row)
        is_framed = len(content) >= PREFIX_BYTES and content[0] == 0
        return f"schema {int.from_bytes(content[1:PREFIX_BYTES], 'big')}" if is_framed else ""

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None if it is absent or null."""
        return super().value(_unframed_batch(batch), row, path)

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record. Raises UnreadableError."""
        return super().tree(_unframed_batch(batch), row, keys)

    def key_texts(self, batch: Batch, rows: Rows) -> list[bytes | None]:
        """The key of each record as UTF-8, read as JSON if it names a schema; None where there is
        none."""
        return [_key_text(batch, row) for row in rows.tolist()]

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record's key. Raises UnreadableError."""
        return super().key_tree(_unframed_batch(batch), row, keys)

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column have another kind in their record (null does not count)."""
        bare = Records(_unframed_batch(records.batch), records.rows)
        return super().wrong_types(bare, values, path, kind, unsure)


class FramedReader(JsonReader):
    """Reads JSON records with schema ids as columns."""

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """Which records are known to have only values of the demanded types."""
        return super().are_proven([_unframed(record) for record in records])

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""
        return super().read(batch, Chunk(chunk.rows, [_unframed(each) for each in chunk.records]))


class _UnframedContents(Sequence[bytes | None]):
    """A view of values or keys without their schema ids."""

    def __init__(self, contents: Sequence[bytes | None]) -> None:
        self._contents = contents

    def __len__(self) -> int:
        return len(self._contents)

    def __getitem__(self, index: Any) -> Any:
        content = self._contents[index]
        return None if content is None else _unframed(content)


def _unframed_batch(batch: Batch) -> Batch:
    return replace(
        batch,
        values=_UnframedContents(batch.values),
        keys=_UnframedContents(batch.keys) if batch.keys else (),
    )


def _key_text(batch: Batch, row: int) -> bytes | None:
    key = batch.key(row)
    if not key or (key[:1] != b"\0" and batch.header(row, KEY_HEADER) is None):
        return key
    try:
        return text_of_key(tree_of(_unframed(key), None))
    except UnreadableError:
        return key


def _unframed(content: bytes) -> bytes:
    return content[PREFIX_BYTES:] if content[:1] == b"\0" else content
