"""The common part of formats whose records need a schema: Avro and Protobuf.

Each record names its schema (`schemas`), or all records have the schema of a file beside the rules.
The records of a batch are read schema by schema, by a `Codec` each: as columns or, if that is not
possible, one by one as equivalent JSON, which is then read like JSON. So a value has the same type
and the same verdict whichever way it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Records, Rows
from agent.core.decode.codec import BodyError, Codec, CodecGroup, batch_of, encode_json
from agent.core.decode.format import (
    Demand,
    Flags,
    Kind,
    Problem,
    Screened,
    UnreadableError,
    WrongPlaceError,
)
from agent.core.decode.json_format import JSON
from agent.core.decode.record_keys import key_texts
from agent.core.decode.schema_reader import SchemaReader
from agent.core.decode.schemas import (
    KEY_HEADER,
    VALUE_HEADER,
    SchemaError,
    SchemaId,
    grouped,
    headers_of,
)
from agent.core.decode.tree import value_at
from agent.core.model.events import Schema
from agent.core.model.paths import Keys, keys_of
from agent.core.model.results import Reason


class SchemaFormat:
    """A format of records with schemas.

    `codec_of` makes the codec of a schema, or raises SchemaError. `reason`: for records that do not
    match their schema. `schema`: of all records; None: each names one in `Batch.schemas`.
    """

    def __init__(
        self, codec_of: Callable[[Schema], Codec], reason: Reason, schema: Schema | None = None
    ) -> None:
        self._codec_of = codec_of
        self._reason = reason
        self._schema = schema
        self._codecs: dict[Schema, Codec | str] = {}

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """The records whose schema is unknown."""
        groups, unnamed = self.groups(batch, chunk.rows, chunk.records)
        problems = dict.fromkeys(unnamed.tolist(), self._unnamed())
        for group in groups:
            if isinstance(group.codec, tuple):
                problems |= dict.fromkeys(group.indices.tolist(), group.codec)
        return Screened((), problems)

    def reader(self, demands: Iterable[Demand]) -> SchemaReader:
        """A reader for demands."""
        return SchemaReader(self.groups, demands)

    def reaches(self, demand: Demand) -> bool:
        """Whether readers can have a column for a demand."""
        path, dtype = demand
        return keys_of(path) is not None and dtype is not pl.Struct

    def label(self, batch: Batch, row: int) -> str:
        """The schema that a record names, for its verdict; "" if it names none."""
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
        """The value at a path of a readable record; None if it is absent or null."""
        try:
            tree = self.tree(batch, row, ())
        except UnreadableError as cause:  # columns accept some records that are not exactly valid
            raise WrongPlaceError(cause.problem[1]) from cause
        return value_at(tree, path)

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """A record as equivalent JSON. Raises UnreadableError."""
        return self._tree(batch, row, batch.value(row), VALUE_HEADER)

    def key_texts(self, batch: Batch, rows: Rows) -> list[bytes | None]:
        """The key of each record as UTF-8, decoded if it names a schema; None where there is
        none."""
        return key_texts(batch, rows)

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """A record's key as equivalent JSON. Raises UnreadableError."""
        key = batch.key(row)
        return self._tree(batch, row, key, KEY_HEADER) if key else None

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column have another kind in their record (null does not count)."""
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
        """Group records by the schemas that they name; also the indices of those that name none."""
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
        """Whether all schemas that a record could name have only values of a kind at a path."""
        schemas = [self._schema] if self._schema else list((batch.schemas or {}).values())
        codecs = [self._codec(schema) for schema in schemas if schema is not None]
        return all(isinstance(c, tuple) or c.is_right(path, kind) is True for c in codecs)

    def _named(self, batch: Batch, name: SchemaId) -> Codec | Problem:
        if batch.schemas is None:
            detail = "no registry is set: set schema_registry, or name a file in `schema`"
            return Reason.UNKNOWN_SCHEMA, f"schema {name}: {detail}"
        schema = batch.schemas.get(name)
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


def _wrong_in_json(
    codec: Codec, bodies: Sequence[bytes], values: pl.Series, at: Rows, path: Keys, kind: Kind
) -> Flags:
    """Which of some values (those `at`) have another kind in the equivalent JSON of their records.
    All values of a record that can't be read are wrong."""
    wrong = np.ones(len(bodies), dtype=np.bool_)
    documents, indices = [], []
    for index, body in enumerate(bodies):
        with suppress(BodyError):
            documents.append(encode_json(codec.tree(body)))
            indices.append(index)
    records = Records(batch_of(documents), np.arange(len(documents)))
    every = np.ones(len(documents), dtype=np.bool_)
    wrong[indices] = JSON.wrong_types(records, values.gather(at[indices]), path, kind, every)
    return wrong
