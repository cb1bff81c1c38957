"""Lookups that are read from topics: the versions of their rows, as of any position of the log.

A record is a row: a JSON object with the lookup's columns. It replaces the earlier row with its
record key, as compaction does, but only from the time on from which it is valid: the earlier row
ends there, and is dropped if it would begin later. A record without a value (a tombstone), or one
that can't be read, has no row: from its timestamp on, its key has none. A record without a
timestamp, such as a line of a file, is always valid.

So the rows that are valid at a time depend on the log up to a position only. Compaction, which
deletes superseded records, changes nothing for times after they were superseded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import polars as pl

from agent.core.decode.batch import Batch
from agent.core.decode.event_time import parse_times
from agent.core.model.lookups import ALWAYS_MS, FROM, UNTIL, Lookup, LookupTopic, cell_of_json

LogPartition = tuple[str, int]
"""A log of a topic (`log_name`) and a partition of it."""

Position = Mapping[LogPartition, int]
"""How far lookup topics are read: the offset after the last record, by partition. A missing
partition is read up to 0."""

ID_CHARACTERS = 6
"""The characters of a topic's id in a log's name: enough to differ from an earlier log of the
topic, and few, since commits have the names of all logs."""

_PARTITION, _OFFSET, _RECORD, _IS_ROW = "_partition", "_offset", "_record", "_is_row"
_ENDS = "_ends"


def log_name(topic: str, topic_id: str) -> str:
    """The name of a topic's log: a topic that is deleted and created again has another one.
    `topic_id` "": the broker has no ids."""
    return f"{topic}:{topic_id[:ID_CHARACTERS]}" if topic_id else topic


def topic_of(log: str) -> str:
    """The topic of a log. No topic's name has a colon."""
    return log.partition(":")[0]


@dataclass(frozen=True, slots=True)
class LookupReject:
    """A record of a lookup topic that has no readable row."""

    lookup: str
    partition: int
    offset: int
    detail: str


class LookupTopics:
    """All lookups of a plan that are read from topics. One thread may add records while another
    reads: a reader sees the records of its position only. `ids` are the broker's ids of the topics,
    set before records are added."""

    def __init__(self, lookups: Mapping[str, Lookup]) -> None:
        self._logs = {
            name: _Log(lookup, lookup.topic)
            for name, lookup in lookups.items()
            if lookup.topic is not None
        }
        self.topics = frozenset(log.topic.name for log in self._logs.values())
        self.ids: Mapping[str, str] = {}
        self.position: Position = {}

    def add(self, batch: Batch) -> list[LookupReject]:
        """Add the next records of one topic; returns those that have no readable row."""
        rejects = [
            reject
            for log in self._logs.values()
            if log.topic.name == batch.topic
            for reject in log.add(batch)
        ]
        ends = zip(batch.partitions.tolist(), (batch.offsets + 1).tolist(), strict=True)
        self.advance({self.log_partition(batch.topic, partition): end for partition, end in ends})
        return rejects

    def log_partition(self, topic: str, partition: int) -> LogPartition:
        """The name of a partition in positions."""
        return log_name(topic, self.ids.get(topic, "")), partition

    def advance(self, position: Position) -> None:
        """Note that partitions are read up to these offsets, even if no record is there."""
        self.position = {**self.position, **position}

    def position_of(self, topics: Collection[str]) -> Position:
        """How far some topics are read."""
        return {p: end for p, end in self.position.items() if topic_of(p[0]) in topics}

    def rows(self, lookup: str, position: Position) -> pl.DataFrame:
        """The table of a lookup as of a position, with its validity (see `Lookup`)."""
        return self._logs[lookup].rows(position)

    def unreadable(self) -> Mapping[str, int]:
        """By lookup, the number of record keys without a row because their last record can't be
        read."""
        return {name: len(log.unreadable) for name, log in self._logs.items()}

    def topics_of(self, lookups: Iterable[str]) -> frozenset[str]:
        """The topics of some lookups; those in files have none."""
        return frozenset(self._logs[name].topic.name for name in lookups if name in self._logs)


class _Log:
    """The records of one lookup that were added."""

    def __init__(self, lookup: Lookup, topic: LookupTopic) -> None:
        self.topic = topic
        self._lookup = lookup
        schema = lookup.table.schema
        self._types = {name: t for name, t in schema.items() if name not in (FROM, UNTIL)}
        self._parts: list[pl.DataFrame] = []
        self.unreadable: set[tuple[int, bytes]] = set()  # partition, record key

    def add(self, batch: Batch) -> list[LookupReject]:
        rejects = []
        objects: list[dict[str, Any]] = []
        partitions = batch.partitions.tolist()
        for i, value in enumerate(batch.values):
            row = {}
            record = partitions[i], batch.key(i) or b""
            self.unreadable.discard(record)
            if value is not None:
                try:
                    row = self._row(value, batch.key(i))
                except ValueError as error:
                    where = partitions[i], int(batch.offsets[i])
                    rejects.append(LookupReject(self._lookup.name, *where, str(error)))
                    self.unreadable.add(record)
            objects.append(row)
        self._parts.append(self._table(batch, objects))
        return rejects

    def rows(self, position: Position) -> pl.DataFrame:
        parts = list(self._parts)
        if not parts:
            return self._lookup.table
        if len(parts) > 1:
            self._parts[: len(parts)] = [pl.concat(parts)]
        read = self._parts[0]
        name = self.topic.name
        upto = {p: offset for (log, p), offset in position.items() if topic_of(log) == name}
        limits = pl.col(_PARTITION).replace_strict(upto, default=0, return_dtype=pl.Int64)
        superseded = pl.col(FROM).shift(-1).cum_min(reverse=True)
        return (
            read.lazy()
            .filter(pl.col(_OFFSET) < limits)
            .with_columns(superseded.over(_PARTITION, _RECORD).alias(_ENDS))
            .filter(_IS_ROW, pl.col(_ENDS).is_null() | (pl.col(FROM) < pl.col(_ENDS)))
            .sort(_PARTITION, _OFFSET)
            .unique([*self._lookup.keys, FROM], keep="last", maintain_order=True)
            .with_columns(pl.min_horizontal(UNTIL, _ENDS).alias(UNTIL))
            .select(*self._types, FROM, UNTIL)
            .collect()
        )

    def _row(self, value: bytes, key: bytes | None) -> dict[str, Any]:
        """The cells of a record. Raises ValueError where it can't be read."""
        try:
            cells = msgspec.json.decode(value, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ValueError(f"the value is not a JSON object: {error}") from error
        row = {}
        for name, dtype in self._types.items():
            cell = cells.get(name)
            if cell is None and (name,) == self._lookup.keys and key is not None:
                cell = _cell_of_key(key, dtype)
            row[name] = cell_of_json(cell, dtype)
            if cell is not None and row[name] is None:
                raise ValueError(f"{name}: {cell!r} is not of type {str(dtype).lower()}")
            if row[name] is None and name in self._lookup.keys:
                raise ValueError(f"the key '{name}' is missing")
        for name in filter(None, (self.topic.begins, self.topic.ends)):
            row[_time_column(name)] = _time(name, cells.get(name), self.topic.timezone)
        return row

    def _table(self, batch: Batch, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
        columns: dict[str, pl.Series] = {
            name: pl.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in self._types.items()
        }
        columns[_PARTITION] = pl.Series(batch.partitions.astype(np.int64))
        columns[_OFFSET] = pl.Series(batch.offsets)
        # Records without a key replace nothing.
        columns[_RECORD] = pl.Series(
            [batch.key(i) or b"\0%d" % batch.offsets[i] for i in range(len(rows))], dtype=pl.Binary
        )
        columns[_IS_ROW] = pl.Series([bool(row) for row in rows], dtype=pl.Boolean)
        stamps = np.where(batch.timestamps < 0, ALWAYS_MS, batch.timestamps)
        if not batch.timestamped:
            stamps = np.full(len(rows), ALWAYS_MS)
        columns[FROM] = pl.Series(self._begins(stamps.tolist(), rows), dtype=pl.Int64)
        ends = None if self.topic.ends is None else _time_column(self.topic.ends)
        columns[UNTIL] = pl.Series([row.get(ends or "") for row in rows], dtype=pl.Int64)
        return pl.DataFrame(columns)

    def _begins(self, stamps: list[int], rows: Sequence[dict[str, Any]]) -> list[int]:
        """From when on each record is valid (ms)."""
        if self.topic.begins is None:
            return stamps
        name = _time_column(self.topic.begins)
        begins = [row[name] if row else at for row, at in zip(rows, stamps, strict=True)]
        return [ALWAYS_MS if at is None else at for at in begins]


def _cell_of_key(key: bytes, dtype: pl.DataType) -> Any:
    """A record's key as the cell of a key column."""
    if dtype == pl.String:
        return key.decode(errors="replace")
    try:
        return msgspec.json.decode(key)
    except (msgspec.MsgspecError, ValueError):
        return key.decode(errors="replace")


def _time_column(name: str) -> str:
    return f"_time {name}"


def _time(name: str, cell: Any, timezone: str) -> int | None:
    """An instant (ms), None for an empty cell. Raises ValueError for anything that is no time."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, str | int | float) and not isinstance(cell, bool):
        ms, readable = parse_times(pl.Series([cell]), timezone)
        if readable[0]:
            return int(ms[0])
    raise ValueError(f"{name}: {cell!r} is not a date or time")
