"""Proves that the texts of columns were strings in their records.

In a String column, any value is text. A text that may have been another value, such as `5` or
`true`, must be proven to have been a string; otherwise its record is read on its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Records, Rows
from agent.core.decode.extraction import Documents, Extractor
from agent.core.decode.format import Flags, Format, Kind
from agent.core.decode.json_format import MAYBE_NO_ID, MAYBE_NO_STRING, JsonFormat
from agent.core.decode.single_record import all_strings, tree_of
from agent.core.decode.tree import value_at
from agent.core.decode.view_columns import Column, Source
from agent.core.model.paths import Keys


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


class ProvenFormat(JsonFormat):
    """The format of documents that were read by columns and are proven. Details of a document, such
    as the value that a message quotes, are read from its record."""

    def __init__(self, extractor: Extractor, format: Format, batch: Batch, rows: Rows) -> None:
        self._extractor = extractor
        self._format = format
        self._batch = batch
        self._rows = rows

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
