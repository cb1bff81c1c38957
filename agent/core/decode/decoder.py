"""Decodes batches of one topic for all of its contracts.

Contracts that read only keys of the record's value are decoded as columns (`column_decoder`). For
all others, *documents* are extracted from the records (`column_extraction`, `extraction`), which
are then validated like records. A record's verdict and values never depend on other records of the
batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.batch import Batch, Decoded, Rows
from agent.core.decode.column_decoder import ColumnDecoder
from agent.core.decode.column_extraction import ColumnExtraction, Part
from agent.core.decode.extraction import NO_SIZE, Documents, Extractor
from agent.core.decode.format import Flags, UnreadableError, is_columnar, labelled
from agent.core.decode.formats import format_of
from agent.core.decode.json_format import JSON
from agent.core.model.events import Contract
from agent.core.model.results import Reason, Reject


class Decoder:
    """Decodes batches of one topic. Pure, except that readers remember which way of reading was
    faster.

    Raises ValueError without contracts, or with contracts of several formats.
    """

    def __init__(self, contracts: Sequence[Contract]) -> None:
        if len({(c.format, c.schema) for c in contracts}) != 1:
            raise ValueError("a decoder is for the contracts of one topic, which has one format")
        self.contracts = tuple(contracts)
        self._format = format_of(contracts[0])
        self._sole = contracts[0].name if len(contracts) == 1 else None
        self._extractors = [Extractor(c, self._format) for c in contracts if not is_columnar(c)]
        self._columns = ColumnDecoder(
            [c for c in contracts if is_columnar(c)],
            self._format,
            max(c.max_bytes for c in contracts),
            self._sole,
            any(extractor.reads_arrays for extractor in self._extractors),
        )
        self._documents = [
            ColumnDecoder([extractor.flat], JSON, NO_SIZE, extractor.contract.name)
            for extractor in self._extractors
        ]
        self._extraction = ColumnExtraction(self._extractors, self._format)
        self._names = tuple(sorted({name for e in self._extractors for name in e.names}))

    def decode(self, batch: Batch) -> Decoded:
        """Decode one batch."""
        decoded = self._columns.decode(batch)
        return self._with_documents(batch, decoded) if self._extractors else decoded

    def _with_documents(self, batch: Batch, decoded: Decoded) -> Decoded:
        """Add the documents of a batch to what was decoded as columns."""
        count = len(batch.values)
        rejects: dict[tuple[int, str | None], Reject] = {
            (row, reject.contract): reject for row, reject in decoded.rejects
        }
        left = np.ones(count, np.bool_)
        left[decoded.empty] = False
        empty = ~left
        left[[row for row, name in rejects if name == self._sole]] = False
        ignored = np.zeros(count, np.bool_)
        ignored[decoded.ignored] = True
        tables, wrong_types = dict(decoded.tables), dict(decoded.wrong_types)
        repeated_ms = dict(decoded.repeated_ms)
        extracted = self._extraction.extract(batch, np.flatnonzero(left))
        documents = self._extract(
            batch, [columns.unread for columns in extracted], rejects, ignored
        )
        for of_contract, by_columns, decoder in zip(
            documents, extracted, self._documents, strict=True
        ):
            name = decoder.contracts[0].name
            ignored &= ~by_columns.has_event
            empty |= by_columns.has_event & ~by_columns.has_line
            empty[of_contract.empty] = True
            parts = [*by_columns.parts, _part(decoder, of_contract, batch)]
            problems = [*of_contract.problems, *(problem for p in parts for problem in _of_rows(p))]
            for row, reason, detail in problems:
                rejects.setdefault((row, name), self._reject(batch, row, name, reason, detail))
            tables[name] = _table(parts)
            wrong_types |= {(name, field): rows for field, rows in _wrong_types(parts).items()}
            repeated_ms[name] = _repeated_ms(parts)
        order = {c.name: i for i, c in enumerate(self.contracts)}
        keys = sorted(rejects, key=lambda x: (x[0], order.get(x[1] or "", -1)))
        return Decoded(
            {c.name: tables[c.name] for c in self.contracts},
            tuple((key[0], rejects[key]) for key in keys),
            np.flatnonzero(empty),
            np.flatnonzero(ignored),
            wrong_types,
            repeated_ms,
        )

    def _extract(
        self,
        batch: Batch,
        left: Sequence[Rows],
        rejects: dict[tuple[int, str | None], Reject],
        ignored: npt.NDArray[np.bool_],
    ) -> list[Documents]:
        """Extract the documents of the rows `left` for each contract, record by record. Adds
        records that can't be read to `rejects`, and clears `ignored` for records that a contract
        reads."""
        documents = [Documents() for _ in self._extractors]
        by_row: dict[int, list[int]] = {}
        for index, rows in enumerate(left):
            for row in rows.tolist():
                by_row.setdefault(row, []).append(index)
        for row, indices in sorted(by_row.items()):
            try:
                tree = self._format.tree(batch, row, self._names)
            except UnreadableError as cause:
                key = (row, self._sole)
                rejects.setdefault(key, self._reject(batch, row, self._sole, *cause.problem))
                ignored[row] = False
                continue
            for index in indices:
                if self._extractors[index].add(documents[index], batch, row, tree):
                    ignored[row] = False
        return documents

    def _reject(
        self, batch: Batch, row: int, contract: str | None, reason: Reason, detail: str
    ) -> Reject:
        partition, offset = int(batch.partitions[row]), int(batch.offsets[row])
        detail = labelled(self._format, batch, row, detail)
        return Reject(partition, offset, contract, reason, detail)


def _part(decoder: ColumnDecoder, documents: Documents, source: Batch) -> Part:
    """Validate documents that were extracted one by one."""
    read = decoder.decode(documents.batch(source))
    name = decoder.contracts[0].name
    return Part(
        read.tables[name],
        [(row, reject.reason, reject.detail) for row, reject in read.rejects],
        {field: rows for (_, field), rows in read.wrong_types.items()},
        read.repeated_ms.get(name, {}),
        np.array(documents.rows, np.int64),
        np.array(documents.events, np.int64),
    )


def _of_rows(part: Part) -> Iterator[tuple[int, Reason, str]]:
    """The problems of a part by the rows of their records."""
    for document, reason, detail in part.problems:
        yield int(part.rows[document]), reason, detail


def _kept(part: Part) -> Flags:
    """Which documents belong to events without a rejected document: one bad line rejects the
    event."""
    bad = part.events[[document for document, _, _ in part.problems]]
    return ~np.isin(part.events, bad) if bad.size else np.ones(part.events.size, np.bool_)


def _table(parts: Sequence[Part]) -> pl.DataFrame:
    """The table of all events that are not rejected, with the rows of their records."""
    tables = []
    for part in parts:
        table = part.table
        if part.problems:
            table = table.filter(pl.Series(_kept(part)[table["_row"].to_numpy()]))
        rows = part.rows[table["_row"].to_numpy()]
        tables.append(table.with_columns(pl.Series("_row", rows, pl.UInt32)))
    whole = pl.concat(tables)
    return whole if whole["_row"].is_sorted() else whole.sort("_row", maintain_order=True)


def _wrong_types(parts: Sequence[Part]) -> dict[str, Rows]:
    """By field, the rows in which an optional field has another type."""
    rows: dict[str, list[Rows]] = {}
    for part in parts:
        for field, at in part.wrong_types.items():
            rows.setdefault(field, []).append(part.rows[at[_kept(part)[at]]])
    return {field: np.concatenate(of_field) for field, of_field in rows.items()}


def _repeated_ms(parts: Sequence[Part]) -> dict[tuple[int, int], int]:
    """The local times that occur twice, by row."""
    return {
        (int(part.rows[document]), ms): later_ms
        for part in parts
        for (document, ms), later_ms in part.repeated_ms.items()
    }
