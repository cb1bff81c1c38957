"""What is relied on inside Faust and aiokafka is still there: an upgrade fails here first; and what
of its events reaches the member."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.tables.recovery import Recovery

from agent.errors import EnvironmentFault
from agent.kafka import faust_app
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.faust_app import INTERNALS
from agent.kafka.state_table import StateTable
from tests.kafka.stage_two import (
    ALL_PARTITIONS,
    GUARD_SECONDS,
    KEY,
    Member,
    faust_running,
    plan_of,
    settings_for,
    stored,
    write_state,
)


def owner_of(path: str) -> tuple[type, str]:
    module, _, name = path.partition(":")
    owner, _, attribute = name.partition(".")
    return getattr(importlib.import_module(module), owner), attribute


def is_there(owner: type, attribute: str) -> bool:
    """Whether a class has an attribute, says so in an annotation, or sets it on itself."""
    if hasattr(owner, attribute):
        return True
    return any(
        attribute in vars(base).get("__annotations__", {})
        or re.search(rf"\bself\.{attribute}\s*(:[^=]+)?=", inspect.getsource(base))
        for base in owner.__mro__
        if base.__module__.startswith(("faust", "aiokafka", "mode"))
    )


@pytest.mark.parametrize(("path", "purpose"), INTERNALS)
def test_every_internal_that_is_relied_on_exists(path: str, purpose: str) -> None:
    owner, attribute = owner_of(path)
    assert is_there(owner, attribute), f"{path} is gone; it was used for: {purpose}"


def test_an_internal_that_is_gone_is_noticed() -> None:
    owner, _ = owner_of(INTERNALS[0][0])
    assert not is_there(owner, "_no_such_thing")


async def test_a_recovery_that_ends_while_the_group_is_shared_out_again_is_not_reported() -> None:
    # The assignor has the next partitions by then, of which the table has no rows yet.
    with EmbeddedBroker() as broker:
        member = Member()
        async with faust_running(settings_for(broker.address, None), member) as app:
            faust, recover = app._app, app._on_recovered
            await faust.on_partitions_revoked.send(set())
            await recover()
            assert member.partitions is None
            await faust.on_partitions_assigned.send(set())
            faust.tables.recovery.signal_recovery_start.set()
            await recover()
            assert member.partitions is None
            async with asyncio.timeout(GUARD_SECONDS):  # the recovery that was due is reported
                while member.partitions != ALL_PARTITIONS:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


class ReadingMember(Member):
    """A member that reads the rows as soon as they are reported complete."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[object] = []

    async def recovered(self, partitions: Sequence[int]) -> None:
        assert self.app is not None
        self.read.append(await stored(self.app))
        await super().recovered(partitions)


async def test_a_rebalance_while_the_changelog_is_read_does_not_end_the_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Faust swallows its own RebalanceAgain there, and calls back as if it had read everything.
    is_interrupted = False

    async def interrupt(table: StateTable, _: object) -> None:
        """At the first row the group is shared out again; the row takes until Faust is at it."""
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            is_due = table.app.tables.recovery.signal_recovery_start
            is_due.set()
            while is_due.is_set():  # noqa: ASYNC110  Faust clears it when the next one begins
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)  # a callback that comes too early has read by then

    monkeypatch.setattr(StateTable, "on_changelog_event", interrupt)
    with EmbeddedBroker() as broker:
        settings, member = settings_for(broker.address, None, session_timeout=60), ReadingMember()
        await write_state(settings, plan_of(tmp_path))
        async with faust_running(settings, member):
            assert is_interrupted
    assert member.read == [(10, [(KEY, 9_000)])]


async def test_a_recovery_that_reads_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seek = Recovery._seek_offsets

    async def seek_behind(
        recovery: Recovery, consumer: Any, tps: set[Any], offsets: Any, title: str
    ) -> None:
        """The position is behind the rows, as if they had been fetched and dropped."""
        await seek(recovery, consumer, tps, offsets, title)
        await consumer.seek_wait({tp: recovery.active_highwaters[tp] + 1 for tp in tps})

    monkeypatch.setattr(Recovery, "_seek_offsets", seek_behind)
    monkeypatch.setattr(faust_app, "STALL_SECONDS", 0.5)
    with EmbeddedBroker() as broker:
        settings = settings_for(broker.address, None)
        await write_state(settings, plan_of(tmp_path))
        with pytest.raises(EnvironmentFault, match="2 rows of the state are left"):
            async with faust_running(settings):
                pass
