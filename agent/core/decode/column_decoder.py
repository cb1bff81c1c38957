"""Decodes batches as columns: records are read once for all contracts, then the rows of each
contract's type are validated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Decoded, Rows
from agent.core.decode.format import (
    Columns,
    Format,
    Reader,
    column_path,
    demands_of,
    labelled,
    type_demands,
)
from agent.core.decode.validation import columns_of, too_large, validate
from agent.core.model.events import Contract
from agent.core.model.results import Reason, Reject


class ColumnDecoder:
    """Decodes the columnar contracts of a topic (`format.is_columnar`). Pure, except that readers
    remember which way of reading was faster.

    `sole`: the name of the topic's only contract, to which all problems are attributed; None: there
    are several. `max_bytes`: the largest record that any contract accepts. `ignores_arrays`:
    another contract reads records that are arrays, so they are not rejected here. Without
    contracts, records are only screened.
    """

    def __init__(
        self,
        contracts: Sequence[Contract],
        format: Format,
        max_bytes: int,
        sole: str | None = None,
        ignores_arrays: bool = False,
    ) -> None:
        self.contracts = tuple(contracts)
        self.format = format
        self.max_bytes = max_bytes
        self.sole = sole
        self.ignores_arrays = ignores_arrays
        self.readers = {c.name: format.reader(demands_of(c)) for c in contracts}
        self.combined = (
            self.readers[contracts[0].name]
            if len(contracts) == 1
            else format.reader(d for c in contracts for d in demands_of(c))
        )
        self.types = format.reader(type_demands(contracts))
        # If contracts demand different types at a path, reading them together costs several reads
        # of all records; then each contract reads its own records.
        most = max((x.reads for x in self.readers.values()), default=0)
        self.is_split = self.combined.reads > most

    def decode(self, batch: Batch) -> Decoded:
        """Decode one batch."""
        return _Run(self, batch).decode()


class _Run:
    """The decoding of one batch. `_settled`: the rows that have an outcome."""

    def __init__(self, decoder: ColumnDecoder, batch: Batch) -> None:
        self._decoder = decoder
        self._batch = batch
        self._rejects: dict[tuple[int, str | None], Reject] = {}
        self._empty: list[int] = []
        self._settled = np.zeros(len(batch.values), dtype=np.bool_)
        self._tables: dict[str, pl.DataFrame] = {}
        self._wrong_types: dict[tuple[str, str], Rows] = {}
        self._repeated_ms: dict[str, dict[tuple[int, int], int]] = {}

    def decode(self) -> Decoded:
        contracts = self._decoder.contracts
        readable = self._readable()
        if self._decoder.is_split:
            self._read_separately(readable)
        elif contracts:
            columns = self._read(self._decoder.combined, readable)
            self._validate(contracts, self._decoder.combined, columns)
        order = {c.name: i for i, c in enumerate(contracts)}
        keys = sorted(self._rejects, key=lambda x: (x[0], order.get(x[1] or "", -1)))
        rejects = tuple((key[0], self._rejects[key]) for key in keys)
        empty = np.array(sorted(self._empty), dtype=np.int64)
        self._settled[empty] = True
        ignored = np.flatnonzero(~self._settled)
        return Decoded(self._tables, rejects, empty, ignored, self._wrong_types, self._repeated_ms)

    def _readable(self) -> Chunk:
        """The records that a reader may read; others are rejected or empty."""
        present, sizes = self._present()
        rows, most = present.rows, self._decoder.max_bytes
        out = np.zeros(rows.size, dtype=np.bool_)
        if sizes.size and sizes.max() > most:
            for i in np.flatnonzero(sizes > most).tolist():
                self._reject(int(rows[i]), None, Reason.TOO_LARGE, too_large(int(sizes[i]), most))
                out[i] = True
        screened = self._decoder.format.screen(self._batch, present, sizes)
        for i in screened.blank:
            self._empty.append(int(rows[i]))
            out[i] = True
        for i, (reason, detail) in screened.problems.items():
            if not (self._decoder.ignores_arrays and reason is Reason.NOT_AN_OBJECT):
                self._reject(int(rows[i]), None, reason, detail)
            out[i] = True
        if not out.any():
            return present
        return Chunk(rows[~out], list(compress(present.records, (~out).tolist())))

    def _present(self) -> tuple[Chunk, Rows]:
        """The records that have a value, and their sizes."""
        values, sizes = self._batch.values, self._batch.sizes
        rows = np.flatnonzero(sizes)
        if rows.size == sizes.size:
            return Chunk(rows, values), sizes  # type: ignore[arg-type]
        self._empty.extend(np.flatnonzero(sizes == 0).tolist())
        return Chunk(rows, [value for value in values if value]), sizes[rows]

    def _read(self, reader: Reader, chunk: Chunk) -> Columns:
        """Read records, and reject those that can't be read."""
        columns = reader.read(self._batch, chunk)
        for row in columns.unreadable:
            problem = self._decoder.format.problem(self._batch, row)
            self._reject(row, None, *(problem or (Reason.NOT_JSON, "the JSON can't be read")))
        return columns

    def _read_separately(self, readable: Chunk) -> None:
        """Read the types first, then each contract's records with its own reader."""
        types = self._decoder.types
        typed = self._read(types, readable) if types.reads else None
        for contract in self._decoder.contracts:
            chunk = readable
            if contract.type_path is not None and typed is not None:
                of_type = typed.frame.filter(_is_of(contract, types))["_row"]
                rows = np.sort(of_type.to_numpy()).astype(np.int64)
                chunk = Chunk(rows, [self._batch.value(row) for row in rows.tolist()])
            reader = self._decoder.readers[contract.name]
            columns = self._read(reader, chunk)
            self._validate([contract], reader, columns)

    def _validate(self, contracts: Sequence[Contract], reader: Reader, columns: Columns) -> None:
        """Validate the rows of each contract's type."""
        chosen = [
            columns.frame.lazy()
            .filter(_is_of(contract, reader))
            .select(columns_of(contract, reader))
            for contract in contracts
        ]
        unsure = np.zeros(len(self._batch.values), dtype=np.bool_)
        unsure[columns.unsure] = True
        for contract, frame in zip(contracts, pl.collect_all(chosen), strict=True):
            self._settled[frame["_row"].to_numpy()] = True
            validated = validate(contract, frame, self._batch, self._decoder.format, unsure)
            self._tables[contract.name] = validated.table
            for row, reason, detail in validated.problems:
                self._reject(row, contract.name, reason, detail)
            if validated.repeated_ms:
                self._repeated_ms[contract.name] = validated.repeated_ms
            for field, at in validated.wrong_types.items():
                self._wrong_types[contract.name, field] = at

    def _reject(self, row: int, contract: str | None, reason: Reason, detail: str) -> None:
        batch, name = self._batch, contract or self._decoder.sole
        detail = labelled(self._decoder.format, batch, row, detail)
        reject = Reject(int(batch.partitions[row]), int(batch.offsets[row]), name, reason, detail)
        # If contracts are read separately, several may reject the same record as not JSON.
        self._rejects.setdefault((row, name), reject)
        self._settled[row] = True


def _is_of(contract: Contract, reader: Reader) -> pl.Expr:
    """Whether a record is of the contract's type. Numbers and booleans match as text."""
    if contract.type_path is None:
        return pl.lit(True)
    return (
        pl.col(reader.column((column_path(contract.type_path), pl.String))) == contract.type_value
    )
