"""The Faust table that holds the state of stage 2, one row per series.

A table key is the state partition (2 bytes) and the merger's key; a row is the position in the
frames topic that it is true for (8 bytes) and the merger's bytes. The position fences: a worker
that has lost a partition without knowing it may still write a row that was true before its
successor's. On recovery the row with the higher position stands, whichever was written last.
"""

from __future__ import annotations

import asyncio
import struct
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import faust
from faust.stores.memory import Store as MemoryStore
from faust.streams import _current_event
from faust.types import EventT

_PARTITION = struct.Struct(">H")
_POSITION = struct.Struct(">q")
YIELD_EVERY = 200  # rows between two chances for other tasks

Row = tuple[bytes, bytes]
Event: TypeAlias = EventT[Any]


class StateTable(faust.Table[bytes, bytes]):
    """A table that keeps the futures of its changelog writes, and fences on recovery."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.written: list[asyncio.Future[Any]] = []

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        """Send a row to the changelog; its future goes to `written`."""
        sent = super().send_changelog(*args, **kwargs)
        self.written.append(sent)
        return sent

    def apply_changelog_batch(self, batch: Iterable[Event]) -> None:
        """Take in rows of the changelog, save those that a later position has overtaken."""
        newest: dict[bytes, int] = {}
        kept = []
        for event in batch:
            key, value = event.message.key or b"", event.message.value
            if key not in newest:
                newest[key] = _position(self.data.get(key))
            if value is None:
                newest[key] = -1
            elif (position := _position(value)) >= newest[key]:
                newest[key] = position
            else:
                continue
            kept.append(event)
        super().apply_changelog_batch(kept)

    async def write(
        self, event: Event, rows: Iterable[tuple[bytes, bytes | None]], position: int
    ) -> None:
        """Write rows of the partition that the event came from; None deletes. `written` then holds
        the futures to wait for."""
        partition = _PARTITION.pack(event.message.partition)
        for number, (key, row) in enumerate(rows, 1):
            with _as_current(event):
                if row is not None:
                    self[partition + key] = _POSITION.pack(position) + row
                elif partition + key in self:
                    del self[partition + key]
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def rows_of(self, partitions: Iterable[int]) -> Mapping[int, tuple[int, list[Row]]]:
        """The rows of partitions, and the highest position among them (-1: no rows).

        Rows of other partitions are dropped from memory; their owner has them.
        """
        rows: dict[int, list[Row]] = {p: [] for p in partitions}
        highest = dict.fromkeys(rows, -1)
        foreign = []
        for key, value in self.data.items():
            partition = _PARTITION.unpack_from(key)[0]
            if partition not in rows:
                foreign.append(key)
            elif value is not None:
                rows[partition].append((key[_PARTITION.size :], value[_POSITION.size :]))
                highest[partition] = max(highest[partition], _position(value))
        if isinstance(self.data, MemoryStore):
            for key in foreign:
                self.data.data.pop(key, None)
        return {p: (highest[p], rows[p]) for p in rows}

    def databases(self) -> list[Any]:
        """The databases on disk that are open now; none where the state is kept in memory."""
        return list(getattr(self.data, "_dbs", {}).values())


def _position(value: bytes | None) -> int:
    return -1 if value is None else int(_POSITION.unpack_from(value)[0])


@contextmanager
def _as_current(event: Event) -> Iterator[None]:
    """Faust takes the partition of a table write from the event that it believes is being
    processed; rows are written in rounds, for several events of several partitions."""
    token = _current_event.set(weakref.ref(event))
    try:
        yield
    finally:
        _current_event.reset(token)
