"""JSON records: one object each, read by polars many at a time.

A batch is read at once and strictly, which is the fastest and proves that every value has its type.
Where that fails it is read in chunks, and so are the batches after it for a while. A chunk that
can't be read strictly is read once more with null for what is of another type, and so are the
chunks after it for a while; the few nulls that may have been something are looked up in their
records. Where a record is no JSON at all it is searched for, and the rest is read without it. What
is bad costs in proportion to how much of it there is.

Of duplicate keys the first counts. A line break inside a record (pretty-printed JSON) is allowed.
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
"""So many records are read at once where some are bad. A bad record makes this many be read twice,
but each read has a price of its own: this size costs a tenth more than one read, 1,024 a half."""

_SMALL_READS = 16
"""So many batches are read in chunks after one that could not be read at once."""

_RELAXED_CHUNKS = 64
"""So many chunks are not read strictly first, once that failed often."""

_OFTEN = 0.25
"""When so large a share of the last chunks held wrong types, or malformed records, they are looked
for first."""

_WEIGHT = 1 / 16
"""Of a chunk in such a share."""

# How polars writes what is no string into a String column: numbers without exponent, true, false,
# objects and arrays. A string may look like that too; then the record decides.
MAYBE_NO_STRING = r"(?s)^(?:-?[0-9]+(?:\.[0-9]+)?|true|false|\{.*|\[.*)$"
MAYBE_NO_ID = r"(?s)^(?:-?[0-9]+\.[0-9]+|true|false|\{.*|\[.*)$"

_SPACE = b" \t\r\n"


class JsonFormat:
    """The format `json`."""

    def screen(self, batch: Batch, chunk: Chunk, sizes: Rows) -> Screened:
        """Blank records, those that are plainly no object, and those that are nested too deep."""
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
        """Whether a reader can have a column for a demand. Objects and arrays are text to it, which
        no selector may match."""
        path, _ = demand
        values = [step.value for step in path if isinstance(step, Selector)]
        return isinstance(path[0], str) and not any(v.startswith(("{", "[")) for v in values)

    def problem(self, batch: Batch, row: int) -> Problem | None:
        """Why a record is no JSON object, None if it is one."""
        return problem_of(batch.value(row))

    def label(self, batch: Batch, row: int) -> str:
        """JSON has no schemas."""
        return ""

    def value(self, batch: Batch, row: int, path: Keys) -> Any:
        """The value at a path of a readable record; None where it is absent or null."""
        return value_in(batch.value(row), path)

    def tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record. Raises UnreadableError where it is no JSON."""
        return tree_of(batch.value(row), keys)

    def key_tree(self, batch: Batch, row: int, keys: Collection[bytes] | None) -> Any:
        """The whole of a record's key. Raises UnreadableError where it is no JSON."""
        key = batch.key(row)
        return tree_of(key, keys) if key else None

    def wrong_types(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind, unsure: Flags
    ) -> Flags:
        """Which values of a column were something else in their record (null is not)."""
        wrong = np.zeros(len(values), dtype=np.bool_)
        doubtful = self._doubtful_text(records, values, path, kind)
        if values.null_count() and (len(path) > 1 or kind not in _ANY_AS_TEXT) and unsure.any():
            nulls = np.flatnonzero(values.is_null().to_numpy() & unsure)
            doubtful += self._doubtful_nulls(records, nulls, path)
        if kind == "boolean" and len(path) > 1 and unsure.any():
            # Inside an object, a read that is not strict makes true or false of numbers.
            given = np.flatnonzero(values.is_not_null().to_numpy() & unsure)
            doubtful += zip(given.tolist(), records.at(given), strict=True)
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
        """Nulls of records that may have something at the path, by index."""
        key = b'"' + path[0].encode() + b'"'
        return [
            (index, record)
            for index, record in zip(nulls.tolist(), records.at(nulls), strict=True)
            if key in record or b"\\" in record
        ]

    def _doubtful_text(
        self, records: Records, values: pl.Series, path: Keys, kind: Kind
    ) -> list[tuple[int, bytes]]:
        """Texts that may not have been strings, by index."""
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
        """Indices of records to be looked at on their own: mostly none."""
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
    """What proves of single records that they have nothing but this type at a path."""
    return Layout([(path, dtype)])


_ANY_AS_TEXT = ("string", "id", "time")


class JsonReader:
    """Reads JSON records as columns. It remembers which way was the faster one, nothing else."""

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._layout = Layout(demands)
        self._small_left = 0
        self._relaxed_left = 0
        self._wrong_share = 0.0
        self._bad_shares = dict.fromkeys(SEARCHES, 0.0)

    @property
    def reads(self) -> int:
        """How often it goes over the records."""
        return self._layout.reads

    def column(self, demand: Demand) -> str:
        """The name of the column that answers a demand."""
        return self._layout.column(demand)

    def are_proven(self, records: Sequence[bytes]) -> Flags:
        """In which records everything is of a type that the demands allow."""
        return np.fromiter(map(self._layout.is_proven, records), np.bool_, len(records))

    def empty(self) -> pl.DataFrame:
        """The columns of no records."""
        done = _Done()
        self._read_whole(Chunk(np.zeros(1, np.int64), [b"{}"]), done)
        return self._columns(done).clear()

    def read(self, batch: Batch, chunk: Chunk) -> Columns:
        """The columns of some records of a batch."""
        done, rows = _Done(), chunk.rows
        if not self._read_at_once(chunk, done):
            for part in parts(rows.size, CHUNK_RECORDS):
                self._read_chunk(Chunk(rows[part], chunk.records[part]), done)
        frame = self._columns(done) if done.frames else self.empty()
        return Columns(frame, np.concatenate([rows[:0], *done.unsure]), done.unreadable)

    def _columns(self, done: _Done) -> pl.DataFrame:
        frame = self._layout.columns(pl.concat(done.frames))
        return frame.with_columns(pl.Series("_row", np.concatenate(done.rows), dtype=pl.UInt32))

    def _read_at_once(self, batch: Chunk, done: _Done) -> bool:
        """Read more than a chunk at once; False where that isn't worth a try, or fails."""
        if len(batch.records) <= CHUNK_RECORDS:
            return False
        if self._small_left:
            self._small_left -= 1
            return False
        is_text = not has_lone_surrogate(batch.joined)
        is_read = is_text and self._read_whole(batch, done, stricts=(True,))
        self._small_left = 0 if is_read else _SMALL_READS
        return is_read

    def _read_chunk(self, chunk: Chunk, done: _Done) -> None:
        """Read a chunk without the records that can't be read. They are searched for where a read
        fails, and before it where most chunks have some."""
        # Half of a surrogate pair is no Unicode text, and polars takes it.
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

    def _search(self, search: Search, chunk: Chunk, done: _Done) -> Chunk:
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
        self, chunk: Chunk, done: _Done, stricts: Sequence[bool] = (True, False)
    ) -> bool:
        """Read all records of a chunk; False where one of them can't be read."""
        if not chunk.records:
            return True
        for strict in (False,) if self._relaxed_left else stricts:
            try:
                frame = self._layout.read(chunk.joined, len(chunk.records), strict=strict)
            except UnreadableLinesError as cause:
                if cause.is_malformed:
                    return False
            else:
                self._note(relaxed=not strict)
                done.frames.append(frame)
                done.rows.append(chunk.rows)
                if not strict:
                    done.unsure.append(chunk.rows)
                return True
        return False

    def _read_parts(self, chunk: Chunk, done: _Done) -> None:
        """Read a chunk; where that fails, each half, down to the records that can't be read."""
        if self._read_whole(chunk, done):
            return
        if len(chunk.records) == 1:
            done.unreadable.append(int(chunk.rows[0]))
            return
        half = len(chunk.records) // 2
        for part in (slice(half), slice(half, None)):
            self._read_parts(Chunk(chunk.rows[part], chunk.records[part]), done)

    def _note(self, *, relaxed: bool) -> None:
        """Remember whether a value had another type than demanded, for the chunks to come."""
        if self._relaxed_left:
            self._relaxed_left -= 1
            return
        self._wrong_share += (relaxed - self._wrong_share) * _WEIGHT
        if self._wrong_share > _OFTEN:
            self._relaxed_left = _RELAXED_CHUNKS


@dataclass(frozen=True, slots=True)
class _Done:
    """What was read: frames and the rows of each; which rows are unsure, and which unreadable."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    unsure: list[Rows] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)


def _is_framed(record: bytes) -> bool:
    """Whether a record begins and ends as an object does."""
    stripped = record.strip(_SPACE)
    return stripped.startswith(b"{") and stripped.endswith(b"}")


JSON = JsonFormat()
