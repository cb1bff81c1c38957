"""Formats whose records need a schema to be read: what Avro and Protobuf share.

A record names its schema (`schemas`), or all records have the one of a file beside the rules. The
records of a batch are read schema by schema, by a `Codec` each: as columns where it can, else one
by one as the JSON that they mean, which is then read as JSON is. So a value has the same type, and
the same verdict, whichever way it was read.

Where a chunk has records that can't be read, smaller parts of it are, and then single records: what
is bad costs in proportion to how much of it there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Records, Rows
from agent.core.decode.format import (
    Columns,
    Demand,
    Flags,
    Kind,
    Problem,
    Screened,
    UnreadableError,
    WrongPlaceError,
)
from agent.core.decode.json_format import CHUNK_RECORDS, JSON, JsonReader
from agent.core.decode.schemas import (
    KEY_HEADER,
    VALUE_HEADER,
    SchemaError,
    SchemaId,
    grouped,
    headers_of,
)
from agent.core.decode.tree import value_at
from agent.core.model.paths import Keys
from agent.core.model.results import Reason
from agent.core.model.schemas import Schema

_PART_RECORDS = 128
"""A read costs as much as a hundred records do: in parts of so many, bad ones are looked for."""

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

    def reader(self, demands: Sequence[Demand]) -> ColumnReader | None:
        """A reader of columns; None where these records are read one by one only."""

    def is_right(self, path: Keys, kind: Kind) -> bool | None:
        """Whether whatever can stand at a path is what it has to be; None: the record decides."""


class SchemaFormat:
    """A format of records with schemas.

    `codec_of` makes the codec of a schema, or raises SchemaError. `reason` is that of records which
    are not what their schema says. `schema` is that of all records; None: each names its own, one
    of those in `Batch.schemas`.
    """

    def __init__(
        self, codec_of: Callable[[Schema], Codec], reason: Reason, schema: Schema | None = None
    ) -> None:
        self._codec_of = codec_of
        self._reason = reason
        self._schema = schema
        self._codecs: dict[Schema, Codec | str] = {}

    def screen(self, batch: Batch, rows: Rows, records: Sequence[bytes], sizes: Rows) -> Screened:
        """The records whose schema is not known."""
        groups, unnamed = self.groups(batch, rows, records)
        problems = dict.fromkeys(unnamed.tolist(), self._unnamed())
        for group in groups:
            if isinstance(group.codec, tuple):
                problems |= dict.fromkeys(group.indices.tolist(), group.codec)
        return Screened((), problems)

    def reader(self, demands: Iterable[Demand]) -> SchemaReader:
        """A reader for demands."""
        return SchemaReader(self, demands)

    def label(self, batch: Batch, row: int) -> str:
        """Which schema a record names, for its verdict; "" where it names none."""
        groups, _ = self.groups(batch, np.array([row]), [batch.value(row)])
        return f"schema {groups[0].schema}" if groups and groups[0].schema != "" else ""

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record can't be read."""
        try:
            self.tree(batch, row, ())
        except UnreadableError as cause:
            return cause.problem
        return self._reason, "a number has more bytes than it may have"

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None where it is absent or null."""
        try:
            tree = self.tree(batch, row, ())
        except UnreadableError as cause:  # columns take some records that are not quite right
            raise WrongPlaceError(cause.problem[1]) from cause
        return value_at(tree, path)

    def tree(self, batch: Batch, row: int, keys: Collection[bytes]) -> Any:
        """The whole of a record as JSON has it. Raises UnreadableError."""
        return self._tree(batch, row, batch.value(row), VALUE_HEADER)

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes]) -> Any:
        """The whole of a record's key. Raises UnreadableError."""
        key = batch.key(row)
        return self._tree(batch, row, key, KEY_HEADER) if key else None

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column were something else in their record (null is not)."""
        wrong = np.zeros(len(values), dtype=np.bool_)
        is_text = values.dtype == pl.String and kind in ("string", "id")
        doubtful = unsure if is_text else values.is_null().to_numpy() & unsure
        if not doubtful.any() and (not is_text or self._are_right(records.batch, path, kind)):
            return wrong
        contents = records.all()
        groups, _ = self.groups(records.batch, records.rows, contents)
        for group in groups:
            if isinstance(group.codec, tuple):
                continue
            look = doubtful[group.indices]
            verdict = group.codec.is_right(path, kind) if is_text else True
            if verdict is not True:
                look |= values.gather(group.indices).is_not_null().to_numpy()
            at = group.indices[look]
            if verdict is False:
                is_there = values.gather(at).is_not_null().to_numpy()
                wrong[at[is_there]] = True
                at = at[~is_there]
            wrong[at] = _wrong_in_json(
                group.codec, group.bodies(contents, at), values, at, path, kind
            )
        return wrong

    def groups(
        self, batch: Batch, rows: Rows, records: Sequence[bytes], header: str = VALUE_HEADER
    ) -> tuple[list[CodecGroup], Rows]:
        """Records by the schemas that they name, and the indices of those that name none."""
        if self._schema is not None:
            everything = np.arange(len(records))
            return [CodecGroup("", everything, 0, b"", self._codec(self._schema))], everything[:0]
        named, unnamed = grouped(records, headers_of(batch, rows, header))
        groups = [
            CodecGroup(g.schema, g.indices, g.skip, g.rest, self._named(batch, g.schema))
            for g in named
        ]
        return groups, unnamed

    def _tree(self, batch: Batch, row: int, content: bytes, header: str) -> Any:
        groups, _ = self.groups(batch, np.array([row]), [content], header)
        codec = groups[0].codec if groups else self._unnamed()
        if isinstance(codec, tuple):
            raise UnreadableError(codec)
        try:
            return codec.tree(groups[0].bodies([content], groups[0].indices)[0])
        except BodyError as cause:
            raise UnreadableError((self._reason, str(cause))) from cause

    def _are_right(self, batch: Batch, path: Keys, kind: Kind) -> bool:
        """Whether all schemas that a record could name have nothing else at a path."""
        schemas = [self._schema] if self._schema else list((batch.schemas or {}).values())
        codecs = [self._codec(schema) for schema in schemas if schema is not None]
        return all(isinstance(c, tuple) or c.is_right(path, kind) is True for c in codecs)

    def _named(self, batch: Batch, name: SchemaId) -> Codec | Problem:
        schema = (batch.schemas or {}).get(name)
        if schema is None:
            return Reason.UNKNOWN_SCHEMA, f"schema {name}: the registry has none of this id"
        codec = self._codec(schema)
        return (codec[0], f"schema {name}: {codec[1]}") if isinstance(codec, tuple) else codec

    def _codec(self, schema: Schema) -> Codec | Problem:
        codec = self._codecs.get(schema)
        if codec is None:
            try:
                codec = self._codec_of(schema)
            except SchemaError as cause:
                codec = str(cause)
            self._codecs[schema] = codec
        return (Reason.UNKNOWN_SCHEMA, codec) if isinstance(codec, str) else codec

    def _unnamed(self) -> Problem:
        return self._reason, (
            f"names no schema: expected a zero byte and the four bytes of a schema's id before the "
            f"record, or the header {VALUE_HEADER}"
        )


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


class SchemaReader:
    """Reads records of any schemas as columns."""

    def __init__(self, format: SchemaFormat, demands: Iterable[Demand]) -> None:
        self._format = format
        self._names = {demand: f"c{i}" for i, demand in enumerate(dict.fromkeys(demands))}
        self._json = JsonReader(self._names)
        self._readers: dict[Codec, ColumnReader | None] = {}

    @property
    def reads(self) -> int:
        """How often it goes over the records."""
        return min(1, len(self._names))

    def column(self, demand: Demand) -> str:
        """The name of the column that answers a demand."""
        return self._names[demand]

    def empty(self) -> pl.DataFrame:
        """The columns of no records."""
        schema = {name: dtype for (_, dtype), name in self._names.items()}
        return pl.DataFrame(schema=schema | {"_row": pl.UInt32})

    def read(self, batch: Batch, rows: Rows, records: Sequence[bytes]) -> Columns:
        """The columns of some records of a batch, whose rows are given."""
        groups, _ = self._format.groups(batch, rows, records)
        frames = [self.empty()]
        unsure, unreadable = [rows[:0]], [rows[:0]]
        for group in groups:
            if isinstance(group.codec, tuple):
                continue
            bodies = group.bodies(records, group.indices)
            for indices, read in self._read(group.codec, bodies):
                left = np.delete(indices, read.unreadable)
                own = rows[group.indices]
                unreadable.append(own[np.setdiff1d(indices, left)])
                unsure.append(own[left[read.unsure]])
                at = pl.Series("_row", own[left], dtype=pl.UInt32)
                frames.append(read.frame.with_columns(at))
        frame = pl.concat(frames)
        frame = frame.sort("_row") if len(frames) > 2 else frame
        return Columns(frame, np.concatenate(unsure), np.concatenate(unreadable).tolist())

    def _read(self, codec: Codec, bodies: Sequence[bytes]) -> Iterator[tuple[Rows, Read]]:
        """What was read of all records, in parts."""
        if codec not in self._readers:
            self._readers[codec] = codec.reader(list(self._names))
        reader = self._readers[codec]
        everything = np.arange(len(bodies))
        for chunk in _parts(everything, CHUNK_RECORDS):
            if reader is None:
                yield chunk, self._read_json(codec, bodies, chunk)
            else:
                yield from self._read_parts(codec, reader, bodies, chunk)

    def _read_parts(
        self, codec: Codec, reader: ColumnReader, bodies: Sequence[bytes], chunk: Rows
    ) -> Iterator[tuple[Rows, Read]]:
        try:
            yield chunk, reader.read([bodies[i] for i in chunk.tolist()])
        except NotColumnarError:
            yield chunk, self._read_json(codec, bodies, chunk)
        except BodyError:
            if len(chunk) > _PART_RECORDS:
                for part in _parts(chunk, _PART_RECORDS):
                    yield from self._read_parts(codec, reader, bodies, part)
            elif len(chunk) == 1:
                yield chunk, self._nothing(1)
            else:
                cut, parts = _apart(codec, bodies, chunk)
                yield cut, self._nothing(cut.size)
                for part in parts:
                    yield from self._read_parts(codec, reader, bodies, part)

    def _nothing(self, count: int) -> Read:
        """Of so many records none can be read."""
        return Read(self.empty().drop("_row"), np.zeros(0, np.bool_), range(count))

    def _read_json(self, codec: Codec, bodies: Sequence[bytes], chunk: Rows) -> Read:
        """Records that are read one by one, as the JSON that they mean."""
        documents, unreadable, at = [], [], []
        for position, index in enumerate(chunk.tolist()):
            try:
                documents.append(encode_json(codec.tree(bodies[index])))
                at.append(position)
            except BodyError:
                unreadable.append(position)
        columns = self._json.read(_batch_of(documents), np.array(at, np.int64), documents)
        unreadable.extend(columns.unreadable)
        kept = columns.frame["_row"].to_numpy()
        unsure = np.isin(kept, columns.unsure)
        frame = columns.frame.select(
            pl.col(self._json.column(demand)).alias(name) for demand, name in self._names.items()
        )
        return Read(frame, unsure, unreadable)


def _wrong_in_json(
    codec: Codec, bodies: Sequence[bytes], values: pl.Series, at: Rows, path: Keys, kind: Kind
) -> Flags:
    """Which of some values (those `at`) are of another type in the JSON that their records mean.
    A record that has no such meaning has wrong values only."""
    wrong = np.ones(len(bodies), dtype=np.bool_)
    documents, indices = [], []
    for index, body in enumerate(bodies):
        with suppress(BodyError):
            documents.append(encode_json(codec.tree(body)))
            indices.append(index)
    records = Records(_batch_of(documents), np.arange(len(documents)))
    every = np.ones(len(documents), dtype=np.bool_)
    wrong[indices] = JSON.wrong_types(records, values.gather(at[indices]), path, kind, every)
    return wrong


def _apart(codec: Codec, bodies: Sequence[bytes], chunk: Rows) -> tuple[Rows, list[Rows]]:
    """The records of a chunk that end too early, and the others in parts: those that seem good, and
    each that does not alone. All seem good: two halves."""
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


def _parts(indices: Rows, most: int) -> Iterator[Rows]:
    """Indices in parts of at most so many."""
    edges = np.linspace(0, indices.size, -(-indices.size // most) + 1).astype(int)
    return (indices[start:stop] for start, stop in pairwise(edges.tolist()) if start < stop)


def _batch_of(documents: Sequence[bytes]) -> Batch:
    """Documents as a batch, for what takes their records from one."""
    none = np.zeros(len(documents), np.int64)
    return Batch("", documents, none.astype(np.int32), none, none)
