"""The published closed windows, read from the messages of the values topic in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.core.model.kpis import Dimensions
from agent.core.model.results import Number, TargetStatus, WindowValue
from agent.core.output.value_messages import ValueMessage


class WindowKey(NamedTuple):
    """A window, as in the keys of its messages."""

    kpi: str
    dimensions: Dimensions
    start_ms: int


def window_key(window: WindowValue) -> WindowKey:
    """The key of a window."""
    return WindowKey(window.kpi, window.dimensions, window.start_ms)


class PublishedWindows:
    """The last message of each window, and of its target state.

    A worker that restarts publishes its last results again. Such a repeated message must not undo a
    correction: it is skipped if its value and number of events are those that were corrected.
    """

    def __init__(self) -> None:
        self._windows: dict[str, dict[WindowKey, WindowValue]] = {}
        self._statuses: dict[WindowKey, TargetStatus] = {}
        self._corrected: dict[WindowKey, tuple[Number, int] | None] = {}
        self._replaced: dict[WindowKey, set[tuple[Number, int]]] = {}

    def add(self, message: ValueMessage) -> None:
        """Add the next message."""
        window = message.window
        key = window_key(window)
        if message.corrected is not None:
            self._replaced.setdefault(key, set()).add(message.corrected)
        elif (window.value, window.events) in self._replaced.get(key, ()):
            return
        if message.status is None:
            self._corrected[key] = message.corrected
            self._windows.setdefault(window.kpi, {})[key] = window
        else:
            self._statuses[key] = message.status

    def windows(self, kpi: str) -> Mapping[WindowKey, WindowValue]:
        """The windows of a KPI."""
        return self._windows.get(kpi, {})

    def status(self, key: WindowKey) -> TargetStatus | None:
        """The target state of a window; None: it has none."""
        return self._statuses.get(key)

    def corrected(self, key: WindowKey) -> tuple[Number, int] | None:
        """The value and the number of events that a window had before its last correction; None if
        it was never corrected."""
        return self._corrected.get(key)

    def newest_end_ms(self, kpi: str) -> int:
        """The end of the newest window of a KPI, 0 if there is none. Windows close in the order of
        their ends, so all that end earlier are closed."""
        return max((window.end_ms for window in self.windows(kpi).values()), default=0)
