"""Joins the small frames of a flush for one state partition to one message of the frames topic.

A message of 60 bytes costs producer, broker and Faust about as much as one of 6,000, and an idle
worker sends one small frame for each of its source partitions to each state partition, every flush
(docs/decisions/0015-what-an-event-costs.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

JOINED_BYTES = 64 * 1024
"""Frames are joined up to this size: beyond it, messages cost little for each byte."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])


def join(frames: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Join frames to messages, each with its state partition; the frames of a partition stay in
    order."""
    waiting: dict[int, list[bytes]] = {}
    for partition, frame in frames:
        together = waiting.setdefault(partition, [])
        if together and sum(map(len, together)) + len(frame) > JOINED_BYTES:
            yield partition, _encoder.encode(together)
            together.clear()
        together.append(frame)
    for partition, together in waiting.items():
        yield partition, _encoder.encode(together)


def split(message: bytes) -> list[bytes]:
    """The frames of a message. A message that `join` did not make is returned as one frame, for the
    merge to reject."""
    try:
        return _decoder.decode(message)
    except msgspec.DecodeError:
        return [message]
