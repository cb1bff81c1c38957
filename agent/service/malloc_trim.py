"""Returns freed memory to the operating system.

glibc keeps freed memory in an arena for each thread, for later allocations: after a few catch-ups a
process is far larger than the data that it holds.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

EVERY_SECONDS = 20.0


async def trim_regularly() -> None:
    """Return freed memory every EVERY_SECONDS; where the C library can't, do nothing."""
    trim = _malloc_trim()
    while trim is not None:
        await asyncio.sleep(EVERY_SECONDS)
        await asyncio.to_thread(trim, 0)


def _malloc_trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc (malloc_trim(3)), which ctypes calls without the GIL."""
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
