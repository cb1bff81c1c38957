"""What a worker holds of the state partitions: mergers, their results, and whether they are its
own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.core.merge import frontiers
from agent.kafka.held_partitions import BackfillRows, HeldPartition, HeldPartitions
from tests.core.simulated import EVENTS, START_MS, World, plan_of, sale

RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m}}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A log of one sale a minute, whose frame lets windows close."""
    log = [sale(START_MS + 60_000 * i, 1.0, "a", "c", f"n{i}") for i in range(10)]
    made = World(plan_of(RULES, tmp_path), [log], 1)
    worker = made.worker()
    made.read(worker, {0: len(log)})
    made.flush(worker)
    return made


def held_of(world: World, partition: int = 0) -> HeldPartition:
    return HeldPartition(partition, world.merger(0), -1, 0)


async def test_results_are_drained_once(world: World) -> None:
    held = held_of(world)
    assert await held.apply(world.frames[0], 0) == [None]
    assert held.has_emitted
    ends = [window.end_ms for each in held.drain_emitted() for window in each.windows]
    assert ends == [START_MS + 60_000 * i for i in range(1, len(ends) + 1)]
    assert not held.has_emitted and held.drain_emitted() == []
    assert [view.dimensions for view in held.views] == [("a",)]
    assert await held.dirty_rows() and not await held.dirty_rows()


async def test_a_frame_that_cannot_be_read_is_skipped_with_its_error(world: World) -> None:
    held = held_of(world)
    broken, applied = await held.apply([b"broken", *world.frames[0]], 0)
    assert isinstance(broken, Exception) and applied is None
    assert held.has_emitted and not held.is_busy


async def test_windows_of_one_frame_close_in_several_steps(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = held_of(world)
    await at_once.apply(world.frames[0], 0)
    expected = [window for each in at_once.drain_emitted() for window in each.windows]
    monkeypatch.setattr(frontiers, "STRIDE_WINDOWS", 2)
    held, steps = held_of(world), 0
    await held.apply(world.frames[0], 0)
    while held.merger.is_behind:
        await held.catch_up()
        steps += 1
    assert steps > 1
    assert [window for each in held.drain_emitted() for window in each.windows] == expected


async def test_what_is_dropped_is_not_held_any_more(world: World) -> None:
    all_held, held = HeldPartitions(), held_of(world, 3)
    all_held.hold({3: held})
    assert all_held.partitions == {3} and all_held.get(3) is held and all_held.holds(held)
    assert all_held.mergers() == {3: held.merger}
    all_held.drop("a rebalance")
    assert all_held.epoch == 1
    assert list(all_held) == [] and all_held.get(3) is None and not all_held.holds(held)
    all_held.hold({3: held_of(world, 3)})
    assert not all_held.holds(held)


@pytest.mark.parametrize("ends", ["adopted", "dropped"])
async def test_a_backfill_waits_until_it_is_adopted_or_its_merger_is_dropped(
    ends: str, world: World
) -> None:
    all_held, held = HeldPartitions(), held_of(world)
    all_held.hold({0: held})
    filling = asyncio.create_task(all_held.fill(0, BackfillRows("revenue", START_MS, [], [])))
    await asyncio.sleep(0.05)
    assert held.waits_for_adoption and not filling.done()
    if ends == "adopted":
        await held.adopt()
    else:
        all_held.drop("a rebalance")
    async with asyncio.timeout(10):
        await filling
    assert held.waits_for_adoption == (ends == "dropped")
