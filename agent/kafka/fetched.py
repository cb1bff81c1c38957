"""Fetched records as columns, and as the batches that the core decodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from aiokafka.structs import ConsumerRecord

from agent.core.decode.batch import Batch, Headers

Record: TypeAlias = "ConsumerRecord[Any, Any]"

Raw = Any
"""A record of an aiokafka batch: `offset`, `timestamp` (ms), `key`, `value`, `headers`."""

_VALUE, _KEY = attrgetter("value"), attrgetter("key")
_HEADERS = attrgetter("headers")
_OFFSET, _TIMESTAMP = attrgetter("offset"), attrgetter("timestamp")


class Fetched:
    """Records of one partition in the order of their offsets, as columns. `headers` and
    `stamps` (timestamp type and checksum) are by the index of the record, and of the first one
    of each batch."""

    __slots__ = ("_offsets", "_timestamps", "headers", "keys", "stamps", "values")

    def __init__(self) -> None:
        self.values: list[bytes | None] = []
        self.keys: list[bytes | None] = []
        self.headers: dict[int, Any] = {}
        self.stamps: dict[int, tuple[int, Any]] = {}
        self._offsets: list[npt.NDArray[np.int64]] = []
        self._timestamps: list[npt.NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self.values)

    def extend(self, raws: list[Raw]) -> None:
        """Append records of one batch, at least one."""
        start, count = len(self.values), len(raws)
        self.values.extend(map(_VALUE, raws))
        self.keys.extend(map(_KEY, raws))
        if any(map(_HEADERS, raws)):
            headed = ((start + i, raw.headers) for i, raw in enumerate(raws) if raw.headers)
            self.headers.update(headed)
        self.stamps[start] = raws[0].timestamp_type, raws[0].checksum
        first, last = raws[0].offset, raws[-1].offset
        if last - first == count - 1:
            self._offsets.append(np.arange(first, last + 1))
        else:  # compaction left gaps
            self._offsets.append(np.fromiter(map(_OFFSET, raws), np.int64, count))
        self._timestamps.append(np.fromiter(map(_TIMESTAMP, raws), np.int64, count))

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """The offset of each record."""
        return np.concatenate(self._offsets) if self._offsets else np.zeros(0, np.int64)

    @property
    def timestamps(self) -> npt.NDArray[np.int64]:
        """The broker's timestamp of each record, ms since the epoch."""
        return np.concatenate(self._timestamps) if self._timestamps else np.zeros(0, np.int64)

    def before(self, offset: int) -> Fetched:
        """The records before an offset."""
        offsets, timestamps = self.offsets, self.timestamps
        count = int((offsets < offset).sum())
        if count == len(self):
            return self
        first = Fetched()
        first.values, first.keys = self.values[:count], self.keys[:count]
        first.headers = {row: of_row for row, of_row in self.headers.items() if row < count}
        first.stamps = {row: stamp for row, stamp in self.stamps.items() if row < count}
        first._offsets, first._timestamps = [offsets[:count]], [timestamps[:count]]
        return first

    def record(self, topic: str, partition: int, index: int) -> Record:
        """A record as aiokafka's `getmany` returns it."""
        key, value = self.keys[index], self.values[index]
        kind, checksum = self.stamps[max(start for start in self.stamps if start <= index)]
        return ConsumerRecord(
            topic, partition, int(self.offsets[index]), int(self.timestamps[index]), kind,
            key, value, checksum, -1 if key is None else len(key),
            -1 if value is None else len(value), tuple(self.headers.get(index, ())),
        )  # fmt: skip


def make_batch(topic: str, parts: Sequence[tuple[int, Fetched]]) -> Batch:
    """One batch of a topic's records, in the order of `parts` (partition, records)."""
    sizes = [len(records) for _, records in parts]
    headers: dict[int, Headers] = {}
    for start, (_, records) in zip(accumulate(sizes, initial=0), parts, strict=False):
        headers.update((start + row, of_row) for row, of_row in records.headers.items())
    return Batch(
        topic,
        list(chain.from_iterable(records.values for _, records in parts)),
        np.repeat(np.array([partition for partition, _ in parts], np.int32), sizes),
        np.concatenate([records.offsets for _, records in parts]),
        np.concatenate([records.timestamps for _, records in parts]),
        keys=list(chain.from_iterable(records.keys for _, records in parts)),
        headers=headers,
    )


def record_of(topic: str, parts: Sequence[tuple[int, Fetched]], row: int) -> Record:
    """The record of a row of the batch that `make_batch` made of these parts."""
    for partition, records in parts:
        if row < len(records):
            return records.record(topic, partition, row)
        row -= len(records)
    raise IndexError(row)
