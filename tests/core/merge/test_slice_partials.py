"""Partials as columns: what stage 1 keeps, what frames hold, what the merge makes of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.core.aggregate.aggregator import Aggregator
from agent.core.fold import kpi_fold
from agent.core.frame import MAX_FRAME_BYTES, Block, decode, dimensions_of_key, encode, series_key
from agent.core.merge import slice_partials as partials
from agent.core.merge.slice_partials import SlicePartials
from agent.core.model.kpis import Dimensions
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale, settle

RULES = f"""{EVENTS}kpis:
  spent: {{from: sale, value: max(amount) + sum(amount), by: [customer], window: 1m}}
"""


def block(rows: dict[str, tuple[int, float, float]]) -> Block:
    """A block of states: rows, and of their amounts the greatest and the sum (`RULES`)."""
    n, most, total = (np.array(column) for column in zip(*rows.values(), strict=True))
    columns = [n.tobytes(), most.tobytes(), n.tobytes(), total.tobytes()]
    return Block("spent", "", START_MS, [series_key((name,)) for name in rows], columns)


@pytest.fixture
def aggregator(tmp_path: Path) -> Aggregator:
    kpi = plan_of(RULES, tmp_path).kpis["spent"]
    assert [partial.kind.name for partial in kpi.partials] == ["COUNT", "MAX", "SUM"]
    return Aggregator(kpi)


def test_the_newest_partial_of_a_source_replaces_and_sources_stand_apart(
    aggregator: Aggregator,
) -> None:
    of_slice = SlicePartials(aggregator, dimensions_of_key)
    of_slice.update(block({"a": (1, 5.0, 5.0), "b": (1, np.nan, 0.0)}), 0)
    assert of_slice.drain_changed() == {("a",), ("b",)}
    of_slice.update(
        block({f"n{i}": (1, 1.0, 1.0) for i in range(20)}), 1
    )  # more than there is room
    of_slice.update(block({"a": (3, 7.0, 16.0)}), 0)
    of_slice.update(block({"a": (2, 1.0, 2.0)}), 1)
    assert of_slice.drain_changed() == {("a",), *((f"n{i}",) for i in range(20))}
    assert of_slice.drain_changed() == set()
    asked = list(of_slice.states([("a",), ("b",), ("nobody",)]))
    assert asked == [
        (("a",), (3, 7.0, 3, 16.0)),
        (("a",), (2, 1.0, 2, 2.0)),
        (("b",), (1, None, 1, 0.0)),
    ]
    assert len(list(of_slice.states())) == len(of_slice) == 23


def test_of_two_blocks_of_a_source_the_later_one_counts_anybody_who_looks_when(
    aggregator: Aggregator,
) -> None:
    of_slice = SlicePartials(aggregator, dimensions_of_key)
    of_slice.update(block({"a": (1, 5.0, 5.0), "b": (1, 2.0, 2.0)}), 0)
    of_slice.update(block({"b": (2, 3.0, 5.0), "a": (3, 7.0, 16.0)}), 0)
    many = {f"n{i}": (i + 1, 1.0, float(i)) for i in range(partials.MOST_PENDING)}
    of_slice.update(block(many), 1)
    of_slice.update(block({"n3": (40, 9.0, 90.0)}), 1)
    states = dict(of_slice.states())
    assert (states["a",], states["b",]) == ((3, 7.0, 3, 16.0), (2, 3.0, 2, 5.0))
    assert states["n3",] == (40, 9.0, 40, 90.0)
    assert states["n5",] == (6, 1.0, 6, 5.0)
    assert len(states) == len(of_slice) == 2 + len(many)
    assert of_slice.drain_changed() == set(states)


def test_what_is_not_wanted_stays_out_and_many_keys_may_go_to_one_series(
    aggregator: Aggregator,
) -> None:
    def admit(key: bytes) -> Dimensions | None:
        (name,) = dimensions_of_key(key)
        return None if name == "old" else ("rest",) if name in ("c", "d") else (name,)

    of_slice = SlicePartials(aggregator, admit)
    for amount in (1.0, 2.0):
        of_slice.update(block(dict.fromkeys(("c", "old", "d", "a"), (1, amount, amount))), 0)
    assert [subject for subject, _ in of_slice.states()] == [("rest",), ("rest",), ("a",)]
    assert {state for _, state in of_slice.states()} == {(1, 2.0, 1, 2.0)}
    assert ("old",) not in of_slice
    ((source, whole),) = of_slice.blocks("spent", "", START_MS)
    again = SlicePartials(aggregator, admit)
    again.update(whole, source)
    assert list(again.states()) == list(of_slice.states())


def test_a_frame_with_a_column_cut_short_is_no_frame(tmp_path: Path) -> None:
    world = World(plan_of(RULES, tmp_path), [[sale(START_MS, 1.0, "x", "c", "1")]], 1)
    worker = world.worker()
    world.read(worker, {0: 1})
    world.flush(worker)
    frame = decode(world.frames[0][0])
    (block,) = frame.blocks
    for columns in ([block.columns[0][:-1], *block.columns[1:]], [[None] * 2, *block.columns[1:]]):
        broken = msgspec.structs.replace(block, columns=columns)
        (data,) = encode(msgspec.structs.replace(frame, blocks=[broken]))
        with pytest.raises(msgspec.DecodeError, match="a column of spent has not 1 rows"):
            decode(data)


def test_a_large_frame_is_cut_and_its_parts_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [sale(START_MS + i, float(i), "x", f"c{i}", f"n{i}") for i in range(100)]
    world = World(plan_of(RULES, tmp_path), [log], 1)
    worker = world.worker()
    world.read(worker, {0: len(log)})
    world.flush(worker)
    frame = decode(world.frames[0][0])
    monkeypatch.setattr("agent.core.frame.MAX_FRAME_BYTES", 1_500)
    parts = [decode(data) for data in encode(frame)]
    assert len(parts) > 2
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    (whole,) = frame.blocks
    assert [key for part in parts for b in part.blocks for key in b.keys] == whole.keys
    for place, column in enumerate(whole.columns):
        assert b"".join(bytes(b.columns[place]) for part in parts for b in part.blocks) == column


def test_series_that_come_no_longer_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kpi_fold, "IDLE_SERIES_KEPT", 10)
    minutes, each = 12, 15
    log = [
        sale(START_MS + 60_000 * minute, 1.0, "x", f"c{minute // 3}-{i}", f"{minute}-{i}")
        for minute in range(minutes)
        for i in range(each)
    ]
    world = World(plan_of(RULES, tmp_path), [log], 1)
    worker = world.worker()
    merger, published = world.merger(0), []
    (fold,) = worker.folders["shop"]._folds
    for minute in range(minutes):
        world.read(worker, {0: each})
        world.flush(worker)
        assert fold._series.count <= 10 + 2 * 2 * each + each
        published += world.apply(merger, 0, minute, minute + 1)
    windows = [w for emitted in published for w in emitted.windows]
    named_ = {w.dimensions[0] for w in windows}
    assert named_ >= {f"c{minute // 3}-{i}" for minute in range(minutes - 2) for i in range(each)}
    assert {w.value for w in windows if w.events} == {2.0}


def test_a_series_that_is_larger_than_a_message_is_exact_wherever_stage_two_is_killed(
    tmp_path: Path,
) -> None:
    """Twenty sketches of 56 KB: the state of one series in one slice is 1.1 MB."""
    counts = " + ".join(f"count(distinct customer) filter (where amount > {n})" for n in range(20))
    plan = plan_of(
        f"{EVENTS}kpis:\n  reach: {{from: sale, value: {counts}, window: 1m}}\n", tmp_path
    )
    customers = [
        [
            sale(START_MS, 50.0, "a", f"c{n}", f"{p}-{n}")
            for n in range(3_000 * p, 3_000 * p + 4_000)
        ]
        for p in range(2)
    ]
    after = sale(START_MS + 600_000, 1.0, "a", "c", "after")
    world = World(plan, [[*log, after] for log in customers], 1)
    worker = world.worker()
    for size in (3_000, 1_001):
        world.read(worker, {0: size, 1: size})
        world.flush(worker)
    assert len(world.frames[0]) > 8
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in world.frames[0])
    for killed_at in range(len(world.frames[0])):
        world.rows, world.positions, world.published = [{}], [0], []
        merger = world.merger(0)
        world.published += world.apply(merger, 0, 0, killed_at)
        world.write(merger, 0)
        world.positions[0] = merger.needed_position()
        settle(world)
        assert world.windows()["reach", (), START_MS + 60_000] == (20 * 7_000, 8_000)
