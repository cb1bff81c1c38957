"""Memory that is freed goes back to the system.

The C library of Linux keeps what a catch-up has freed, apart for each thread, in case it is asked
for again: after a few of them a process is larger by far than what it holds.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

EVERY_SECONDS = 20.0


async def trim_regularly() -> None:
    """Give freed memory back now and then; where the C library can't, do nothing."""
    trim = _malloc_trim()
    while trim is not None:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(trim, 0)


def _malloc_trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc (malloc_trim(3)), called without holding the interpreter."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
