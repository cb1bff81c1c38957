"""The closed windows of a page: the last ones from memory, older ones from the values topic.

Every series view has its last windows, of which there are few. Older ones are read from the values
topic on request, one request at a time, and cached for a short while; windows that close meanwhile
are in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import PastWindow, PastWindows, SeriesView
from agent.export.agent_state import AgentState

CACHE_SECONDS = 30.0
MOST_CACHED = 32
"""Reads of the topic that are cached, the last ones."""

_Key = tuple[str, Dimensions | None, str]


class PastWindowReader:
    """Reads the closed windows of the KPIs of one agent."""

    def __init__(
        self, state: AgentState, clock_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._clock_seconds = clock_seconds
        self._cache: OrderedDict[_Key, tuple[float, int, PastWindows]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def windows(
        self,
        kpi: Kpi,
        dimensions: Dimensions | None,
        since_ms: int,
        views: Sequence[SeriesView],
    ) -> PastWindows:
        """The windows of a KPI, or of one of its series, that ended since an instant, sorted by
        their ends. `views`: the series whose windows these are."""
        recent = _in_memory(views, since_ms)
        if _reaches_back(kpi, views, since_ms):
            return PastWindows(tuple(recent), True)
        older = await self._read(kpi, dimensions, since_ms)
        known = {(w.dimensions, w.end_ms): w for w in recent}
        known |= {(w.dimensions, w.end_ms): w for w in older.windows if w.end_ms > since_ms}
        windows = sorted(known.values(), key=lambda window: window.end_ms)
        return PastWindows(tuple(windows), older.is_complete)

    async def _read(self, kpi: Kpi, dimensions: Dimensions | None, since_ms: int) -> PastWindows:
        key = kpi.name, dimensions, kpi.fingerprint
        async with self._lock:
            known = self._cache.get(key)
            if known is not None:
                read_at, read_since_ms, past = known
                if read_since_ms <= since_ms and self._clock_seconds() - read_at < CACHE_SECONDS:
                    return past
            past = await self._state.fleet.past(kpi, dimensions, since_ms)
            self._cache[key] = self._clock_seconds(), since_ms, past
            self._cache.move_to_end(key)
            while len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
            return past


def _in_memory(views: Iterable[SeriesView], since_ms: int) -> list[PastWindow]:
    windows = []
    for view in views:
        last = view.closed
        for end_ms, value in view.history:
            if end_ms <= since_ms:
                continue
            is_last = last is not None and last.end_ms == end_ms
            events = last.events if is_last and last is not None else None
            target = view.status.target if is_last and view.status is not None else None
            hidden = is_last and last is not None and last.hidden
            windows.append(
                PastWindow(view.series, end_ms, value, events, target=target, hidden=hidden)
            )
    return sorted(windows, key=lambda window: window.end_ms)


def _reaches_back(kpi: Kpi, views: Sequence[SeriesView], since_ms: int) -> bool:
    """Whether all windows since an instant are in memory."""
    return bool(views) and all(
        view.history and view.history[0][0] <= since_ms + kpi.window.step_ms for view in views
    )
