"""Frames: the wire format between the stages, in MessagePack.

A frame contains the cumulative partials that changed since the last flush, from one source
partition to one state partition, and the source offset that it covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from agent.core.aggregate.columns import OBJECT, Column, object_column
from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions
from agent.errors import UnknownVersionError

MAX_FRAME_BYTES = 200_000
"""Fits a topic with a quarter of Kafka's default `max.message.bytes` (1,048,588), with room for
headers (`agent.kafka.message_sizes`)."""

EncodedColumn = bytes | list[bytes | None]
"""An encoded column of partial states (`core/aggregate/columns.py`): the bytes of 8-byte numbers,
or a list of sketches."""


class Block(msgspec.Struct, array_like=True, frozen=True):
    """The partials of one KPI in the slice that starts at `start_ms`, as columns: row i is the
    series with the key `keys[i]` (`series_key`), with the state `columns[0][i], columns[1][i]…`

    `pane_ms`: None if the events' times are in the slice. Otherwise the slice of their time was
    sealed when they arrived, and they belong to the pane that starts there
    (`agent.core.fold.lateness`). `first_column`: a row that is larger than a frame is sent as
    several blocks, each with the columns from this index on.
    """

    kpi: str
    fingerprint: str
    start_ms: int
    keys: list[bytes]
    columns: list[EncodedColumn]
    pane_ms: int | None = None
    first_column: int = 0

    def rows(self, start: int, stop: int) -> Block:
        """The rows `[start, stop)`."""
        numbers = slice(8 * start, 8 * stop)
        return Block(
            self.kpi,
            self.fingerprint,
            self.start_ms,
            self.keys[start:stop],
            [c[numbers] if isinstance(c, bytes) else c[start:stop] for c in self.columns],
            self.pane_ms,
            self.first_column,
        )

    def halves(self) -> tuple[Block, Block]:
        """The first and the other columns."""
        half = len(self.columns) // 2
        return (
            msgspec.structs.replace(self, columns=self.columns[:half]),
            msgspec.structs.replace(
                self, columns=self.columns[half:], first_column=self.first_column + half
            ),
        )


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """One message from one source partition to one state partition.

    - `partitions`: the number of partitions of the topic. `siblings`: that of each other topic with
      events of the same contracts. Both were read after the covered records were fetched.
    - `covered`: the source offset (exclusive) up to which the frame accounts for the log.
    - `watermark_ms`: the maximum event time up to there, None before the first event.
    - `idle_ms`: None while records arrive; otherwise the time since the last one, confirmed by a
      fetch at the end of the log.
    - `clock_ms`: when the frame was made.
    - `last` False: more frames of the same flush follow, and the watermark does not count yet.
    - `active`: for KPIs with `per: kpi` absence rules, the slices with rows in this flush.
    - `resent`: the frame of a source's new owner, which repeats what the last owner sent.
    - `filled`: the KPIs with `backfill` that the owner folds, with their fingerprints. All events
      in slices that start after `since_ms` (None: in all slices) were folded by this owner with
      these KPIs, and are in frames since then (`agent.core.merge.backfill_buffer`).
    - `topic_id`, `epoch`: the log that `covered` refers to, and the part of it that is read without
      gaps (`agent.core.fold.checkpoint`).
    - `missed`: the last span of event time, from the watermark before a gap to its end (ms), in
      which records of this source are missing. Windows that overlap it may be incomplete. Every
      frame repeats it, so that the merger knows it before it closes such a window.
    - `covered_before`: what the frame before it of the same owner covered; None: there was none.
    """

    topic: str
    partition: int
    partitions: int
    covered: int
    watermark_ms: int | None
    idle_ms: int | None
    clock_ms: int
    last: bool
    active: dict[str, list[int]]
    blocks: list[Block]
    resent: bool = False
    filled: dict[str, str] = {}
    since_ms: int | None = None
    topic_id: str = ""
    epoch: int = 0
    missed: tuple[int | None, int] | None = None
    siblings: dict[str, int] = {}
    covered_before: int | None = None


VERSION = 1
"""The version of the frame layout. It increases with each change that an older agent would
misread."""

_HEAD = bytes([0x92, VERSION])
"""The first bytes of a message: a MessagePack list of two, the version and the frame."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)
_versions = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
_keys = msgspec.msgpack.Decoder(list[Scalar])


def decode(data: bytes) -> Frame:
    """Decode a frame. Raises `msgspec.DecodeError` if the bytes are not a frame, and
    `UnknownVersionError` if another version of the agent wrote it."""
    if not data.startswith(_HEAD):
        version, _ = _versions.decode(data)
        raise UnknownVersionError("a frame", version, VERSION)
    frame = _decoder.decode(memoryview(data)[len(_HEAD) :])
    for block in frame.blocks:
        rows = len(block.keys)
        for column in block.columns:
            if len(column) != (8 * rows if isinstance(column, bytes) else rows):
                raise msgspec.ValidationError(f"a column of {block.kpi} has not {rows} rows")
    return frame


def encode_column(column: Column) -> EncodedColumn:
    """A column as it is in a block."""
    return column.tolist() if column.dtype == OBJECT else column.tobytes()


def decode_column(column: EncodedColumn, dtype: np.dtype[Any]) -> Column:
    """A column of a block, read-only."""
    return np.frombuffer(column, dtype) if isinstance(column, bytes) else object_column(column)


def join_columns(parts: Sequence[EncodedColumn]) -> EncodedColumn:
    """One column with the rows of the same column of several blocks, in order."""
    if isinstance(parts[0], bytes):
        return b"".join(parts)  # type: ignore[arg-type]
    return list(chain.from_iterable(parts))  # type: ignore[arg-type]


def series_key(dimensions: Dimensions) -> bytes:
    """The key of a series in frames."""
    return _encoder.encode(dimensions)


def dimensions_of_key(key: bytes) -> Dimensions:
    """The dimensions of a series from its key."""
    return tuple(_keys.decode(key))


def encode(frame: Frame) -> Iterator[bytes]:
    """The frame as one or more messages, in order, each of at most `MAX_FRAME_BYTES`.

    It is split between rows, and a large row between its columns. A single state fits: a sketch has
    at most 64 KiB, a quantile's 192,000 bytes (`agent.core.aggregate.sketches`).
    """
    data = _HEAD + _encoder.encode(frame)
    rows = sum(len(block.keys) for block in frame.blocks)
    if len(data) <= MAX_FRAME_BYTES:
        yield data
        return
    if rows > 1:
        # Rows differ in size, so aim at three quarters of the limit.
        most = max(1, rows * MAX_FRAME_BYTES * 3 // (len(data) * 4))
        pieces = list(_pieces(frame.blocks, min(most, rows - 1)))
    elif frame.blocks and len(frame.blocks[0].columns) > 1:
        pieces = [[half] for half in frame.blocks[0].halves()]
    else:
        yield data
        return
    for i, blocks in enumerate(pieces):
        yield from encode(
            msgspec.structs.replace(
                frame,
                last=frame.last and i == len(pieces) - 1,
                active={} if i else frame.active,
                blocks=blocks,
            )
        )


def _pieces(blocks: Sequence[Block], most_rows: int) -> Iterator[list[Block]]:
    """The blocks in order, in pieces of at most `most_rows` rows."""
    piece: list[Block] = []
    room = most_rows
    for block in blocks:
        at = 0
        while len(block.keys) - at > room:
            yield [*piece, block.rows(at, at + room)] if room else piece
            piece, at, room = [], at + room, most_rows
        rest = block.rows(at, len(block.keys)) if at else block
        piece.append(rest)
        room -= len(rest.keys)
    if piece:
        yield piece
