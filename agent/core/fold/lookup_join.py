"""Joins a contract's events with its lookups: with the row of the event's key, valid at its time.

The row depends only on the event and the lookup; for a lookup from a topic also on the position as
of which the event is joined (`lookup_steps`). So batching and order make no difference. If there is
no row, its columns are null, and the event is counted (`field_counts`). A null key has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.lookup_topics import LookupTopics, Position
from agent.core.fold.runs import segments
from agent.core.model.events import Contract, LookupField
from agent.core.model.lookups import FROM, UNTIL, Join, Lookup, joins_of, missed_column

Rows = Callable[[Position], pl.DataFrame]
"""The rows of a lookup as of a position of the lookup topics."""

_INDEX, _ROW_UNTIL, _HAS_ROW = "_index", "_row_until", "_has_row"


class LookupJoin:
    """Joins the events of one contract with all of its lookups."""

    def __init__(
        self, contract: Contract, lookups: Mapping[str, Lookup], topics: LookupTopics
    ) -> None:
        self._joins = [
            _OneJoin(lookups[join[0]], join, fields, topics)
            for join, fields in joins_of(contract).items()
        ]

    def join(
        self, table: pl.DataFrame, positions: Sequence[Position], of_rows: Ints
    ) -> pl.DataFrame:
        """The table with the lookups' columns, named after their fields, and a Boolean column for
        each join (`missed_column`). The order of rows stays the same.

        `positions`: the positions of the lookup topics as of which rows are joined; `of_rows`: the
        index of the position of each row.
        """
        if not self._joins:
            return table
        columns = (join.columns(table, positions, of_rows) for join in self._joins)
        return pl.concat([table, *columns], how="horizontal")


class _OneJoin:
    """A lookup by one set of the event's fields."""

    def __init__(
        self, lookup: Lookup, join: Join, fields: Sequence[LookupField], topics: LookupTopics
    ) -> None:
        self._lookup = lookup
        self._topics = topics
        self._is_timed = lookup.is_timed
        self._keys = list(join[1])
        self._names = [field.name for field in fields]
        self._missed = missed_column(join)
        key_columns = [
            pl.col(key).alias(name) for key, name in zip(lookup.keys, self._keys, strict=True)
        ]
        validity = [pl.col(FROM), pl.col(UNTIL).alias(_ROW_UNTIL)] if lookup.is_timed else []
        # The event's key has the name of its field, which no other field of the event has.
        self._select = [
            *key_columns,
            *(pl.col(field.column).alias(field.name) for field in fields),
            *validity,
            pl.lit(True).alias(_HAS_ROW),
        ]
        self._rows = self._sorted(lookup.table)
        self._as_of: Position | None = None  # the position of `_rows`

    def columns(
        self, table: pl.DataFrame, positions: Sequence[Position], of_rows: Ints
    ) -> pl.DataFrame:
        """The columns that the join adds, in the order of the table's rows."""
        if self._lookup.topic is None:
            return self._joined(table)
        used = np.unique(of_rows).tolist()
        if len(used) == 1:
            self._read(positions[used[0]])
            return self._joined(table)
        parts, indexes = [], []
        for number in used:
            self._read(positions[number])
            index = np.flatnonzero(of_rows == number)
            parts.append(self._joined(table[index]))
            indexes.append(index)
        return pl.concat(parts)[np.argsort(np.concatenate(indexes))]

    def _read(self, position: Position) -> None:
        """Read the rows as of a position, if they are of another one."""
        if position != self._as_of:
            self._rows = self._sorted(self._topics.rows(self._lookup.name, position))
            self._as_of = position

    def _sorted(self, rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.select(self._select)
        return rows.sort(FROM) if self._is_timed else rows

    def _joined(self, table: pl.DataFrame) -> pl.DataFrame:
        has_key = pl.all_horizontal(pl.col(name).is_not_null() for name in self._keys)
        joined = self._join_valid(table) if self._is_timed else self._join_key(table)
        missed = (has_key & pl.col(_HAS_ROW).is_null()).alias(self._missed)
        return joined.select(*self._names, missed)

    def _join_key(self, table: pl.DataFrame) -> pl.DataFrame:
        return table.select(self._keys).join(
            self._rows, on=self._keys, how="left", maintain_order="left"
        )

    def _join_valid(self, table: pl.DataFrame) -> pl.DataFrame:
        """Join the last row of the key that begins at or before the event, if it has not ended."""
        joined = (
            table.select(*self._keys, "_time")
            .with_row_index(_INDEX)
            .sort("_time")
            .join_asof(
                self._rows,
                left_on="_time",
                right_on=FROM,
                by=self._keys,
                strategy="backward",
                check_sortedness=False,
            )
            .sort(_INDEX)
        )
        is_valid = pl.col(_ROW_UNTIL).is_null() | (pl.col("_time") < pl.col(_ROW_UNTIL))
        return joined.with_columns(
            pl.when(is_valid).then(pl.col(name)).alias(name) for name in [*self._names, _HAS_ROW]
        )


@dataclass(frozen=True, slots=True)
class AsOf:
    """The positions of the lookup topics as of which the records of a batch are joined, and the
    index of the position of each record."""

    positions: Sequence[Position]
    of_records: Ints


class LookupJoins:
    """The lookups of a topic's contracts. `topics`: the lookup topics among them."""

    def __init__(
        self, contracts: Sequence[Contract], lookups: Mapping[str, Lookup], topics: LookupTopics
    ) -> None:
        self._read = topics
        self._joins = {c.name: LookupJoin(c, lookups, topics) for c in contracts}
        self.topics = topics.topics_of(f.lookup for c in contracts for f in c.lookups)

    def read(self, batch: Batch, sources: Mapping[int, SourceProgress], span_ms: int) -> AsOf:
        """Note in the steps of each source as of which position its records are joined: as of now,
        except for those whose steps are fixed. `span_ms`: how far a commit can be back in event
        time."""
        of_records = np.zeros(len(batch.values), np.int64)
        if not self.topics:
            return AsOf([], of_records)
        now = self._read.position_of(self.topics)
        positions: list[Position] = []
        for partition, start, stop in segments(batch.partitions):
            source, offsets = sources[partition], batch.offsets[start:stop]
            source.lookups.read(
                int(offsets[0]), int(offsets[-1]) + 1, now, source.watermark_ms, span_ms
            )
            for number, position in enumerate(p for _, p in source.lookups.steps):
                if position not in positions:
                    positions.append(position)
                known = positions.index(position)
                of_records[start:stop][source.lookups.at(offsets) == number] = known
        return AsOf(positions, of_records)

    def join(self, contract: str, table: pl.DataFrame, as_of: AsOf) -> pl.DataFrame:
        """A contract's table with the columns of its lookups (`LookupJoin.join`)."""
        of_rows = as_of.of_records[table["_row"].to_numpy()]
        return self._joins[contract].join(table, as_of.positions, of_rows)
