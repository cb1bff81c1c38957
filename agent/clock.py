"""The wall clock. The core never reads it: times are arguments there."""

import time


def now_ms() -> int:
    """Now, in ms since the epoch."""
    return time.time_ns() // 1_000_000
