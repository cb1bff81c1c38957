"""Reads records of several schemas as columns.

If a chunk has records that can't be read, smaller parts of it are read, then single records. So the
cost of bad records is proportional to their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Rows, parts
from agent.core.decode.codec import (
    CHUNK_RECORDS,
    BodyError,
    Codec,
    CodecGroup,
    ColumnRead,
    ColumnReader,
    NotColumnarError,
    batch_of,
    encode_json,
)
from agent.core.decode.format import Columns, Demand, Flags, column_path
from agent.core.decode.json_format import JsonReader

_PART_RECORDS = 128
"""The size of parts in which bad records are searched for: a read has a fixed cost of about a
hundred records."""

Groups = Callable[[Batch, Rows, Sequence[bytes]], tuple[list[CodecGroup], Rows]]


class SchemaReader:
    """Reads records of several schemas as columns."""

    def __init__(self, groups: Groups, demands: Iterable[Demand]) -> None:
        self._groups = groups
        self._names = {demand: f"c{i}" for i, demand in enumerate(dict.fromkeys(demands))}
        self._json = JsonReader(self._names)
        self._readers: dict[Codec, ColumnReader | None] = {}
        self.reads = min(1, len(self._names))

    def column(self, demand: Demand) -> str:
        """The name of the column for a demand."""
        return self._names[demand]

    def empty(self) -> pl.DataFrame:
        """The columns of no records."""
        schema = {name: dtype for (_, dtype), name in self._names.items()}
        return pl.DataFrame(schema=schema | {"_row": pl.UInt32})

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """Which records are known to have only values of the demanded types: none."""
        return np.zeros(len(records), np.bool_)

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""
        rows, records = chunk.rows, chunk.records
        groups, _ = self._groups(batch, rows, records)
        frames = [self.empty()]
        unsure, unreadable = [rows[:0]], [rows[:0]]
        for group in groups:
            if isinstance(group.codec, tuple):
                continue
            bodies = group.bodies(records, group.indices)
            for indices, read in self._read(group.codec, bodies):
                own = rows[group.indices[indices]]
                if read.unreadable:
                    at = np.asarray(read.unreadable)
                    unreadable.append(own[at])
                    own = np.delete(own, at)
                if read.unsure.any():
                    unsure.append(own[read.unsure])
                index = pl.Series("_row", own, dtype=pl.UInt32)
                frames.append(read.frame.insert_column(read.frame.width, index))
        frame = pl.concat(frames)
        frame = frame if frame["_row"].is_sorted() else frame.sort("_row")
        return Columns(frame, np.concatenate(unsure), np.concatenate(unreadable).tolist())

    def _read(self, codec: Codec, bodies: Sequence[bytes]) -> Iterator[tuple[Rows, ColumnRead]]:
        """Read records in parts; yields the indices and the columns of each."""
        if codec not in self._readers:
            self._readers[codec] = codec.reader(
                [(column_path(path), dtype) for path, dtype in self._names]
            )
        reader = self._readers[codec]
        everything = np.arange(len(bodies))
        for part in parts(len(bodies), CHUNK_RECORDS):
            chunk = everything[part]
            if reader is None:
                yield chunk, self._read_json(codec, bodies, chunk)
            else:
                yield from self._read_parts(codec, reader, bodies, chunk)

    def _read_parts(
        self, codec: Codec, reader: ColumnReader, bodies: Sequence[bytes], chunk: Rows
    ) -> Iterator[tuple[Rows, ColumnRead]]:
        try:
            yield chunk, reader.read([bodies[i] for i in chunk.tolist()])
        except NotColumnarError:
            yield chunk, self._read_json(codec, bodies, chunk)
        except BodyError:
            if len(chunk) > _PART_RECORDS:
                for part in parts(len(chunk), _PART_RECORDS):
                    yield from self._read_parts(codec, reader, bodies, chunk[part])
            elif len(chunk) == 1:
                yield chunk, self._nothing(1)
            else:
                cut, others = _split_bad(codec, bodies, chunk)
                yield cut, self._nothing(cut.size)
                for rows in others:
                    yield from self._read_parts(codec, reader, bodies, rows)

    def _nothing(self, count: int) -> ColumnRead:
        """The result for records of which none can be read."""
        return ColumnRead(self.empty().drop("_row"), np.zeros(0, np.bool_), range(count))

    def _read_json(self, codec: Codec, bodies: Sequence[bytes], chunk: Rows) -> ColumnRead:
        """Read records one by one, as equivalent JSON."""
        documents, unreadable, at = [], [], []
        for position, index in enumerate(chunk.tolist()):
            try:
                documents.append(encode_json(codec.tree(bodies[index])))
                at.append(position)
            except BodyError:
                unreadable.append(position)
        columns = self._json.read(batch_of(documents), Chunk(np.array(at, np.int64), documents))
        unreadable.extend(columns.unreadable)
        kept = columns.frame["_row"].to_numpy()
        unsure = np.isin(kept, columns.unsure)
        frame = columns.frame.select(
            pl.col(self._json.column(demand)).alias(name) for demand, name in self._names.items()
        )
        return ColumnRead(frame, unsure, unreadable)


def _split_bad(codec: Codec, bodies: Sequence[bytes], chunk: Rows) -> tuple[Rows, list[Rows]]:
    """The records of a chunk that are too short, and the others in parts: all that seem good, and
    each that does not on its own. If all seem good, two halves."""
    cut: list[int] = []
    bad: list[int] = []
    for index in chunk.tolist():
        try:
            codec.tree(bodies[index])
        except BodyError as cause:
            (cut if cause.is_cut else bad).append(index)
    good = np.setdiff1d(chunk, cut + bad)
    alone = [np.array([index]) for index in bad]
    parts = [good, *alone] if cut or bad else np.array_split(chunk, 2)
    return np.array(cut, dtype=np.int64), [part for part in parts if part.size]
