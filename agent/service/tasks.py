"""Helpers for tasks: wait for the first or for all, restart on failure, stop within a time
limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any

from agent.errors import reason_of

log = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS = 7.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


async def first_of(event: asyncio.Event, *tasks: asyncio.Task[Any]) -> None:
    """Wait until the event is set or one of the tasks is done. The tasks continue."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def pause(event: asyncio.Event, seconds: float) -> bool:
    """Wait for some time; True when the event was set before."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def all_of(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all until each is done. Where one fails the others are cancelled, and its error is raised
    as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


@contextlib.asynccontextmanager
async def alongside(*runs: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run coroutines as tasks beside a block; they are cancelled at its end."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT_SECONDS)


async def until(stopping: asyncio.Event, *runs: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until one of them ends, or `stopping` is set. Raises the error of one that
    failed."""
    async with alongside(*runs) as tasks:
        await first_of(stopping, *tasks)
        for task in tasks:
            if task.done():
                task.result()


async def close(what: str, closing: Coroutine[Any, Any, None]) -> None:
    """Close something; give up after STOP_TIMEOUT_SECONDS, as when its broker is gone."""
    task = asyncio.create_task(closing)
    done, _ = await asyncio.wait([task], timeout=STOP_TIMEOUT_SECONDS)
    if not done:
        log.warning("%s did not close within %.0f s", what, STOP_TIMEOUT_SECONDS)
        task.cancel()
    elif (error := task.exception()) is not None:
        log.warning("%s did not close cleanly: %s", what, reason_of(error))


async def keep(
    once: Callable[[], Awaitable[None]],
    stopping: asyncio.Event,
    on_failure: Callable[[Exception, float], None],
) -> None:
    """Run `once` until it returns or `stopping` is set; run it again after an error.

    `on_failure` is called with the error and the pause (seconds) before the next try, which
    doubles.
    """
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        started = time.monotonic()
        try:
            return await once()
        except Exception as error:
            if time.monotonic() - started > LONGEST_PAUSE_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            on_failure(error, pause_seconds)
        # Not in step with other workers that failed for the same reason.
        jitter = random.uniform(0.5, 1.5)  # noqa: S311  no secret
        if await pause(stopping, pause_seconds * jitter):
            return
        pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


async def run_until(
    stopping: asyncio.Event,
    name: str,
    running: Coroutine[Any, Any, None],
    stop: Callable[[], None],
    *beside: asyncio.Task[None],
) -> None:
    """Run a stage until it or a task beside it fails, or `stopping` is set; then stop it, within a
    time limit. Raises the error."""
    stage = asyncio.create_task(running, name=name)
    try:
        await first_of(stopping, stage, *beside)
    finally:
        stop()
        done, _ = await asyncio.wait([stage], timeout=STOP_TIMEOUT_SECONDS)
        if not done:
            log.warning("%s did not stop within %.0f s", name, STOP_TIMEOUT_SECONDS)
            stage.cancel()
            await asyncio.wait([stage], timeout=STOP_TIMEOUT_SECONDS)
    for task in (stage, *beside):
        if task.done() and not task.cancelled():
            task.result()
