"""The wire format between the stages: it says its version, and is cut to what a message holds."""

from __future__ import annotations

import msgspec
import pytest

from agent.core.frame import MAX_FRAME_BYTES, VERSION, Block, Frame, decode, encode
from agent.errors import UnknownVersionError


def a_frame(*blocks: Block) -> Frame:
    return Frame("shop", 3, 4, 77, 1_000, None, 2_000, True, {"orders": [0]}, list(blocks))


def a_block(rows: int, pane_ms: int | None = None) -> Block:
    keys = [f"series {i}".encode() for i in range(rows)]
    return Block(
        "orders",
        "f",
        60_000,
        keys,
        [b"12345678" * rows, [b"sketch", *[None] * (rows - 1)]],
        pane_ms,
    )


def test_a_frame_is_read_back_as_it_was_made() -> None:
    frame = a_frame(a_block(3), a_block(2, pane_ms=0))
    (data,) = encode(frame)
    assert decode(data) == frame


def test_a_large_frame_is_cut_and_only_its_last_part_is_the_last() -> None:
    frames = [decode(data) for data in encode(a_frame(a_block(90_000, pane_ms=7)))]
    assert len(frames) > 1
    assert [frame.last for frame in frames] == [*[False] * (len(frames) - 1), True]
    assert sum(len(block.keys) for frame in frames for block in frame.blocks) == 90_000
    assert {block.pane_ms for frame in frames for block in frame.blocks} == {7}
    keys = [key for frame in frames for block in frame.blocks for key in block.keys]
    assert keys == a_block(90_000).keys
    assert all(len(data) <= MAX_FRAME_BYTES for data in encode(a_frame(a_block(90_000))))


def test_many_small_blocks_are_cut_in_order() -> None:
    blocks = [a_block(1 + n % 3, pane_ms=n) for n in range(9_000)]
    frames = [decode(data) for data in encode(a_frame(*blocks))]
    assert len(frames) > 1
    rows = [(b.pane_ms, key) for frame in frames for b in frame.blocks for key in b.keys]
    assert rows == [(b.pane_ms, key) for b in blocks for key in b.keys]


@pytest.mark.parametrize("version", [0, VERSION + 1, 300])
def test_a_frame_of_another_version_says_so(version: int) -> None:
    data = msgspec.msgpack.encode((version, ["something", "else"]))
    with pytest.raises(UnknownVersionError, match=f"a frame has format {version}, and this agent"):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"{}", msgspec.msgpack.encode([1, 2, 3])])
def test_what_is_no_frame_is_no_frame(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


def test_a_column_has_as_many_rows_as_the_block() -> None:
    block = Block("orders", "f", 0, [b"a", b"b"], [b"12345678"])
    (data,) = encode(a_frame(block))
    with pytest.raises(msgspec.ValidationError, match="has not 2 rows"):
        decode(data)


def test_a_row_that_is_larger_than_a_frame_is_cut_between_its_columns() -> None:
    sketches = [bytes([n]) * 65_000 for n in range(20)]
    row = Block("orders", "f", 60_000, [b"series"], [b"12345678", *([s] for s in sketches)], 7)
    messages = list(encode(a_frame(a_block(3), row)))
    frames = [decode(data) for data in messages]
    assert all(len(data) <= MAX_FRAME_BYTES for data in messages)
    assert [frame.last for frame in frames] == [*[False] * (len(frames) - 1), True]
    parts = [block for frame in frames for block in frame.blocks if block.keys == [b"series"]]
    assert {(part.start_ms, part.pane_ms) for part in parts} == {(60_000, 7)}
    columns: list[object] = []
    for part in parts:
        assert part.first_column == len(columns)
        columns += part.columns
    assert columns == row.columns
