"""Which windows of a KPI an event counts in, and the slice that it is stored in.

An event counts in every window of a KPI that is open at the event's offset: the window ends after
the *frontier*, the watermark just before the event minus the contract's lateness. Other KPIs make
no difference.

Slices affect storage only. An event is stored in the slice of its time or, if that one is sealed,
in the slice of the frontier, the oldest that is not sealed. So a slice contains only events that
were folded while it was open, and a window, which closes on a slice boundary, contains exactly the
events that arrived while it was open.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from agent.core.aggregate.columns import NO_INT, Ints
from agent.core.model.windows import FixedWindow, Window

Bools = npt.NDArray[np.bool_]


def frontiers(watermarks_ms: Ints, lateness_ms: int) -> Ints:
    """The frontier just before each event; `NO_INT` before the first event of a partition."""
    known = watermarks_ms != NO_INT
    return np.where(known, watermarks_ms - lateness_ms * known, NO_INT)


def slice_starts(times_ms: Ints, slice_ms: int) -> Ints:
    """The start of the slice that contains each instant."""
    return times_ms - times_ms % slice_ms


def is_sealed(times_ms: Ints, frontiers_ms: Ints, slice_ms: int) -> Bools:
    """Whether the slice of each event's time was sealed when the event arrived."""
    return slice_starts(times_ms, slice_ms) + slice_ms <= frontiers_ms


def counts_somewhere(window: Window, times_ms: Ints, frontiers_ms: Ints) -> Bools:
    """Whether any window that contains the event was open when it arrived."""
    return last_ends(window, times_ms) > frontiers_ms


def counts_everywhere(window: Window, times_ms: Ints, frontiers_ms: Ints) -> Bools:
    """Whether all windows that contain the event were open when it arrived."""
    if isinstance(window, FixedWindow):
        first = times_ms - (times_ms - window.size_ms) % window.hop_ms + window.hop_ms
    else:
        first = last_ends(window, times_ms)  # periods don't overlap
    return first > frontiers_ms


def last_ends(window: Window, times_ms: Ints) -> Ints:
    """The end of the last window that contains each instant."""
    if isinstance(window, FixedWindow):
        return times_ms - times_ms % window.hop_ms + window.size_ms
    return _by_slice(window.last_end_over, times_ms, window.slice_ms)


def closed_before(window: Window, frontier_ms: int) -> int:
    """The instant before which all windows have closed at a frontier: earlier instants are in no
    open window."""
    if isinstance(window, FixedWindow):
        last_start = frontier_ms - window.size_ms
        return last_start - last_start % window.hop_ms + window.hop_ms
    return window.pane_start(frontier_ms)


def pane_starts(window: Window, times_ms: Ints) -> Ints:
    """The start of the pane that contains each instant."""
    if isinstance(window, FixedWindow):
        return times_ms - times_ms % int(np.gcd(window.size_ms, window.hop_ms))
    return _by_slice(window.pane_start, times_ms, window.slice_ms)


def _by_slice(function: Callable[[int], int], times_ms: Ints, slice_ms: int) -> Ints:
    """Map instants by a function that is constant within a slice; it is called once per slice."""
    starts, rows = np.unique(slice_starts(times_ms, slice_ms), return_inverse=True)
    return np.array([function(start) for start in starts.tolist()], np.int64)[rows]
