"""Stage 2 as a whole, on the embedded broker."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
from faust.transport.consumer import Consumer

from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.kafka import held_partitions
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.held_partitions import HeldPartition
from agent.kafka.merge_stage import MergeStage
from agent.settings import Settings
from tests.kafka.stage_two import (
    GUARD_SECONDS,
    Progress,
    plan_of,
    settings_for,
    stage_running,
    write_state,
)

ALL_FRAMES = [(partition, offset) for partition in range(PARTITIONS) for offset in range(12)]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def settings_of(broker: EmbeddedBroker) -> Settings:
    """In memory; and no machine is so slow that the group gives up its only member meanwhile: the
    next would apply, and count, frames once more."""
    return settings_for(broker.address, None, session_timeout=60)


async def all_failed(progress: Progress) -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        while len(progress.failed) < len(ALL_FRAMES):  # noqa: ASYNC110  another's news
            await asyncio.sleep(0.05)


async def test_frames_that_can_not_be_read_are_counted_and_passed_over(
    plan: Plan, broker: EmbeddedBroker
) -> None:
    settings, progress = settings_of(broker), Progress()
    await write_state(settings, plan)
    async with stage_running(settings, plan, progress):
        assert progress.partitions == frozenset(range(PARTITIONS))
        await all_failed(progress)
    assert sorted(progress.failed) == ALL_FRAMES


async def test_of_a_stage_that_is_over_nothing_is_left(plan: Plan, broker: EmbeddedBroker) -> None:
    # Every reload of the rules starts a new one. Those of other tests are not meant.
    gc.collect()
    async with stage_running(settings_of(broker), plan, Progress()):
        left = [weakref.ref(each) for each in gc.get_objects() if type(each) is MergeStage]
    gc.collect()
    assert len(left) == 1
    assert left[0]() is None


async def test_frames_that_faust_drops_at_the_end_of_a_rebalance_are_fetched_again(
    plan: Plan, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, progress = settings_of(broker), Progress()
    await write_state(settings, plan)
    seek, write = Consumer.perform_seek, HeldPartition.dirty_rows

    async def slow_seek(consumer: Consumer) -> None:
        """As on a busy machine: frames come in before Faust empties its queues."""
        await seek(consumer)
        await asyncio.sleep(2)

    async def slow_write(held: HeldPartition) -> list[tuple[bytes, bytes | None]]:
        await asyncio.sleep(0.3)
        return await write(held)

    monkeypatch.setattr(Consumer, "perform_seek", slow_seek)
    monkeypatch.setattr(HeldPartition, "dirty_rows", slow_write)
    async with stage_running(settings, plan, progress):
        await all_failed(progress)
    assert sorted(progress.failed) == ALL_FRAMES


async def test_the_event_loop_goes_on_while_a_frame_takes_long_and_what_waits_is_said(
    plan: Plan, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, progress = settings_of(broker), Progress()
    await write_state(settings, plan)
    apply, loop = Merger.apply, asyncio.get_running_loop()

    def slow_apply(merger: Merger, data: bytes, position: int) -> object:
        """Takes until the event loop has done something else."""
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result(GUARD_SECONDS)
        return apply(merger, data, position)

    monkeypatch.setattr(held_partitions, "HEAVY_BYTES", 0)
    monkeypatch.setattr(Merger, "apply", slow_apply)
    async with stage_running(settings, plan, progress):
        async with asyncio.timeout(GUARD_SECONDS):
            while not any(frames for frames, _ in progress.waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await all_failed(progress)
        async with asyncio.timeout(GUARD_SECONDS):
            while progress.waiting[-1] != (0, 0.0):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
