"""What contracts read of records beyond keys of their values, by columns.

They say the same as `extraction` does of one record after the other, of all records that look as a
view of the envelope says and whose values are proven to be of the types that are asked for:

    record ─ view ─▶ columns, those of key and headers beside them ─ explode ─▶ events ─▶ lines

Every other record is left to `extraction`: what is odd costs in proportion to how much of it there
is, and has the verdict that it has alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Rows
from agent.core.decode.extraction import Extractor
from agent.core.decode.format import Demand, Flags, Format
from agent.core.decode.proof import ProvenFormat, unproven
from agent.core.decode.record_columns import record_column
from agent.core.decode.shape import Shape, Source, shape_of
from agent.core.decode.validation import columns_of, validate
from agent.core.model.results import Reason

LEAST_RECORDS = 256
"""Fewer are read one by one, which says the same: before the first record, columns cost 5 to 10 ms,
as much as some 300 records by themselves."""

_ANYTHING: Demand = (("",), pl.String)
"""What is asked for where nothing is: that a record can be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """What was read of some documents of a contract: the table, the problems, and the rest as
    `validation.Validated` has it, by document. `rows` and `events`: of which record each document
    is, ascending, and of which event."""

    table: pl.DataFrame
    problems: Sequence[tuple[int, Reason, str]]
    wrong_types: Mapping[str, Rows]
    repeated_ms: Mapping[tuple[int, int], int]
    rows: Rows
    events: Rows


@dataclass(slots=True)
class Extracted:
    """What columns say of a contract's records: which hold an event of its type, `ours`; which of
    them hold a line of one, `lined`; and of which columns say nothing, `left`."""

    left: Rows
    ours: Flags
    lined: Flags
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def nothing(cls, rows: Rows, batch: Batch) -> Extracted:
        """Nothing is said of some rows of a batch."""
        none = np.zeros(len(batch.values), np.bool_)
        return cls(rows, none, none.copy())


class ColumnExtraction:
    """Reads the records of a topic for contracts that ask for more than keys of their values.

    `least_records`: of fewer, nothing is read.
    """

    least_records = LEAST_RECORDS

    def __init__(self, extractors: Sequence[Extractor], format: Format) -> None:
        self._extractors = extractors
        self._format = format
        self._shapes = [_shapes(extractor, format) for extractor in extractors]
        sources = [s for shapes in self._shapes for shape in shapes for s in shape.sources]
        self._roots = {
            source: f"r{i}"
            for i, source in enumerate(dict.fromkeys(s for s in sources if s.root is not None))
        }
        lacks = [shape.view.lacks for shapes in self._shapes for shape in shapes]
        self._lacks = {contents: f"l{i}" for i, contents in enumerate(filter(None, lacks))}
        inside = [(s.path, s.dtype) for s in sources if s.root is None]
        self._reader = format.reader(inside or [_ANYTHING])

    def extract(self, batch: Batch, rows: Rows) -> list[Extracted]:
        """What columns say of some records of a batch, for each contract."""
        if not any(self._shapes) or rows.size < self.least_records:
            return [Extracted.nothing(rows, batch) for _ in self._extractors]
        frame = self._read(batch, rows)
        return [
            self._of_contract(extractor, shapes, batch, rows, frame)
            for extractor, shapes in zip(self._extractors, self._shapes, strict=True)
        ]

    def _read(self, batch: Batch, rows: Rows) -> pl.DataFrame:
        """All columns that any contract asks for, of the records in which they are proven."""
        records = [batch.value(row) for row in rows.tolist()]
        read = self._reader.read(batch, Chunk(rows, records))
        doubted = [batch.value(row) for row in read.unsure.tolist()]
        wrong = [read.unsure[~self._reader.are_proven(doubted)]]
        frame = read.frame
        own = frame["_row"].to_numpy().astype(np.int64)
        values_of = [batch.value(row) for row in own.tolist()] if self._lacks else []
        columns = [_lack(values_of, of).alias(name) for of, name in self._lacks.items()]
        for source, name in self._roots.items():
            values, other = record_column(batch, own, source.path[0], source.dtype)  # type: ignore[arg-type]
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
        shapes: Sequence[Shape],
        batch: Batch,
        rows: Rows,
        frame: pl.DataFrame,
    ) -> Extracted:
        contract = extractor.contract
        out = Extracted.nothing(rows, batch)
        if not shapes:
            return out
        fits = batch.sizes[_rows(frame)] <= contract.max_bytes
        frame = frame if fits.all() else frame.filter(pl.Series(fits))
        left = np.zeros(len(batch.values), np.bool_)
        left[rows] = True
        for shape in shapes:
            viewed = frame.filter(shape.is_viewed(self._column))
            if shape.view.lacks:
                viewed = viewed.filter(pl.col(self._lacks[shape.view.lacks]))
            if not viewed.height:
                continue
            left[_rows(viewed)] = False
            left |= self._add(out, extractor, shape, batch, viewed)
        out.left = np.flatnonzero(left)
        return out

    def _add(
        self,
        out: Extracted,
        extractor: Extractor,
        shape: Shape,
        batch: Batch,
        viewed: pl.DataFrame,
    ) -> Flags:
        """Adds what is of the contract's type in records of one view; of which rows something is
        not proven."""
        events = shape.events(viewed, self._column)
        lines = shape.lines(events, self._column)
        doubtful = np.zeros(len(batch.values), np.bool_)
        for is_deep, frame in ((False, events), (True, lines)):
            proofs = [p for p in shape.proofs if (p[0].depth > 0) == is_deep]
            doubtful |= unproven(proofs, frame, batch, self._format, self._column)
        if doubtful.any():
            events, lines = (
                f.filter(pl.Series(~doubtful[f["_row"].to_numpy()])) for f in (events, lines)
            )
        rows = _rows(lines)
        out.ours[_rows(events)] = True
        out.lined[rows] = True
        if rows.size:
            out.parts.append(self._part(extractor, shape, batch, lines, rows))
        return doubtful

    def _part(
        self,
        extractor: Extractor,
        shape: Shape,
        batch: Batch,
        lines: pl.DataFrame,
        rows: Rows,
    ) -> Part:
        """What the contract says of documents."""
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
            *(shape.member(demand, self._column) for demand in shape.members),
        ).select(columns_of(extractor.flat, shape))
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


def _shapes(extractor: Extractor, format: Format) -> list[Shape]:
    """How the contract's records may look; those whose columns can be had."""
    shapes = (shape_of(extractor, view, format) for view in extractor.opener.views)
    return [shape for shape in shapes if shape is not None]


def _lack(records: Sequence[bytes], contents: Sequence[bytes]) -> pl.Series:
    """In which records none of some bytes are."""
    joined = b"".join(records)
    if not any(content in joined for content in contents):
        return pl.Series([True]).new_from_index(0, len(records))
    lack = [not any(content in record for content in contents) for record in records]
    return pl.Series(lack, dtype=pl.Boolean)


def _rows(frame: pl.DataFrame) -> Rows:
    return frame["_row"].to_numpy().astype(np.int64)
