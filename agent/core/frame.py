"""Frames: the wire format between the stages.

A frame holds the cumulative partials that changed since the last flush, from one source partition
to one state partition, and names the source offset it covers. Its bytes are MessagePack.
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
"""A topic that takes a quarter of Kafka's default (`max.message.bytes`, 1,048,588) takes such a
frame, with room for headers (`agent.kafka.message_sizes`)."""

Written = bytes | list[bytes | None]
"""A column of partial states (`core/aggregate/columns.py`): numbers as their bytes, sketches as a
list."""


class Block(msgspec.Struct, array_like=True, frozen=True):
    """The rows of one KPI in the slice that starts at `start_ms`, as columns: row i is the series
    with the key `keys[i]` (`series_key`), and has the partial state `columns[0][i], columns[1][i]…`

    `pane_ms`: None of events whose time lies in the slice; else they came after the slice of their
    time was sealed, and belong to the pane that starts there (`agent.core.fold.lateness`).
    `first_column`: a row that is larger than a frame comes in several blocks, each with the columns
    from there on; the others stay as they are.
    """

    kpi: str
    fingerprint: str
    start_ms: int
    keys: list[bytes]
    columns: list[Written]
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

    `covered`: the source offset up to which (exclusive) the frame covers the log. `watermark_ms`:
    the running maximum of event time there, None before the first event. `idle_ms`: None while
    records come; else for how long none came, known from a fetch that found the log's end.
    `clock_ms`: when the frame was made. `last` False: more blocks of the same flush follow, the
    watermark does not count yet. `active`: the slices in which a KPI had rows in this flush, for
    KPIs whose absence is watched as a whole. `again`: the first frames of a source's new owner,
    which send again what the last one sent already. `filled` names the KPIs with `backfill`
    that the owner folds, with their fingerprints; a slice that starts after `since_ms` (None: any)
    has no event that was folded by somebody else, or published in an earlier frame only
    (`agent.core.merge.backfill_buffer`).

    `topic_id` and `epoch` name the log that `covered` counts in, and the stretch of it that is read
    without a gap (`agent.core.fold.checkpoint`). `missed` is the last span of event time, from the
    watermark before a gap up to its end (ms), in which records of this source are missing: every
    window that it touches may lack some. Each frame repeats it, so a merger knows of it before it
    closes one.

    `partitions` is how many partitions the topic has, `siblings` how many each other topic has that
    holds events of one of its contracts; seen after the records that the frame covers were fetched.
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
    again: bool = False
    filled: dict[str, str] = {}
    since_ms: int | None = None
    topic_id: str = ""
    epoch: int = 0
    missed: tuple[int | None, int] | None = None
    siblings: dict[str, int] = {}


VERSION = 1
"""Of the layout of frames. It changes with every change that an older agent would misread."""

_HEAD = bytes([0x92, VERSION])
"""What a frame's bytes begin with: MessagePack's list of two, the version and the frame."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)
_versions = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
_keys = msgspec.msgpack.Decoder(list[Scalar])


def decode(data: bytes) -> Frame:
    """Read a frame. Raises `msgspec.DecodeError` for anything that is not one, and
    `UnknownVersionError` for what another version of the agent wrote."""
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


def written(column: Column) -> Written:
    """A column as a block has it."""
    return column.tolist() if column.dtype == OBJECT else column.tobytes()


def read(column: Written, dtype: np.dtype[Any]) -> Column:
    """A block's column, read-only."""
    return np.frombuffer(column, dtype) if isinstance(column, bytes) else object_column(column)


def joined(parts: Sequence[Written]) -> Written:
    """A block's column of the rows of several blocks, in order."""
    if isinstance(parts[0], bytes):
        return b"".join(parts)  # type: ignore[arg-type]
    return list(chain.from_iterable(parts))  # type: ignore[arg-type]


def series_key(dimensions: Dimensions) -> bytes:
    """How frames name a series."""
    return _encoder.encode(dimensions)


def named(key: bytes) -> Dimensions:
    """The dimensions of a series by its key."""
    return tuple(_keys.decode(key))


def encode(frame: Frame) -> Iterator[bytes]:
    """The frame as one or more messages, in order: cut between rows, and a row between its columns.

    A message has at most `MAX_FRAME_BYTES`. No single column of a row is larger: a sketch has at
    most 64 KiB, of a quantile 192,000 bytes (`agent.core.aggregate.sketches`).
    """
    data = _HEAD + _encoder.encode(frame)
    rows = sum(len(block.keys) for block in frame.blocks)
    if len(data) <= MAX_FRAME_BYTES:
        yield data
        return
    if rows > 1:
        # Pieces of as many rows each are seldom of one size, so they are somewhat smaller.
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
    """The blocks in order, cut so that no piece has more rows."""
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
