"""Stores many ids without a Python object for each: sorted by hash, with their text in one buffer.

A run takes, for each id, 20 bytes, the bytes of the id, and one or two bytes of the Bloom filter.
Ids are always compared by their text; hashes are only for finding them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregate.columns import Ints

Words = npt.NDArray[np.uint32]

DUE_SHARE = 8
"""A run is compacted once one in this many of its ids is finished."""


@dataclass(frozen=True, slots=True, eq=False)
class IdRun:
    """A run of ids in the order of their hashes.

    Entry i has the hash `hashes[i]`, the time `times_ms[i]`, and `lengths[i]` bytes of UTF-8 in
    `text` from `starts[i]`; the text has no gaps, and an order of its own. The run is compacted
    once everything up to `due_ms` is finished. `marks` is a Bloom filter with one hash function
    (the first bits of the hashes) and 8 to 16 bits per entry.
    """

    hashes: Words
    times_ms: Ints
    starts: Words
    lengths: Words
    text: bytes
    due_ms: int
    marks: npt.NDArray[np.uint8]

    @classmethod
    def build(
        cls, ids: pl.Series, hashes: Words, times_ms: Ints, others: Sequence[IdRun] = ()
    ) -> IdRun:
        """A run of some ids (String, no nulls, at least one) and of the ids of other runs."""
        order = np.argsort(hashes)
        lengths = ids.str.len_bytes().to_numpy()
        texts = [*(run.text for run in others), ids.str.join("").item().encode()]
        begins = _starts(np.array([len(text) for text in texts], np.uint32))
        every_hash = np.concatenate([*(run.hashes for run in others), hashes[order]])
        starts = [*(run.starts for run in others), _starts(lengths)[order]]
        return cls._sorted(
            np.argsort(every_hash, kind="stable"),  # which merges sorted runs
            every_hash,
            np.concatenate([*(run.times_ms for run in others), times_ms[order]]),
            np.concatenate([s + begin for s, begin in zip(starts, begins, strict=True)]),
            np.concatenate([*(run.lengths for run in others), lengths[order]]),
            b"".join(texts),
        )

    @classmethod
    def _sorted(
        cls,
        order: Ints,
        hashes: Words,
        times_ms: Ints,
        starts: Words,
        lengths: Words,
        text: bytes,
    ) -> IdRun:
        """A run of the entries at `order`, which sorts them by hash."""
        hashes, times_ms = hashes[order], times_ms[order]
        bits = np.zeros(2 ** min(32, len(order).bit_length() + 3), np.bool_)
        bits[hashes >> _shift(len(bits))] = True
        marks = np.packbits(bits, bitorder="little")
        return cls(hashes, times_ms, starts[order], lengths[order], text, due_of(times_ms), marks)

    def __len__(self) -> int:
        return len(self.hashes)

    def after(self, done_ms: int) -> IdRun | None:
        """The run without finished ids if it is due, otherwise the run itself; None if no ids are
        left."""
        if self.due_ms > done_ms:
            return self
        left = self.times_ms > done_ms
        if not left.any():
            return None
        by_text = np.argsort(self.starts, kind="stable")
        text = np.frombuffer(self.text, np.uint8)
        text = text[np.repeat(left[by_text], self.lengths[by_text])]
        kept = by_text[left[by_text]]
        starts = np.empty_like(self.starts)
        starts[kept] = _starts(self.lengths[kept])
        order = np.flatnonzero(left)
        return self._sorted(order, self.hashes, self.times_ms, starts, self.lengths, text.tobytes())

    def find(self, hashes: Words) -> tuple[Ints, Iterable[tuple[str, int]]]:
        """The indices of the hashes, among some, that ids of this run have, and these ids with
        their times. Sorted hashes are faster."""
        mark = hashes >> _shift(8 * len(self.marks))
        marks = self.marks[mark >> np.uint32(3)] >> (mark & np.uint32(7)).astype(np.uint8)
        indices = np.flatnonzero(marks & np.uint8(1))
        first = self.hashes.searchsorted(hashes[indices])
        hit = self.hashes.take(first, mode="clip") == hashes[indices]
        indices, first = indices[hit], first[hit]
        return indices, self._ids(first, hashes[indices]) if len(indices) else ()

    def _ids(self, first: Ints, hashes: Words) -> Iterable[tuple[str, int]]:
        """The ids with these hashes and their times. `first`: the first entry of each hash."""
        last = self.hashes.searchsorted(hashes, side="right")
        numbers = last - first
        entries = np.repeat(last - np.cumsum(numbers), numbers) + np.arange(numbers.sum())
        starts = self.starts[entries].tolist()
        lengths = self.lengths[entries].tolist()
        names = (self.text[s : s + n].decode() for s, n in zip(starts, lengths, strict=True))
        return zip(names, self.times_ms[entries].tolist(), strict=True)


def hashes_of(ids: pl.Series) -> Words:
    """A hash of each id; hashes are only valid within this process."""
    return ids.hash(seed=0).to_numpy().astype(np.uint32)


def due_of(times_ms: Ints) -> int:
    """The time by which one in `DUE_SHARE` of the ids is finished."""
    share = len(times_ms) // DUE_SHARE
    return int(np.partition(times_ms, share)[share])


def _starts(lengths: Words) -> Words:
    """The starts of consecutive pieces with these lengths."""
    return np.cumsum(lengths, dtype=np.uint32) - lengths


def _shift(bits: int) -> np.uint32:
    """The shift of a hash that leaves an index into `bits` (2^n) bits."""
    return np.uint32(33 - bits.bit_length())
