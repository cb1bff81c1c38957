"""JSON records as a registry's serializers write them: a zero byte, the schema's id, the JSON.

JSON needs no schema to be read, so the five bytes are left out where they stand; a record without
them, as with the id in a header, is read as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Records, Rows
from agent.core.decode.format import Columns, Demand, Flags, Kind, Problem, Reader, Screened
from agent.core.decode.json_format import JSON
from agent.core.decode.schemas import PREFIX_BYTES
from agent.core.model.paths import Keys
from agent.core.model.results import Reason


class FramedJson:
    """The format `json` with `schema: registry`."""

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """Records without JSON, and those that JSON refuses."""
        bodies = [_bare(record) for record in chunk.records]
        empty = [index for index, body in enumerate(bodies) if not body]
        for index in empty:
            bodies[index] = b"{}"
        lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
        screened = JSON.screen(batch, Chunk(chunk.rows, bodies), lengths)
        nothing = Reason.NOT_JSON, "nothing follows the schema's id"
        return Screened(screened.blank, dict(screened.problems) | dict.fromkeys(empty, nothing))

    def reader(self, demands: Iterable[Demand]) -> FramedReader:
        """A reader for demands."""
        return FramedReader(JSON.reader(demands))

    def reaches(self, demand: Demand) -> bool:
        """Whether a reader can have a column for a demand."""
        return JSON.reaches(demand)

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record is no JSON object, None if it is one."""
        return JSON.problem(_bared(batch), row)

    def label(self, batch: Batch, row: int) -> str:
        """The schema whose id stands before the JSON."""
        content = batch.value(row)
        is_framed = len(content) >= PREFIX_BYTES and content[0] == 0
        return f"schema {int.from_bytes(content[1:PREFIX_BYTES], 'big')}" if is_framed else ""

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None where it is absent or null."""
        return JSON.value(_bared(batch), row, path)

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record. Raises UnreadableError."""
        return JSON.tree(_bared(batch), row, keys)

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record's key. Raises UnreadableError."""
        return JSON.key_tree(_bared(batch), row, keys)

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column were something else in their record (null is not)."""
        bare = Records(_bared(records.batch), records.rows)
        return JSON.wrong_types(bare, values, path, kind, unsure)


class FramedReader:
    """Reads JSON behind the ids of schemas as columns."""

    def __init__(self, json: Reader) -> None:
        self._json = json
        self.column = json.column
        self.empty = json.empty

    @property
    def reads(self) -> int:
        """How often it goes over the records."""
        return self._json.reads

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """In which records everything is of a type that the demands allow."""
        return self._json.are_proven([_bare(record) for record in records])

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""
        return self._json.read(batch, Chunk(chunk.rows, [_bare(each) for each in chunk.records]))


class _Bare(Sequence[bytes | None]):
    """Contents of records without what stands before the JSON."""

    def __init__(self, contents: Sequence[bytes | None]) -> None:
        self._contents = contents

    def __len__(self) -> int:
        return len(self._contents)

    def __getitem__(self, index: Any) -> Any:
        content = self._contents[index]
        return None if content is None else _bare(content)


def _bared(batch: Batch) -> Batch:
    return replace(batch, values=_Bare(batch.values), keys=_Bare(batch.keys) if batch.keys else ())


def _bare(content: bytes) -> bytes:
    return content[PREFIX_BYTES:] if content[:1] == b"\0" else content
