"""What goes into the decoder and what comes out: a batch of records, and what became of each."""

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

    `keys` has the key of each record; empty: none has one. `headers` are by row, of those rows that
    have any. `schemas` is what the topic's format needs beside the records (the schemas that they
    were written with); only the format knows what it is.

    `timestamps` are the broker's, ms since the epoch: events from the future, and those from too
    long ago, are found by them. `timestamped` is false of records that carry none, as the lines of
    a file: then `timestamps` is the clock, and an event may be as old as it likes.
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
    """Records of a batch that are read together, none of them empty, and their rows."""

    rows: Rows
    records: Sequence[bytes]

    @cached_property
    def joined(self) -> bytes:
        """The records as one text: a blank, then the records with a line break between them.

        The blank keeps polars from decompressing a record that begins with the magic number of
        gzip, zlib or zstd.
        """
        return b"\n".join((b" " + b"".join(self.records[:1]), *self.records[1:]))


def parts(count: int, most: int) -> Iterator[slice]:
    """So many rows in parts of about the same size, of at most `most` rows each."""
    edges = np.linspace(0, count, -(-count // most) + 1).astype(int).tolist()
    return (slice(start, stop) for start, stop in pairwise(edges))


@dataclass(frozen=True, slots=True)
class Records:
    """The records of some rows of a batch, none of which is a tombstone."""

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
    """What became of a batch; rows are indices into it.

    `tables` has every contract of the topic, by name, with the columns of docs/architecture.md; a
    record that holds several events, or lines of one, has as many rows in a table.
    `rejects`: (row, reject), by row; a record may be rejected by one contract and be in the table
    of another. `empty`: tombstones and blank values. `ignored`: records that no contract is
    interested in. Both int64, ascending. `wrong_types`: the rows of a contract's table in which an
    optional field is null because the record has something of another type there, by (contract,
    field). `repeated_ms`: by contract, the (row, time) of times that happen twice, with how much
    later (ms) the second time is; `_time` is the first.
    """

    tables: Mapping[str, pl.DataFrame]
    rejects: tuple[tuple[int, Reject], ...]
    empty: Rows
    ignored: Rows
    wrong_types: Mapping[tuple[str, str], Rows]
    repeated_ms: Mapping[str, Mapping[tuple[int, int], int]] = field(default_factory=dict)
