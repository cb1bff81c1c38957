"""Finds the records of a chunk that can't be read as JSON objects, without reading each exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from agent.core.decode.batch import Chunk
from agent.core.decode.single_record import has_lone_surrogate, problem_of

_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE = (b"e000", b"e+000", b"0" * 39)
"""The text of numbers that may be out of range, with digits as zeros."""

_any_object = msgspec.json.Decoder(msgspec.defstruct("AnyObject", [], gc=False))


def malformed(chunk: Chunk) -> tuple[list[int], Sequence[bytes]]:
    """The indices of records that are not JSON objects, and all records, each on one line."""
    lines, joined = chunk.records, chunk.joined
    has_breaks = joined.count(b"\n") >= len(lines)
    if has_breaks:
        lines = [_without_breaks(record) for record in lines]
    bad = set(_refused(lines))
    if has_breaks:
        bad.update(i for i, line in enumerate(lines) if b"\n" in line)
    if not joined.isascii():  # msgspec does not check what it skips
        ascii_or_text = (line.isascii() or _is_unicode(line) for line in lines)
        bad.update(i for i, is_text in enumerate(ascii_or_text) if not is_text)
    if has_lone_surrogate(joined):
        escaped = (i for i, line in enumerate(lines) if b"\\" in line)
        bad.update(i for i in escaped if has_lone_surrogate(lines[i]))
    return sorted(bad), lines


def _refused(lines: Sequence[bytes]) -> Iterator[int]:
    """The indices of lines that msgspec rejects."""
    for index, line in enumerate(lines):
        try:
            _any_object.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            yield index


def _is_unicode(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def out_of_range(chunk: Chunk) -> tuple[list[int], Sequence[bytes]]:
    """The indices of records with a number that is out of range, and all records."""
    records, zeros = chunk.records, chunk.joined.translate(_DIGITS_AS_ZEROS)
    ends = np.cumsum(np.fromiter(map(len, records), np.int64, len(records)) + 1) + 1
    suspects: set[int] = set()
    for digits in _LARGE:
        at = zeros.find(digits)
        while at >= 0:
            index = int(np.searchsorted(ends, at, side="right"))
            suspects.add(index)
            at = zeros.find(digits, int(ends[index]))
    return sorted(i for i in suspects if problem_of(records[i]) is not None), records


def _without_breaks(line: bytes) -> bytes:
    """A record on one line. Line breaks are replaced only in valid JSON: they are invalid in
    strings."""
    if b"\n" not in line:
        return line
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return line
    return line.replace(b"\n", b" ")


Search = Callable[[Chunk], tuple[list[int], Sequence[bytes]]]
SEARCHES: tuple[Search, ...] = (malformed, out_of_range)
"""The searches for records that can't be read, the cheapest first."""
