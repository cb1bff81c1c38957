"""Frames as messages of the frames topic: the small ones of a flush for one state partition go
together.

Producer, broker and Faust take about as long over a message of 60 bytes as over one of 6,000, and a
worker that nothing comes to sends one small frame for each of its source partitions to each state
partition, every flush (docs/decisions/0015-what-an-event-costs.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

JOINED_BYTES = 64 * 1024
"""Frames are joined up to this. Larger ones cost more than their message does."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])


def join(frames: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Messages, each with its state partition; a partition's frames stay in their order."""
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
    """The frames of a message. What `join` did not make is passed on as one frame, for the merge to
    reject."""
    try:
        return _decoder.decode(message)
    except msgspec.DecodeError:
        return [message]
