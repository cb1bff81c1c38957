"""The interface between formats with schemas and `schema_format`, which does everything that does
not depend on the encoding: a `Codec` reads the records of one schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Rows
from agent.core.decode.format import Flags, KeyDemand, Kind, Problem
from agent.core.decode.schemas import SchemaId
from agent.core.model.paths import Keys

CHUNK_RECORDS = 4096
"""The number of records that are read at once, so that few are read twice because of a bad one."""

encode_json = msgspec.json.Encoder(decimal_format="number").encode


class BodyError(Exception):
    """A record, or one of several, does not match its schema. The message says why.

    `is_cut`: the record is too short for its schema.
    """

    def __init__(self, message: str, *, is_cut: bool = False) -> None:
        super().__init__(message)
        self.is_cut = is_cut


class NotColumnarError(Exception):
    """These records can only be read one by one."""


@dataclass(frozen=True, slots=True)
class ColumnRead:
    """Columns of some records: `frame` has one for each demand, by its index (`c0`, …). `unsure`:
    whether a record has a value that is null here only because of its type. `unreadable`: indices
    of records without a row."""

    frame: pl.DataFrame
    unsure: Flags
    unreadable: Sequence[int] = ()


class ColumnReader(Protocol):
    """Reads the demanded columns of records of one schema."""

    def read(self, bodies: Sequence[bytes]) -> ColumnRead:
        """The columns of at most CHUNK_RECORDS records. Records that don't match the schema are in
        `unreadable`, or cause a BodyError. Raises NotColumnarError if the records can only be read
        one by one."""


class Codec(Protocol):
    """Reads records of one schema."""

    def tree(self, body: bytes) -> dict[str, Any]:
        """A record as the equivalent JSON object. Raises BodyError."""

    def reader(self, demands: Sequence[KeyDemand]) -> ColumnReader | None:
        """A reader of columns; None if the records can only be read one by one."""

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether all values at a path have the required kind; None: it depends on the record."""


@dataclass(frozen=True, slots=True)
class CodecGroup:
    """Records of one schema: its id ("" for a schema from a file), the indices of the records, and
    the codec, or the problem if there is none. `skip`, `rest`: see `schemas.Group`."""

    schema: SchemaId
    indices: Rows
    skip: int
    rest: bytes
    codec: Codec | Problem

    def bodies(self, records: Sequence[bytes], indices: Rows) -> list[bytes]:
        """The records at some indices, without the schema id before them."""
        skip, rest = self.skip, self.rest
        if rest:
            return [rest + records[index] for index in indices.tolist()]
        return [records[index][skip:] for index in indices.tolist()]


def batch_of(documents: Sequence[bytes]) -> Batch:
    """Documents as a batch, for readers that need one."""
    none = np.zeros(len(documents), np.int64)
    return Batch("", documents, none.astype(np.int32), none, none)
