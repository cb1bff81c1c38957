"""The input and the output of the decoder: a batch of records, and the decoded batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.model.results import Reject

Rows = npt.NDArray[np.int64]
"""Indices of records in their batch."""


Headers = Sequence[tuple[str, bytes]]
"""The headers of a record, in their order; a name may occur more than once."""


@dataclass(frozen=True)
class Batch:
    """Records of one topic, in the order (partition, offset).

    `keys` has the key of each record; empty: no record has one. `headers` has the headers by row,
    for rows that have any. `schemas`: the schemas that the records were written with, as their
    format needs them.

    `timestamps` are the records' in ms since the epoch, with which event times are compared
    (`max_future`, `max_past`). `timestamped` False: the records have no timestamps, as the lines of
    a file. Then `timestamps` is the clock, and events may be of any age.

    `positions`: the `partition` and `offset` (int64) that records of a file had in Kafka, for
    fields; `partitions` and `offsets` are those of the file as a source.
    """

    topic: str
    values: Sequence[bytes | None]
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    timestamped: bool = True
    keys: Sequence[bytes | None] = ()
    headers: Mapping[int, Headers] = field(default_factory=dict)
    schemas: Any = None
    positions: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> Rows:
        """The bytes of each record; a tombstone has none."""
        values, count = self.values, len(self.values)
        try:
            return np.fromiter(map(len, values), np.int64, count)  # type: ignore[arg-type]
        except TypeError:  # of a tombstone
            return np.fromiter((len(value or b"") for value in values), np.int64, count)

    def value(self, row: int) -> bytes:
        """The bytes of a record that is not a tombstone."""
        return self.values[row] or b""

    def key(self, row: int) -> bytes | None:
        """The key of a record."""
        return self.keys[row] if self.keys else None

    def header(self, row: int, name: str) -> bytes | None:
        """The last header of a record that has this name."""
        last = None
        for key, value in self.headers.get(row, ()):
            if key == name:
                last = value
        return last


@dataclass(frozen=True)
class Chunk:
    """Records of a batch that are read together, and their rows. No record is empty."""

    rows: Rows
    records: Sequence[bytes]

    @cached_property
    def joined(self) -> bytes:
        """The records as one text: a space, then the records with a line break between them.

        The blank keeps polars from decompressing a record that begins with the magic number of
        gzip, zlib or zstd.
        """
        return b"\n".join((b" " + b"".join(self.records[:1]), *self.records[1:]))


def parts(count: int, most: int) -> Iterator[slice]:
    """Slices of about the same size, of at most `most` rows each, for `count` rows."""
    edges = np.linspace(0, count, -(-count // most) + 1).astype(int).tolist()
    return (slice(start, stop) for start, stop in pairwise(edges))


@dataclass(frozen=True, slots=True)
class Records:
    """The records at some rows of a batch, without tombstones."""

    batch: Batch
    rows: Rows

    def at(self, indices: Rows) -> list[bytes]:
        """The records of some of the rows."""
        values = self.batch.values
        return [values[row] or b"" for row in self.rows[indices].tolist()]

    def all(self) -> list[bytes]:
        """The records of all rows."""
        return self.at(np.arange(len(self.rows)))


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded batch; rows are indices of its records.

    - `tables`: the table of each contract of the topic, by name, with the columns of
      docs/architecture.md. A record with several events, or lines of an event, has several rows.
    - `rejects`: (row, reject), by row. A record may be rejected by one contract and be in the table
      of another.
    - `empty`: tombstones and blank values. `ignored`: records that no contract matches. Both int64,
      ascending.
    - `wrong_types`: by (contract, field), the rows of the contract's table in which an optional
      field is null because the record has a value of another type.
    - `repeated_ms`: by contract, the (row, time) of local times that occur twice, with how much
      later (ms) the second time is; `_time` is the first.
    """

    tables: Mapping[str, pl.DataFrame]
    rejects: tuple[tuple[int, Reject], ...]
    empty: Rows
    ignored: Rows
    wrong_types: Mapping[tuple[str, str], Rows]
    repeated_ms: Mapping[str, Mapping[tuple[int, int], int]] = field(default_factory=dict)
