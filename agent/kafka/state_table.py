"""The Faust table that holds the state of stage 2, one row per series.

A table key is the state partition (2 bytes) and the merger's key; a row is its position in the
frames topic (8 bytes) and the merger's bytes. The position is a fencing token: a worker that has
lost a partition without knowing it may still write an outdated row. On recovery the row with the
higher position counts, whichever was written last.

The database on disk has a prefix of the changelog, without gaps: a row is written to disk once the
changelog has it, and only if nobody else wrote in between. So a restart that continues there has
the state that every other worker would have.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import faust
import rocksdict
from faust.types import TP, EventT
from yarl import URL

from agent.core.state.rows import Row
from agent.kafka.publish import Send, acknowledged
from agent.kafka.state_store import StateStore

_PARTITION = struct.Struct(">H")
_POSITION = struct.Struct(">q")
YIELD_EVERY = 200  # rows between two chances for other tasks
ROWS_AT_ONCE = 1_000  # a millisecond or two

Event: TypeAlias = EventT[Any]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A row that was sent to the changelog; `value` None deletes."""

    partition: int
    key: bytes
    value: bytes | None
    future: Any  # of a RecordMetadata


class StateTable(faust.Table[bytes, bytes]):
    """A table whose rows are written in rounds, and which fences on recovery."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent: list[_Sent] = []
        self._known: dict[int, int | None] = {}  # by partition: the changelog's offset on disk

    def _new_store_by_url(self, url: Any) -> Any:
        """Faust's own store in memory, or our store on disk."""
        if URL(url).scheme == "memory":
            return super()._new_store_by_url(url)
        return StateStore(
            url, self.app, self, table_name=self.name, key_type=self.key_type,
            key_serializer=self.key_serializer, value_serializer=self.value_serializer,
            value_type=self.value_type, driver="rocksdict",
        )  # fmt: skip

    def _on_changelog_sent(self, fut: Any) -> None:
        """Faust would set the offset here, whatever is before it; see `settle`."""

    def apply_changelog_batch(self, batch: Iterable[Event]) -> None:
        """Apply rows of the changelog, except those with a lower position than a known row."""
        newest: dict[bytes, int] = {}
        reached: dict[TP, int] = {}
        kept = []
        for event in batch:
            if self._disk is not None and self._disk.is_lost(event.message.partition):
                continue  # `check` raises it; Faust calls this once more when it stops
            reached[event.message.tp] = event.message.offset
            key, value = event.message.key or b"", event.message.value
            if key not in newest:
                newest[key] = _position(self._stored(event.message.partition, key))
            if value is None:
                newest[key] = -1
            elif (position := _position(value)) >= newest[key]:
                newest[key] = position
            else:
                continue
            kept.append(event)
        with contextlib.ExitStack() as guards:
            if (store := self._disk) is not None:
                for tp in reached:
                    guards.enter_context(store.guarding(tp.partition))
            super().apply_changelog_batch(kept)
        for tp, offset in reached.items():  # including rows that were left out
            self.data.set_persisted_offset(tp, offset)
            self._known[tp.partition] = offset

    @property
    def _disk(self) -> StateStore | None:
        """The store, where rows are kept on disk."""
        return self.data if isinstance(self.data, StateStore) else None

    def _stored(self, partition: int, key: bytes) -> bytes | None:
        if self._disk is not None:
            return self._disk.get_row(partition, key)
        value: bytes | None = self.data.get(key)
        return value

    async def write(
        self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], position: int
    ) -> None:
        """Send rows of a partition to the changelog; None deletes. `settle` waits for them."""
        prefix, at = _PARTITION.pack(partition), _POSITION.pack(position)
        for number, (key, row) in enumerate(rows, 1):
            value = None if row is None else at + row
            future = self.send_changelog(partition, prefix + key, value, "raw", "raw")
            self._sent.append(_Sent(partition, prefix + key, value, future))
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """Wait until the changelog has all sent rows; then write them to disk, if rows are kept
        there."""
        sent, self._sent = self._sent, []
        topic = self.changelog_topic.get_topic_name()
        await acknowledged([Send(topic, send.partition, send.future) for send in sent])
        by_partition: dict[int, list[_Sent]] = {}
        for send in sent:
            by_partition.setdefault(send.partition, []).append(send)
        for partition, rows in by_partition.items():
            for start in range(0, len(rows), ROWS_AT_ONCE):
                self._write_to_disk(partition, rows[start : start + ROWS_AT_ONCE])
                await asyncio.sleep(0)

    def _write_to_disk(self, partition: int, rows: Sequence[_Sent]) -> None:
        """Write rows to disk with the offset of the last one, atomically; up to the first gap,
        where another worker has written: the next recovery continues there."""
        store = self._disk
        database = store.database(partition) if store is not None else None
        if store is None or database is None:  # in memory, or revoked meanwhile
            return
        offsets = [row.future.result().offset for row in rows]
        count, reached = known_rows(self._known.get(partition), offsets)
        if not count:
            return
        batch = rocksdict.WriteBatch(raw_mode=True)
        for row in rows[:count]:
            if row.value is None:
                batch.delete(row.key)
            else:
                batch.put(row.key, row.value)
        batch.put(store.offset_key, str(reached).encode())
        with store.guarding(partition):
            database.write(batch)
        self._known[partition] = reached

    def rows_of(self, partitions: Iterable[int]) -> Mapping[int, tuple[int, list[Row]]]:
        """The rows of partitions, and the highest position among them (-1: no rows).

        Rows of other partitions are dropped from memory; their owner has them. Raises
        DamagedState where rows on disk can't be read.
        """
        for partition in partitions:
            if partition not in self._known:  # nothing new was read
                tp = TP(self.changelog_topic.get_topic_name(), partition)
                self._known[partition] = self.persisted_offset(tp)
        disk = self._disk
        by_partition = (
            self._rows_in_memory(partitions)
            if disk is None
            else {partition: list(disk.rows(partition)) for partition in partitions}
        )
        return {
            partition: (
                max((_position(value) for _, value in rows), default=-1),
                [(key[_PARTITION.size :], value[_POSITION.size :]) for key, value in rows],
            )
            for partition, rows in by_partition.items()
        }

    def _rows_in_memory(self, partitions: Iterable[int]) -> dict[int, list[Row]]:
        rows: dict[int, list[Row]] = {p: [] for p in partitions}
        foreign = []
        for key, value in self.data.items():
            partition = _PARTITION.unpack_from(key)[0]
            if partition not in rows:
                foreign.append(key)
            elif value is not None:
                rows[partition].append((key, value))
        for key in foreign:
            self.data.data.pop(key, None)
        return rows

    def check(self) -> None:
        """Raise DamagedState if a database on disk was lost during the run."""
        if self._disk is not None:
            self._disk.check()

    def databases(self) -> list[Any]:
        """The databases on disk that are open now; none if the state is kept in memory."""
        return [] if self._disk is None else self._disk.databases()


def key_of_row(changelog_key: bytes) -> bytes:
    """The key of a row (`agent.core.state.rows`) by that of its message on the changelog."""
    return changelog_key[_PARTITION.size :]


def known_rows(known: int | None, offsets: Sequence[int]) -> tuple[int, int | None]:
    """How many rows, with these offsets of the changelog, follow the `known` offset without a gap;
    and the last offset then (None: none)."""
    count = 0
    for offset in offsets:
        if offset != (-1 if known is None else known) + 1:
            break
        known, count = offset, count + 1
    return count, known


def _position(value: bytes | None) -> int:
    return -1 if value is None else int(_POSITION.unpack_from(value)[0])
