"""The closed windows of one series, oldest first, as arrays that grow at one end."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Item = tuple[int, float | None, int, int]
"""End (ms), value (None: it has none), events, and the flags of a window."""

INCIDENT = 1
"""Flag: an alert over the series was firing when the window closed."""
MAINTENANCE = 2
"""Flag: the window overlaps maintenance."""

_LEAST = 64


class WindowHistory:
    """Windows by rising end: `ends` int64 (ms), `values` float64 (NaN: none, or in maintenance),
    `published` float64 (NaN: none), `events` int64, `flags` uint8. All have the same length. They
    are views, valid until the next change."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        known = {item[0]: item for item in items}
        ordered = [known[end] for end in sorted(known)]
        self._first = 0
        self._size = len(ordered)
        room = max(_LEAST, 2 * self._size)
        self._ends = np.zeros(room, np.int64)
        self._values = np.zeros(room, np.float64)
        self._published = np.zeros(room, np.float64)
        self._events = np.zeros(room, np.int64)
        self._flags = np.zeros(room, np.uint8)
        for index, item in enumerate(ordered):
            self._put(index, item)

    def __len__(self) -> int:
        return self._size - self._first

    @property
    def ends(self) -> NDArray[np.int64]:
        """The windows' ends, ms, rising."""
        return self._ends[self._first : self._size]

    @property
    def values(self) -> NDArray[np.float64]:
        """The values that later windows are compared with; NaN for no value and in maintenance."""
        return self._values[self._first : self._size]

    @property
    def published(self) -> NDArray[np.float64]:
        """The values as published, including those in maintenance: the terms of running totals."""
        return self._published[self._first : self._size]

    @property
    def events(self) -> NDArray[np.int64]:
        """The windows' numbers of events."""
        return self._events[self._first : self._size]

    @property
    def flags(self) -> NDArray[np.uint8]:
        """The windows' flags."""
        return self._flags[self._first : self._size]

    def append(self, item: Item) -> None:
        """Add a window that ends after all others."""
        if self._size == len(self._ends):
            self._make_room()
        self._put(self._size, item)
        self._size += 1

    def upto(self, end_ms: int) -> WindowHistory:
        """A copy up to the last window that ends by an instant, with room for one more."""
        size = int(np.searchsorted(self.ends, end_ms, "right"))
        history = WindowHistory()
        for name in ("_ends", "_values", "_published", "_events", "_flags"):
            old = getattr(self, name)
            setattr(history, name, old[self._first : self._first + size + 1].copy())
        history._size = size
        if size == len(history._ends):
            history._make_room()
        return history

    def flag(self, end_ms: int, flags: int) -> None:
        """Set flags of the window with that end."""
        index = self.at(end_ms)
        if index is not None:
            self._flags[self._first + index] |= flags
            if flags & MAINTENANCE:
                self._values[self._first + index] = math.nan

    def drop_before(self, end_ms: int) -> None:
        """Forget the windows that end before an instant."""
        self._first += int(np.searchsorted(self.ends, end_ms))

    def at(self, end_ms: int) -> int | None:
        """The index of the window with that end; None: it is not in the history."""
        index = int(np.searchsorted(self.ends, end_ms))
        return index if index < len(self) and self.ends[index] == end_ms else None

    def since(self, after_ms: int) -> slice:
        """The indices of the windows that end after an instant."""
        return slice(int(np.searchsorted(self.ends, after_ms, "right")), len(self))

    def _put(self, index: int, item: Item) -> None:
        end, value, events, flags = item
        self._ends[index] = end
        self._published[index] = math.nan if value is None else value
        self._values[index] = math.nan if flags & MAINTENANCE else self._published[index]
        self._events[index] = events
        self._flags[index] = flags

    def _make_room(self) -> None:
        room = max(_LEAST, 2 * len(self))
        for name in ("_ends", "_values", "_published", "_events", "_flags"):
            old = getattr(self, name)
            new = np.zeros(room, old.dtype)
            new[: len(self)] = old[self._first : self._size]
            setattr(self, name, new)
        self._size, self._first = len(self), 0
