"""The state table: recovery fences rows that a later position has overtaken."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.model.plan import Plan
from agent.kafka.client import new_producer
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.topics import TopicNames
from tests.kafka.stage_two import (
    KEY,
    faust_running,
    plan_of,
    row_at,
    settings_for,
    stored,
    write_row,
    write_state,
)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.mark.parametrize("store", ["memory", "rocksdict"])
async def test_the_row_of_the_later_position_stands_whichever_was_written_last(
    plan: Plan, tmp_path: Path, broker: EmbeddedBroker, store: str
) -> None:
    settings = settings_for(broker.address, tmp_path if store == "rocksdict" else None)
    await write_state(settings, plan)
    async with faust_running(settings) as app:
        assert await stored(app) == (10, [(KEY, 9_000)])


async def test_a_row_is_on_disk_only_once_the_changelog_has_it(
    plan: Plan, tmp_path: Path, broker: EmbeddedBroker
) -> None:
    # If it were before, a worker killed in between would go on from what no other worker can know.
    settings = settings_for(broker.address, tmp_path)
    await write_state(settings, plan)
    async with faust_running(settings) as app:
        await app.write_rows(1, [(KEY, row_at(plan, 11_000))], 11)
        assert await stored(app) == (10, [(KEY, 9_000)])
        await app.settle_rows()
        assert await stored(app) == (11, [(KEY, 11_000)])


async def test_what_a_worker_wrote_in_its_sleep_does_not_hide_what_its_successor_wrote(
    plan: Plan, tmp_path: Path, broker: EmbeddedBroker
) -> None:
    settings = settings_for(broker.address, tmp_path)
    await write_state(settings, plan)
    async with faust_running(settings) as asleep:
        producer = new_producer(settings)
        await producer.start()
        await write_row(producer, TopicNames.of(settings), plan, 11, 11_000)
        await producer.stop()
        await asleep.write_rows(1, [(KEY, row_at(plan, 8_000))], 8)
        await asleep.settle_rows()
    async with faust_running(settings) as awake:
        assert await stored(awake) == (11, [(KEY, 11_000)])
