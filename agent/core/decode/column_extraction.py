"""Reads envelopes, arrays, keys and headers as columns, for contracts that are not columnar.

The results are those of `extraction`, which reads one record at a time. Columns can read records
that match a view of the envelope, and whose values are proven to have the demanded types:

    record ─ view ─▶ columns of value, key and headers ─ explode ─▶ events ─▶ lines

All other records are left to `extraction`, so that the cost is proportional to their number.

In a String column, any value is text. A text that may have been another value, such as `5` or
`true`, must be proven to have been a string; otherwise its record is read on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Records, Rows
from agent.core.decode.extraction import Documents, Extractor
from agent.core.decode.format import Demand, Flags, Format, Kind
from agent.core.decode.json_format import MAYBE_NO_ID, MAYBE_NO_STRING, JsonFormat
from agent.core.decode.record_columns import record_column
from agent.core.decode.schema_times import with_units
from agent.core.decode.single_record import all_strings, tree_of
from agent.core.decode.tree import value_at
from agent.core.decode.validation import columns_of, validate
from agent.core.decode.view_columns import Column, Source, ViewColumns, view_columns
from agent.core.model.paths import Keys
from agent.core.model.results import Reason


def unproven(
    proofs: Iterable[tuple[Source, Kind]],
    frame: pl.DataFrame,
    batch: Batch,
    format: Format,
    column: Column,
) -> Flags:
    """Which records of a batch have a text that has another kind, or is not proven to have it.

    `frame` has the columns, and `_row`.
    """
    out = np.zeros(len(batch.values), np.bool_)
    rows = frame["_row"].to_numpy().astype(np.int64)
    sure = np.zeros(rows.size, np.bool_)
    for source, kind in proofs:
        values = frame[column(source)]
        if source.depth == 0:
            records = Records(batch, rows)
            wrong = format.wrong_types(records, values, source.path, kind, sure)  # type: ignore[arg-type]
            out[rows[wrong]] = True
            continue
        flags = values.str.contains(MAYBE_NO_ID if kind == "id" else MAYBE_NO_STRING)
        doubted = np.unique(rows[flags.fill_null(False).to_numpy()])
        keys = [step for step in source.path if isinstance(step, str)]
        records_at = [batch.value(row) for row in doubted.tolist()]
        if doubted.size and not all_strings(records_at, keys[-1]):
            out[
                [row for row in doubted.tolist() if not all_strings([batch.value(row)], keys[-1])]
            ] = True
    return out


@dataclass(frozen=True, slots=True, eq=False)
class ProvenFormat(JsonFormat):
    """The format of documents that were read by columns and are proven. Details of a document, such
    as the value that a message quotes, are read from its record."""

    _extractor: Extractor
    _format: Format
    _batch: Batch
    _rows: Rows

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """None: all types are proven."""
        return np.zeros(len(values), np.bool_)

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a document."""
        of_record = int(self._rows[row])
        documents = Documents()
        tree = self._format.tree(self._batch, of_record, self._extractor.names)
        self._extractor.add(documents, self._batch, of_record, tree)
        index = row - int(np.searchsorted(self._rows, of_record))
        return value_at(tree_of(documents.values[index], None), path)


LEAST_RECORDS = 256
"""Fewer records are read one by one: columns have a fixed cost of 5 to 10 ms, as much as reading
300 records."""

_ANYTHING: Demand = (("",), pl.String)
"""The demand if there is no other: to find out whether records can be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """The validated documents of a contract from some records, as in `validation.Validated`, by
    document. `rows` and `events`: the record (ascending) and the event of each document."""

    table: pl.DataFrame
    problems: Sequence[tuple[int, Reason, str]]
    wrong_types: Mapping[str, Rows]
    repeated_ms: Mapping[tuple[int, int], int]
    rows: Rows
    events: Rows


@dataclass(slots=True)
class Extracted:
    """A contract's records as far as columns can read them. `has_event`: which records have an
    event of the contract's type, `has_line`: which have a line of one. `unread`: the rows of
    records that are left to `extraction`."""

    unread: Rows
    has_event: Flags
    has_line: Flags
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def nothing(cls, rows: Rows, batch: Batch) -> Extracted:
        """The result if no row can be read by columns."""
        none = np.zeros(len(batch.values), np.bool_)
        return cls(rows, none, none.copy())


class ColumnExtraction:
    """Reads the records of a topic for contracts that are not columnar. `least_records`: fewer
    records are not read."""

    least_records = LEAST_RECORDS

    def __init__(self, extractors: Sequence[Extractor], format: Format) -> None:
        self._extractors = extractors
        self._format = format
        self._views = [_views_read(extractor, format) for extractor in extractors]
        sources = [s for views in self._views for columns in views for s in columns.sources]
        self._roots = {
            source: f"r{i}"
            for i, source in enumerate(dict.fromkeys(s for s in sources if s.root is not None))
        }
        lacks = [columns.view.lacks for views in self._views for columns in views]
        self._lacks = {contents: f"l{i}" for i, contents in enumerate(filter(None, lacks))}
        inside = [(s.path, s.dtype) for s in sources if s.root is None]
        self._reader = format.reader(inside or [_ANYTHING])

    def extract(self, batch: Batch, rows: Rows) -> list[Extracted]:
        """Read some records of a batch, for each contract."""
        if not any(self._views) or rows.size < self.least_records:
            return [Extracted.nothing(rows, batch) for _ in self._extractors]
        frame = self._read(batch, rows)
        return [
            self._of_contract(extractor, views, batch, rows, frame)
            for extractor, views in zip(self._extractors, self._views, strict=True)
        ]

    def _read(self, batch: Batch, rows: Rows) -> pl.DataFrame:
        """All columns that any contract demands, for records in which their types are proven."""
        records = [batch.value(row) for row in rows.tolist()]
        read = self._reader.read(batch, Chunk(rows, records))
        doubted = [batch.value(row) for row in read.unsure.tolist()]
        wrong = [read.unsure[~self._reader.are_proven(doubted)]]
        frame = read.frame
        own = frame["_row"].to_numpy().astype(np.int64)
        values_of = [batch.value(row) for row in own.tolist()] if self._lacks else []
        columns = [_lack(values_of, member).alias(name) for member, name in self._lacks.items()]
        for source, name in self._roots.items():
            values, other = record_column(self._format, batch, own, source.path[0], source.dtype)  # type: ignore[arg-type]
            columns.append(values.alias(name))
            wrong.append(other)
        frame = frame.with_columns(columns)
        if not any(at.size for at in wrong):
            return frame
        is_wrong = np.zeros(len(batch.values), np.bool_)
        is_wrong[np.concatenate(wrong)] = True
        return frame.filter(pl.Series(~is_wrong[own]))

    def _of_contract(
        self,
        extractor: Extractor,
        views: Sequence[ViewColumns],
        batch: Batch,
        rows: Rows,
        frame: pl.DataFrame,
    ) -> Extracted:
        contract = extractor.contract
        out = Extracted.nothing(rows, batch)
        if not views:
            return out
        fits = batch.sizes[_rows(frame)] <= contract.max_bytes
        frame = frame if fits.all() else frame.filter(pl.Series(fits))
        unread = np.zeros(len(batch.values), np.bool_)
        unread[rows] = True
        for columns in views:
            viewed = frame.filter(columns.is_viewed(self._column))
            if columns.view.lacks:
                viewed = viewed.filter(pl.col(self._lacks[columns.view.lacks]))
            if not viewed.height:
                continue
            unread[_rows(viewed)] = False
            unread |= self._add(out, extractor, columns, batch, viewed)
        out.unread = np.flatnonzero(unread)
        return out

    def _add(
        self,
        out: Extracted,
        extractor: Extractor,
        columns: ViewColumns,
        batch: Batch,
        viewed: pl.DataFrame,
    ) -> Flags:
        """Add the events of the contract's type in records of one view; returns which rows have a
        value that is not proven."""
        events = columns.events(viewed, self._column)
        lines = columns.lines(events, self._column)
        doubtful = np.zeros(len(batch.values), np.bool_)
        for is_deep, frame in ((False, events), (True, lines)):
            proofs = [p for p in columns.proofs if (p[0].depth > 0) == is_deep]
            doubtful |= unproven(proofs, frame, batch, self._format, self._column)
        if doubtful.any():
            events, lines = (
                f.filter(pl.Series(~doubtful[f["_row"].to_numpy()])) for f in (events, lines)
            )
        rows = _rows(lines)
        out.has_event[_rows(events)] = True
        out.has_line[rows] = True
        if rows.size:
            out.parts.append(self._part(extractor, columns, batch, lines, rows))
        return doubtful

    def _part(
        self,
        extractor: Extractor,
        columns: ViewColumns,
        batch: Batch,
        lines: pl.DataFrame,
        rows: Rows,
    ) -> Part:
        """Validate documents."""
        documents = Batch(
            batch.topic,
            [b""] * rows.size,
            batch.partitions[rows],
            batch.offsets[rows],
            batch.timestamps[rows],
            batch.timestamped,
        )
        frame = lines.select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row"),
            *(columns.member(demand, self._column) for demand in columns.members),
        )
        records = [batch.value(row) for row in rows.tolist()] if columns.times else []
        frame = frame.with_columns(
            with_units(frame[columns.column(demand)], records, columns.members[demand].path[1:])
            for demand in columns.times
        ).select(columns_of(extractor.flat, columns))
        proven = ProvenFormat(extractor, self._format, batch, rows)
        sure = np.zeros(rows.size, np.bool_)
        read = validate(extractor.flat, frame, documents, proven, sure)
        return Part(
            read.table,
            sorted(read.problems, key=itemgetter(0)),
            read.wrong_types,
            read.repeated_ms,
            rows,
            lines["_event"].to_numpy().astype(np.int64),
        )

    def _column(self, source: Source) -> str:
        """The name of a source's column."""
        if source.root is not None:
            return self._roots[source]
        return self._reader.column((source.path, source.dtype))


def _views_read(extractor: Extractor, format: Format) -> list[ViewColumns]:
    """The columns of the views that can be read by columns."""
    views = (view_columns(extractor, view, format) for view in extractor.opener.views)
    return [columns for columns in views if columns is not None]


def _lack(records: Sequence[bytes], contents: Sequence[bytes]) -> pl.Series:
    """Which records contain none of some byte strings."""
    joined = b"".join(records)
    if not any(content in joined for content in contents):
        return pl.Series([True]).new_from_index(0, len(records))
    lack = [not any(content in record for content in contents) for record in records]
    return pl.Series(lack, dtype=pl.Boolean)


def _rows(frame: pl.DataFrame) -> Rows:
    return frame["_row"].to_numpy().astype(np.int64)
