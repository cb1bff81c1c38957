"""JSON records: one object each, read by polars many at a time.

A chunk of records is read strictly first, which is the fastest and proves that every value has its
type. Where that fails, the same chunk is read once more with null for what is of another type, and
so are the chunks after it for a while; the few nulls that may have been something are looked up in
their records. Where a record is no JSON at all, msgspec finds it, and the rest is read without it.
What is bad costs in proportion to how much of it there is.

Of duplicate keys the first counts. A line break inside a record (pretty-printed JSON) is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Records, Rows
from agent.core.decode.format import (
    Columns,
    Demand,
    Flags,
    Kind,
    Problem,
    Screened,
    WrongPlaceError,
)
from agent.core.decode.layout import Layout, UnreadableLinesError, join_lines
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
"""So many records are read at once while some are bad, so that a bad record makes few others be
read twice; twice as many where none is, which makes a read's fixed cost (0.2 ms) small."""

_RELAXED_CHUNKS = 64
"""So many chunks are not read strictly first, once that failed often."""

_NO_NUMBER_CHUNKS = 16
"""So many chunks are searched for NaN and Infinity first, once a record had one."""

_SELDOM = 0.01
"""While so small a share of the last chunks held such, none is expected."""

_OFTEN = 0.25
"""When so large a share of the last chunks held wrong types, or malformed records, they are looked
for first."""

# How polars writes what is no string into a String column: numbers without exponent, true, false,
# objects and arrays. A string may look like that too; then the record decides.
MAYBE_NO_STRING = r"(?s)^(?:-?[0-9]+(?:\.[0-9]+)?|true|false|\{.*|\[.*)$"
MAYBE_NO_ID = r"(?s)^(?:-?[0-9]+\.[0-9]+|true|false|\{.*|\[.*)$"

_NO_NUMBER = re.compile(rb"NaN|Infinity")

_first, _last = itemgetter(0), itemgetter(-1)
_SPACE = b" \t\r\n"
_any_object = msgspec.json.Decoder(msgspec.defstruct("AnyObject", [], gc=False))


class JsonFormat:
    """The format `json`."""

    def screen(self, batch: Batch, rows: Rows, records: Sequence[bytes], sizes: Rows) -> Screened:
        """Blank records, those that are plainly no object, and those that are nested too deep."""
        blank: list[int] = []
        problems: dict[int, Problem] = {}
        for index in self._suspects(records, sizes):
            record = records[index]
            if record.isspace():
                blank.append(index)
            elif _is_framed(record) and not is_too_deep(record):
                continue
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
        for index, record in doubtful:
            try:
                found = value_in(record, path)
            except WrongPlaceError:
                wrong[index] = True
            else:
                wrong[index] = found is not None and not is_of_kind(kind, found)
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
        found = flags.fill_null(False).to_numpy().nonzero()[0]
        lines = records.at(found)
        if all_strings(lines, next(key for key in reversed(path) if isinstance(key, str))):
            return []
        return list(zip(found.tolist(), lines, strict=True))

    def _suspects(self, records: Sequence[bytes], sizes: Rows) -> list[int]:
        """Indices of records to be looked at on their own: mostly none."""
        suspects: set[int] = set()
        firsts, lasts = bytes(map(_first, records)), bytes(map(_last, records))
        if firsts.count(b"{") != len(firsts):
            suspects.update(np.flatnonzero(np.frombuffer(firsts, np.uint8) != ord("{")).tolist())
        if lasts.count(b"}") != len(lasts):
            suspects.update(np.flatnonzero(np.frombuffer(lasts, np.uint8) != ord("}")).tolist())
        for index in np.flatnonzero(sizes >= SHORTEST_DEEP).tolist():
            if is_too_deep(records[index]):
                suspects.add(index)
        return sorted(suspects)


_ANY_AS_TEXT = ("string", "id", "time")


class JsonReader:
    """Reads JSON records as columns. It remembers which way was the faster one, nothing else."""

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._layout = Layout(demands)
        self._relaxed_left = 0
        self._wrong_share = 0.0
        self._malformed_share = 0.0
        self._no_numbers_left = 0

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
        frame = self._layout.read(join_lines([b"{}"]), 1, strict=True).clear()
        return _with_rows(frame, np.zeros(0, np.int64))

    def read(self, batch: Batch, rows: Rows, records: Sequence[bytes]) -> Columns:
        """The columns of some records of a batch, whose rows are given."""
        frames: list[pl.DataFrame] = []
        unreadable: list[int] = []
        unsure = [rows[:0]]
        chunks = max(1, round(len(records) / self._chunk_records()))
        edges = np.linspace(0, len(records), chunks + 1).astype(int).tolist()
        for start, stop in pairwise(edges):
            if start < stop:
                chunk = _Chunk(rows[start:stop], records[start:stop])
                if not self._read_chunk(chunk, frames, unreadable):
                    unsure.append(chunk.rows)
        if not frames:
            return Columns(self.empty(), rows[:0], unreadable)
        frame = frames[0] if len(frames) == 1 else pl.concat(frames)
        return Columns(frame, np.concatenate(unsure), unreadable)

    def _read_chunk(self, chunk: _Chunk, frames: list[pl.DataFrame], unreadable: list[int]) -> bool:
        """Reads a chunk; whether no value in it has another type than demanded."""
        joined = join_lines(chunk.records)
        if self._no_numbers_left and _has_no_number(joined):
            good = chunk.without_no_numbers(joined, unreadable)
            if len(good.records) < len(chunk.records):
                self._no_numbers_left = _NO_NUMBER_CHUNKS
            if not good.records:
                return True
            chunk, joined = good, join_lines(good.records)
        # Half of a surrogate pair is no Unicode text, and polars takes it.
        is_malformed = self._malformed_share > _OFTEN or has_lone_surrogate(joined)
        for strict in (True, False):
            if is_malformed or (strict and self._relaxed_left):
                continue
            try:
                frame = self._layout.read(joined, len(chunk.records), strict=strict)
            except UnreadableLinesError as cause:
                is_malformed = cause.is_malformed
            else:
                self._note(relaxed=not strict, malformed=False)
                frames.append(_with_rows(frame, chunk.rows))
                return strict
        if not self._no_numbers_left and _has_no_number(joined):
            self._no_numbers_left = _NO_NUMBER_CHUNKS
            return self._read_chunk(chunk, frames, unreadable)
        good = chunk.without_malformed(joined, unreadable)
        self._note(relaxed=True, malformed=len(good.records) < len(chunk.records))
        self._read_halves(good, frames, unreadable)
        return False

    def _chunk_records(self) -> int:
        """How many records to read at once: fewer for a while after one was bad."""
        seldom = self._wrong_share + self._malformed_share < _SELDOM
        is_clean = seldom and not self._relaxed_left and not self._no_numbers_left
        return 2 * CHUNK_RECORDS if is_clean else CHUNK_RECORDS

    def _note(self, *, relaxed: bool, malformed: bool) -> None:
        """Remembers what was found, for the chunks to come."""
        self._no_numbers_left = max(0, self._no_numbers_left - 1)
        self._malformed_share += (malformed - self._malformed_share) / 16
        if self._relaxed_left:
            self._relaxed_left -= 1
            return
        self._wrong_share += (relaxed - self._wrong_share) / 16
        if self._wrong_share > _OFTEN:
            self._relaxed_left = _RELAXED_CHUNKS

    def _read_halves(
        self, chunk: _Chunk, frames: list[pl.DataFrame], unreadable: list[int]
    ) -> None:
        """Reads records; where that fails, each half, down to those that can't be read."""
        if not chunk.records:
            return
        try:
            joined = join_lines(chunk.records)
            frame = self._layout.read(joined, len(chunk.records), strict=False)
        except UnreadableLinesError:
            if len(chunk.records) == 1:
                unreadable.append(int(chunk.rows[0]))
                return
            half = len(chunk.records) // 2
            for part in (slice(half), slice(half, None)):
                self._read_halves(_Chunk(chunk.rows[part], chunk.records[part]), frames, unreadable)
        else:
            frames.append(_with_rows(frame, chunk.rows))


class _Chunk:
    """Some records of a batch, and their rows."""

    __slots__ = ("records", "rows")

    def __init__(self, rows: Rows, records: Sequence[bytes]) -> None:
        self.rows = rows
        self.records = records

    def without_no_numbers(self, joined: bytes, unreadable: list[int]) -> _Chunk:
        """The chunk without the records in which NaN or Infinity stands for a number: what
        producers write most often that is no JSON, and found by looking for the words."""
        lengths = np.fromiter(map(len, self.records), np.int64, len(self.records))
        ends = np.cumsum(lengths + 1)  # in the joined text, whose blank is the first line's
        found = [match.start() for match in _NO_NUMBER.finditer(joined)]
        places = np.unique(np.searchsorted(ends, found)).tolist()
        bad = _malformed([_without_breaks(self.records[i]) for i in places])
        out = [places[i] for i in sorted(bad)]
        unreadable.extend(self.rows[out].tolist())
        kept = np.delete(np.arange(len(self.records)), out)
        return _Chunk(self.rows[kept], [self.records[i] for i in kept.tolist()])

    def without_malformed(self, joined: bytes, unreadable: list[int]) -> _Chunk:
        """The chunk on one line a record, without the records that are plainly no JSON, whose rows
        are added to `unreadable`. Numbers out of range and the like are not found here."""
        lines = self.records
        if joined.count(b"\n") >= len(lines):
            lines = [_without_breaks(record) for record in lines]
        bad = _malformed(lines)
        if not joined.isascii():  # msgspec skips what it isn't asked for
            bad.update(i for i, line in enumerate(lines) if not _is_unicode(line))
        if has_lone_surrogate(joined):
            bad.update(i for i, line in enumerate(lines) if has_lone_surrogate(line))
        out = sorted(bad)
        unreadable.extend(self.rows[out].tolist())
        kept = np.delete(np.arange(len(lines)), out)
        return _Chunk(self.rows[kept], [lines[i] for i in kept.tolist()])


def _has_no_number(joined: bytes) -> bool:
    """Whether NaN or Infinity is written somewhere."""
    return b"NaN" in joined or b"Infinity" in joined


def _malformed(lines: Sequence[bytes]) -> set[int]:
    """Indices of lines that are no JSON object, or not on one line."""
    found = set()
    decode = _any_object.decode
    for i, line in enumerate(lines):
        try:
            decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            found.add(i)
    found.update(i for i, line in enumerate(lines) if b"\n" in line)
    return found


def _is_unicode(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_framed(record: bytes) -> bool:
    """Whether a record begins and ends as an object does."""
    stripped = record.strip(_SPACE)
    return stripped.startswith(b"{") and stripped.endswith(b"}")


def _without_breaks(line: bytes) -> bytes:
    """A record on one line. Only valid JSON has its breaks replaced: in a string they are wrong."""
    if b"\n" not in line:
        return line
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return line
    return line.replace(b"\n", b" ")


def _with_rows(frame: pl.DataFrame, rows: Rows) -> pl.DataFrame:
    return frame.with_columns(pl.Series("_row", rows, dtype=pl.UInt32))


JSON = JsonFormat()
