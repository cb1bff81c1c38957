"""Frames as messages: joined, split, and what no `join` made."""

from __future__ import annotations

import msgspec

from agent.kafka.frame_batches import JOINED_BYTES, join, split


def test_small_frames_for_one_partition_go_together_in_their_order() -> None:
    frames = [(0, b"a0"), (1, b"a1"), (0, b"b0"), (1, b"b1")]
    messages = list(join(frames))
    assert [partition for partition, _ in messages] == [0, 1]
    assert [split(message) for _, message in messages] == [[b"a0", b"b0"], [b"a1", b"b1"]]


def test_a_message_is_no_longer_than_needed_and_no_frame_overtakes_another() -> None:
    large, half = b"l" * (2 * JOINED_BYTES), b"h" * (JOINED_BYTES // 2)
    frames = [b"1", large, b"2", half, half, b"3"]
    parts = [split(message) for _, message in join((7, frame) for frame in frames)]
    assert parts == [[b"1"], [large], [b"2", half], [half, b"3"]]


def test_a_frame_that_was_sent_by_itself_is_still_read() -> None:
    frame = msgspec.msgpack.encode(["orders", 0, 4, 12])
    assert split(frame) == [frame]
    assert split(b"not a frame") == [b"not a frame"]
    assert split(b"") == [b""]
