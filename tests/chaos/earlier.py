"""An agent whose clock is behind: `python -m tests.chaos.earlier SECONDS run`.

It lives an hour ago, say, and dies there. Anybody who goes on from its commits and its state meets
an
outage of an hour, without waiting for one.
"""

from __future__ import annotations

import sys
import time


def set_back(seconds: int) -> None:
    """Set this process's wall clock back. What measures spans, the monotonic clock, goes on."""
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() - seconds
    time.time_ns = lambda: wall_ns() - seconds * 1_000_000_000


if __name__ == "__main__":
    set_back(int(sys.argv.pop(1)))
    from agent.__main__ import main

    main()
