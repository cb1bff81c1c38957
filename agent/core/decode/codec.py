"""What reads the records of one schema: the seam between the formats that have schemas and
`schema_format`, which does for all of them what does not depend on the encoding."""

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
"""So many records are read at once, so that a bad one makes few others be read twice."""

encode_json = msgspec.json.Encoder(decimal_format="number").encode


class BodyError(Exception):
    """A record, or one of several, is not what its schema says. The message says how.

    `is_cut`: it ends before its schema does, so nothing can read it.
    """

    def __init__(self, message: str, *, is_cut: bool = False) -> None:
        super().__init__(message)
        self.is_cut = is_cut


class NotColumnarError(Exception):
    """These records are read one by one only."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of some records: a column for each demand, by its index (`c0`, …), and whether
    some value of a record is null there without being null in the record. `unreadable`: indices of
    records that have no row."""

    frame: pl.DataFrame
    unsure: Flags
    unreadable: Sequence[int] = ()


class ColumnReader(Protocol):
    """Reads what some demands ask for of records of one schema."""

    def read(self, bodies: Sequence[bytes]) -> Read:
        """The columns of at most CHUNK_RECORDS records. Raises BodyError where any of them is not
        what the schema says, which it may also say in `unreadable`; and NotColumnarError."""


class Codec(Protocol):
    """Reads records of one schema."""

    def tree(self, body: bytes) -> dict[str, Any]:
        """The JSON object that a record means. Raises BodyError."""

    def reader(self, demands: Sequence[KeyDemand]) -> ColumnReader | None:
        """A reader of columns; None where these records are read one by one only."""

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether whatever can stand at a path is what it has to be; None: the record decides."""


@dataclass(frozen=True, slots=True)
class CodecGroup:
    """Records of one schema: its name ("" for that of a file), their indices, what reads them or
    why nothing does."""

    schema: SchemaId
    indices: Rows
    skip: int
    rest: bytes
    codec: Codec | Problem

    def bodies(self, records: Sequence[bytes], indices: Rows) -> list[bytes]:
        """Some records of the group without what stands before them."""
        skip, rest = self.skip, self.rest
        if rest:
            return [rest + records[index] for index in indices.tolist()]
        return [records[index][skip:] for index in indices.tolist()]


def batch_of(documents: Sequence[bytes]) -> Batch:
    """Documents as a batch, for what takes their records from one."""
    none = np.zeros(len(documents), np.int64)
    return Batch("", documents, none.astype(np.int32), none, none)
