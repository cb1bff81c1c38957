"""The rows of the state table: their keys, their version, and how large ones are split.

Keys are MessagePack lists, distinguished by their length, or a map:

| key | row |
|---|---|
| [] | the state of the sources (`agent.core.merge.source_snapshots`) |
| [kpi] | a backfill marker (`agent.core.merge.backfill_buffer`) |
| [kpi, dimensions] | a series; dimensions null: the KPI as a whole |
| [kpi, dimensions, start] | older closed windows of a series (`agent.core.state.archive`) |
| [kpi, dimensions, digest, number] | a part of a series' row that is too large for one message |
| {topic: name} | where records of a source topic are missing (`agent.core.merge.missed_records`) |

Every row begins with a byte that is the version of its layout. Reading a row of another version
raises `UnknownVersion`.

A series' row of up to `CUT_BYTES` is written whole. A larger one is split into *pieces*, named by a
digest of their bytes, and the row only lists them. So a piece never changes: a final pane is
written once, however often the series is, and a row always has the pieces that it was written with,
even if two workers write the same series. Pieces are written before the row that lists them, and
deleted after the first row that does not. So after a crash during the writes, the table is
consistent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from agent.core.model.kpis import Dimensions
from agent.core.state.series import Series
from agent.errors import EnvironmentFault

VERSION = 1
"""The version of the layout of all rows. It increases with each change that older code would
misread; `docs/upgrading.md` describes upgrades."""

MAX_ROW_BYTES = 200_000
"""Fits a topic with a quarter of Kafka's default `max.message.bytes` (1,048,588), with room for key
and headers (`agent.kafka.message_sizes`)."""
CUT_BYTES = 100_000
"""A larger row of a series is split: otherwise it is sent whole whenever the series changes."""
SMALL_BYTES = 4_096
"""Rows up to this size do not count against `max_state_bytes`: `max_series` bounds their number."""
PIECE_BYTES = 50_000
"""The approximate size of the pieces of panes."""

_Content = TypeVar("_Content")
Row = tuple[bytes, bytes]
Write = tuple[bytes, bytes | None]
"""A row to write; None deletes."""

_DIGEST_BYTES = 12
_ONE, _TWO, _THREE, _FOUR = 0x91, 0x92, 0x93, 0x94
"""The first byte of MessagePack lists of these lengths."""
_MAP = 0x81
"""The first byte of a MessagePack map of one."""
_WHOLE, _CUT = b"\x00", b"\x01"
_PREFIX = bytes([VERSION])

_encoder = msgspec.msgpack.Encoder()
SOURCES_KEY = _encoder.encode([])
"""The key of the row of all sources of a state partition."""
_series = msgspec.msgpack.Decoder(Series)


class UnknownVersion(EnvironmentFault):
    """A row has a version that this code does not know."""

    def __init__(self, version: int, key: bytes) -> None:
        super().__init__(
            f"the state of {row_name(key)} has version {version}, and this agent reads version "
            f"{VERSION}: it was written by another version of the agent",
            "Run the version that wrote it, or a later one. How to upgrade, and how to go back: "
            "docs/upgrading.md",
        )
        self.version = version


class DamagedRow(EnvironmentFault):
    """A row can't be decoded, or a part of it is missing."""

    def __init__(self, key: bytes, fault: str) -> None:
        super().__init__(
            f"the state of {row_name(key)} is damaged: {fault}",
            "Was the topic of the state changed by hand? docs/upgrading.md says how to start over.",
        )


class _Cut(msgspec.Struct, array_like=True, frozen=True):
    """A series' row that is split: its pieces, each as its digest and number of parts. The first
    piece is the series without its panes."""

    pieces: list[tuple[bytes, int]]


_cuts = msgspec.msgpack.Decoder(_Cut)
_panes = msgspec.msgpack.Decoder(dict[int, tuple[Any, ...]])


def row_key(kpi: str, dimensions: Dimensions | None) -> bytes:
    """The key of a series' row."""
    return _encoder.encode([kpi, dimensions])


def is_chunk(key: bytes) -> bool:
    """Whether a row contains older closed windows of a series."""
    return key[0] == _THREE


def is_part(key: bytes) -> bool:
    """Whether a row is a part of another."""
    return key[0] == _FOUR


def is_marker(key: bytes) -> bool:
    """Whether a row is a backfill marker."""
    return key[0] == _ONE


def topic_key(topic: str) -> bytes:
    """The key of the row of a source topic."""
    return _encoder.encode({"topic": topic})


def is_of_topic(key: bytes) -> bool:
    """Whether a row belongs to a source topic."""
    return key[0] == _MAP


def topic_of(key: bytes) -> str:
    """The source topic that a key names."""
    return str(msgspec.msgpack.decode(key)["topic"])


def kpi_of(key: bytes) -> str:
    """The KPI that a key names."""
    return str(msgspec.msgpack.decode(key)[0])


def row_name(key: bytes) -> str:
    """What a row belongs to, in words."""
    if is_of_topic(key):
        return f"topic {topic_of(key)}"
    if key == SOURCES_KEY:
        return "the sources"
    named = msgspec.msgpack.decode(key)
    dimensions = named[1] if len(named) > 1 else None
    if dimensions is None:
        return f"KPI {named[0]}"
    return f"KPI {named[0]}, series {msgspec.json.encode(dimensions).decode()}"


def versioned(body: bytes) -> bytes:
    """A row with its version."""
    return _PREFIX + body


def body_of(key: bytes, row: bytes) -> bytes:
    """A row without its version. Raises UnknownVersion if the version is another."""
    if row[:1] != _PREFIX:
        raise UnknownVersion(row[0] if row else 0, key)
    return row[1:]


def decoded(
    decoder: msgspec.msgpack.Decoder[_Content], key: bytes, row: bytes, what: str = "its row"
) -> _Content:
    """A row's content; `what` names it in errors. Raises UnknownVersion and DamagedRow."""
    try:
        return decoder.decode(body_of(key, row))
    except msgspec.DecodeError as error:
        raise DamagedRow(key, f"{what} can't be read ({error})") from error


class SeriesRows:
    """Writes and reads the rows of series in one table, and keeps track of their pieces."""

    def __init__(self) -> None:
        self._pieces: dict[bytes, dict[bytes, int]] = {}  # by key: digest and number of parts
        self._sizes: dict[bytes, int] = {}  # of rows larger than SMALL_BYTES, by key
        self._bytes: dict[str, int] = {}  # their sum by KPI

    def write(self, series: Series) -> Iterator[Write]:
        """The rows of a series, in the order in which they must be written."""
        key = row_key(series.kpi, series.dimensions)
        whole = _encoder.encode(series)
        self._measure(key, series.kpi, len(whole))
        before = self._pieces.get(key, {})
        now: dict[bytes, int] = {}
        if len(whole) <= CUT_BYTES:
            yield key, _PREFIX + _WHOLE + whole
        else:
            for piece in _pieces(series):
                digest = blake2b(piece, digest_size=_DIGEST_BYTES).digest()
                parts = [
                    piece[at : at + MAX_ROW_BYTES] for at in range(0, len(piece), MAX_ROW_BYTES)
                ]
                if digest not in before and digest not in now:
                    for number, part in enumerate(parts):
                        part_key = [series.kpi, series.dimensions, digest, number]
                        yield _encoder.encode(part_key), _PREFIX + part
                now[digest] = len(parts)
            yield key, _PREFIX + _CUT + _encoder.encode(_Cut(list(now.items())))
        yield from self._dropped(key, before, now)

    def delete(self, key: bytes) -> Iterator[Write]:
        """The deletions of a row and of its pieces, by its key."""
        if key in self._sizes:
            self._measure(key, kpi_of(key), 0)
        yield key, None
        yield from self._dropped(key, self._pieces.get(key, {}), {})

    def bytes_of(self, kpi: str) -> int:
        """The total size of the rows of a KPI's series, without the small ones."""
        return self._bytes.get(kpi, 0)

    def _measure(self, key: bytes, kpi: str, size: int) -> None:
        """Note the size of a row."""
        before = self._sizes.pop(key, 0)
        if size > SMALL_BYTES:
            self._sizes[key] = size
        if size > SMALL_BYTES or before:
            now = self._sizes.get(key, 0)
            self._bytes[kpi] = self._bytes.get(kpi, 0) + now - before

    def _dropped(
        self, key: bytes, before: Mapping[bytes, int], now: Mapping[bytes, int]
    ) -> Iterator[Write]:
        """Delete the pieces that a series no longer has."""
        if now:
            self._pieces[key] = dict(now)
        else:
            self._pieces.pop(key, None)
        for digest, parts in before.items():
            if digest not in now:
                for number in range(parts):
                    yield _encoder.encode([*msgspec.msgpack.decode(key), digest, number]), None

    def read(self, rows: Iterable[Row]) -> tuple[list[tuple[bytes, Series]], list[bytes]]:
        """The series with the keys of their rows, and the keys of parts that belong to no row.

        Raises UnknownVersion and DamagedRow.
        """
        heads: list[Row] = []
        parts: dict[bytes, bytes] = {}
        for key, row in rows:
            body = body_of(key, row)
            if is_part(key):
                parts[key] = body
            else:
                heads.append((key, body))
        series = []
        for key, body in heads:
            try:
                series.append((key, self._read_one(key, body, parts)))
            except msgspec.DecodeError as error:
                raise DamagedRow(key, f"its row can't be read ({error})") from error
        return series, list(parts)

    def _read_one(self, key: bytes, body: bytes, parts: dict[bytes, bytes]) -> Series:
        if body[:1] == _WHOLE:
            series = _series.decode(body[1:])
            self._measure(key, series.kpi, len(body))
        else:
            pieces = []
            cut = _cuts.decode(body[1:])
            named = msgspec.msgpack.decode(key)
            for digest, count in cut.pieces:
                keys = [_encoder.encode([*named, digest, number]) for number in range(count)]
                if any(part not in parts for part in keys):
                    raise DamagedRow(key, "a part of its row is missing")
                pieces.append(b"".join(parts.pop(part) for part in keys))
            self._pieces[key] = dict(cut.pieces)
            series = _series.decode(pieces[0])
            self._measure(key, series.kpi, sum(map(len, pieces)))
            for piece in pieces[1:]:
                series.panes.update(_panes.decode(piece))
        series.panes = {start: tuple(state) for start, state in series.panes.items()}
        return series


def _pieces(series: Series) -> Iterator[bytes]:
    """A series without its panes, and its panes in groups.

    Panes are grouped by their start divided by a multiple of their distance, a power of two, so
    that groups stay the same while panes are added and removed at the ends.
    """
    yield _encoder.encode(msgspec.structs.replace(series, panes={}))
    panes = sorted(series.panes.items())
    size = len(_encoder.encode(panes)) // max(len(panes), 1)
    per_group = 1
    while per_group * 2 * size <= PIECE_BYTES:
        per_group *= 2
    distance_ms = min((b - a for (a, _), (b, _) in pairwise(panes)), default=1)
    groups: dict[int, dict[int, tuple[Any, ...]]] = {}
    for start, state in panes:
        groups.setdefault(start // (distance_ms * per_group), {})[start] = state
    yield from map(_encoder.encode, groups.values())
