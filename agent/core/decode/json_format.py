"""The format `json`: one object per record; polars reads many records at once.

1. A batch is read at once and strictly, which is fastest and proves that every value has its type.
2. If that fails, it is read in chunks, and so are the next batches.
3. A chunk that can't be read strictly is read again with null for values of other types, and so are
   the next chunks. Nulls that may have been other values are looked up in their records.
4. If a chunk has records that are not JSON, they are searched for, and the others are read.

So the cost of bad records is proportional to their number. Of duplicate keys, the first counts.
Line breaks in a record (pretty-printed JSON) are allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Chunk, Records, Rows, parts
from agent.core.decode.format import (
    Columns,
    Demand,
    DType,
    Flags,
    Kind,
    Problem,
    Screened,
    WrongPlaceError,
)
from agent.core.decode.json_search import SEARCHES, Search, malformed
from agent.core.decode.layout import Layout, UnreadableLinesError
from agent.core.decode.single_record import (
    SHORTEST_DEEP,
    all_strings,
    has_lone_surrogate,
    is_of_kind,
    is_too_deep,
    problem_of,
    tree_of,
    value_in,
)
from agent.core.model.paths import Keys, Selector

CHUNK_RECORDS = 4096
"""The size of chunks. A bad record makes a whole chunk be read twice, but every read has a fixed
cost: compared with one read of all records, this size costs 10 % more, 1,024 records 50 %."""

_SMALL_READS = 16
"""The number of batches that are read in chunks after one that could not be read at once."""

_RELAXED_CHUNKS = 64
"""The number of chunks that are not tried strictly, once that has failed often."""

_OFTEN = 0.25
"""The share of recent chunks with values of other types, or with records that are not JSON, from
which on they are expected."""

_WEIGHT = 1 / 16
"""The weight of a chunk in that share (a moving average)."""

# How polars writes values that are not strings into a String column: numbers without exponent,
# true, false, objects and arrays. A string may look the same; then the record decides.
MAYBE_NO_STRING = r"(?s)^(?:-?[0-9]+(?:\.[0-9]+)?|true|false|\{.*|\[.*)$"
MAYBE_NO_ID = r"(?s)^(?:-?[0-9]+\.[0-9]+|true|false|\{.*|\[.*)$"

_SPACE = b" \t\r\n"


class JsonFormat:
    """The format `json`."""

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """Blank records, records that are clearly not objects, and those nested too deep."""
        blank: list[int] = []
        problems: dict[int, Problem] = {}
        for index in self._suspects(chunk, sizes):
            record = chunk.records[index]
            if record.isspace():
                blank.append(index)
            elif (problem := problem_of(record)) is not None:
                problems[index] = problem
        return Screened(blank, problems)

    def reader(self, demands: Iterable[Demand]) -> JsonReader:
        """A reader for demands."""
        return JsonReader(demands)

    def reaches(self, demand: Demand) -> bool:
        """Whether readers can have a column for a demand. In columns, objects and arrays are text,
        which a selector must not match."""
        path, _ = demand
        values = [step.value for step in path if isinstance(step, Selector)]
        return isinstance(path[0], str) and not any(v.startswith(("{", "[")) for v in values)

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record is not a JSON object; None: it is one."""
        return problem_of(batch.value(row))

    def label(self, batch: Batch, row: int) -> str:
        """JSON has no schemas."""
        return ""

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None if it is absent or null."""
        return value_in(batch.value(row), path)

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """A record as Python objects. Raises UnreadableError if it is not JSON."""
        return tree_of(batch.value(row), keys)

    def key_texts(self, batch: Batch, rows: Rows) -> list[bytes | None]:
        """The key of each record; None where there is none."""
        return [batch.key(row) for row in rows.tolist()]

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """A record's key as Python objects. Raises UnreadableError if it is not JSON."""
        key = batch.key(row)
        return tree_of(key, keys) if key else None

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column have another kind in their record (null does not count)."""
        wrong = np.zeros(len(values), dtype=np.bool_)
        doubtful = self._doubtful_text(records, values, path, kind)
        if values.null_count() and (len(path) > 1 or kind not in _ANY_AS_TEXT) and unsure.any():
            nulls = np.flatnonzero(values.is_null().to_numpy() & unsure)
            doubtful += self._doubtful_nulls(records, nulls, path)
        if kind == "boolean" and len(path) > 1 and unsure.any():
            # Within an object, a read that is not strict converts numbers to booleans.
            present = np.flatnonzero(values.is_not_null().to_numpy() & unsure)
            doubtful += zip(present.tolist(), records.at(present), strict=True)
        if doubtful and values.dtype != pl.String:
            exact = _reading(path, values.dtype.base_type())
            doubtful = [(i, record) for i, record in doubtful if not exact.is_proven(record)]
        for index, record in doubtful:
            try:
                value = value_in(record, path)
            except WrongPlaceError:
                wrong[index] = True
            else:
                wrong[index] = value is not None and not is_of_kind(kind, value)
        return wrong

    def _doubtful_nulls(self, records: Records, nulls: Rows, path: Keys) -> list[tuple[int, bytes]]:
        """The nulls whose records may have a value at the path, by index."""
        key = b'"' + path[0].encode() + b'"'
        return [
            (index, record)
            for index, record in zip(nulls.tolist(), records.at(nulls), strict=True)
            if key in record or b"\\" in record
        ]

    def _doubtful_text(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind
    ) -> list[tuple[int, bytes]]:
        """The texts that may not have been strings, by index."""
        if kind not in ("string", "id") or values.dtype != pl.String:
            return []
        pattern = MAYBE_NO_ID if kind == "id" else MAYBE_NO_STRING
        flags = values.str.contains(pattern)
        if not flags.any():
            return []
        rows = flags.fill_null(False).to_numpy().nonzero()[0]
        lines = records.at(rows)
        if all_strings(lines, next(key for key in reversed(path) if isinstance(key, str))):
            return []
        return list(zip(rows.tolist(), lines, strict=True))

    def _suspects(self, chunk: Chunk, sizes: Rows) -> list[int]:
        """The indices of records that must be checked one by one: usually none."""
        records, ends = chunk.records, np.cumsum(sizes + 1)
        text = np.frombuffer(chunk.joined, np.uint8)
        no_object = (text[ends - sizes] != ord("{")) | (text[ends - 1] != ord("}"))
        no_objects = np.flatnonzero(no_object).tolist()
        suspects = {index for index in no_objects if not _is_framed(records[index])}
        for index in np.flatnonzero(sizes >= SHORTEST_DEEP).tolist():
            if is_too_deep(records[index]):
                suspects.add(index)
        return sorted(suspects)


@lru_cache(maxsize=1024)
def _reading(path: Keys, dtype: DType) -> Layout:
    """The layout that proves that a record has only values of one dtype at a path."""
    return Layout([(path, dtype)])


_ANY_AS_TEXT = ("string", "id", "time")


class JsonReader:
    """Reads JSON records as columns. Its only state is which way of reading was faster."""

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._layout = Layout(demands)
        self.reads, self.column = self._layout.reads, self._layout.column
        self._small_left = 0
        self._relaxed_left = 0
        self._wrong_share = 0.0
        self._bad_shares = dict.fromkeys(SEARCHES, 0.0)

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """Which records are known to have only values of the demanded types."""
        return np.fromiter(map(self._layout.is_proven, records), np.bool_, len(records))

    def empty(self) -> pl.DataFrame:
        """The columns of no records."""
        done = _ReadResult()
        self._read_whole(Chunk(np.zeros(1, np.int64), [b"{}"]), done)
        return self._columns(done).clear()

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""
        done, rows = _ReadResult(), chunk.rows
        if not self._read_at_once(chunk, done):
            for part in parts(rows.size, CHUNK_RECORDS):
                self._read_chunk(Chunk(rows[part], chunk.records[part]), done)
        frame = self._columns(done) if done.frames else self.empty()
        return Columns(frame, np.concatenate([rows[:0], *done.unsure]), done.unreadable)

    def _columns(self, done: _ReadResult) -> pl.DataFrame:
        frame = self._layout.columns(pl.concat(done.frames))
        return frame.with_columns(pl.Series("_row", np.concatenate(done.rows), dtype=pl.UInt32))

    def _read_at_once(self, batch: Chunk, done: _ReadResult) -> bool:
        """Read more than a chunk at once; returns False if that is not worth trying, or fails."""
        if len(batch.records) <= CHUNK_RECORDS:
            return False
        if self._small_left:
            self._small_left -= 1
            return False
        is_text = not has_lone_surrogate(batch.joined)
        is_read = is_text and self._read_whole(batch, done, stricts=(True,))
        self._small_left = 0 if is_read else _SMALL_READS
        return is_read

    def _read_chunk(self, chunk: Chunk, done: _ReadResult) -> None:
        """Read a chunk without the records that can't be read. They are searched for if a read
        fails, or before it if recent chunks often had some."""
        # polars accepts half of a surrogate pair, which is not Unicode text.
        has_half = has_lone_surrogate(chunk.joined)
        later: list[Search] = []
        for search in SEARCHES:
            self._bad_shares[search] *= 1 - _WEIGHT
            if self._bad_shares[search] > _OFTEN or (has_half and search is malformed):
                chunk = self._search(search, chunk, done)
            else:
                later.append(search)
        if self._read_whole(chunk, done):
            return
        for search in later:
            kept = self._search(search, chunk, done)
            if kept is not chunk and self._read_whole(kept, done):
                return
            chunk = kept
        self._read_parts(chunk, done)

    def _search(self, search: Search, chunk: Chunk, done: _ReadResult) -> Chunk:
        """The chunk without the records that a search finds."""
        bad, lines = search(chunk)
        if not bad and lines is chunk.records:
            return chunk
        self._bad_shares[search] += _WEIGHT
        done.unreadable.extend(chunk.rows[bad].tolist())
        kept = np.ones(len(lines), np.bool_)
        kept[bad] = False
        return Chunk(chunk.rows[kept], list(compress(lines, kept.tolist())))

    def _read_whole(
        self, chunk: Chunk, done: _ReadResult, stricts: Sequence[bool] = (True, False)
    ) -> bool:
        """Read all records of a chunk; returns False if one of them can't be read."""
        if not chunk.records:
            return True
        for strict in (False,) if self._relaxed_left else stricts:
            try:
                frame = self._layout.read(chunk.joined, len(chunk.records), strict=strict)
            except UnreadableLinesError as cause:
                if cause.is_malformed:
                    return False
            else:
                self._note_strictness(relaxed=not strict)
                done.frames.append(frame)
                done.rows.append(chunk.rows)
                if not strict:
                    done.unsure.append(chunk.rows)
                return True
        return False

    def _read_parts(self, chunk: Chunk, done: _ReadResult) -> None:
        """Read a chunk or, if that fails, each half of it, down to single records."""
        if self._read_whole(chunk, done):
            return
        if len(chunk.records) == 1:
            done.unreadable.append(int(chunk.rows[0]))
            return
        half = len(chunk.records) // 2
        for part in (slice(half), slice(half, None)):
            self._read_parts(Chunk(chunk.rows[part], chunk.records[part]), done)

    def _note_strictness(self, *, relaxed: bool) -> None:
        """Note whether a chunk had values of other types, for the next chunks."""
        if self._relaxed_left:
            self._relaxed_left -= 1
            return
        self._wrong_share += (relaxed - self._wrong_share) * _WEIGHT
        if self._wrong_share > _OFTEN:
            self._relaxed_left = _RELAXED_CHUNKS


@dataclass(frozen=True, slots=True)
class _ReadResult:
    """The frames that were read with their rows, and the rows that are unsure or unreadable."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    unsure: list[Rows] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)


def _is_framed(record: bytes) -> bool:
    """Whether a record begins and ends like an object."""
    stripped = record.strip(_SPACE)
    return stripped.startswith(b"{") and stripped.endswith(b"}")


JSON = JsonFormat()
