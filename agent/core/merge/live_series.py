"""The series of a base KPI: live ones, and expired ones that are still needed.

| a series is | until |
|---|---|
| live | it has had no event for `expire_after` |
| expiring | its last windows are evaluated, after those of its benchmarks |
| expired | other KPIs have read its last windows |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.core.frame import dimensions_of_key, series_key
from agent.core.model.kpis import OTHER, Dimensions, Kpi
from agent.core.state.series import Series

KEYS_KEPT = 10_000
"""The number of cached keys beyond those of live series, for series that expired or overflowed."""


@dataclass(frozen=True, slots=True)
class SeriesLimit:
    """The limits of a KPI in one state partition: the number of series and the size of their rows;
    `bytes_held` gives the current size."""

    most_series: int
    most_bytes: int
    bytes_held: Callable[[], int]

    def is_reached(self, series: int) -> bool:
        """Whether no series may be added."""
        return series >= self.most_series or self.bytes_held() >= self.most_bytes


def series_limit(
    kpi: Kpi, partitions: int, bytes_held: Callable[[], int] = lambda: 0
) -> SeriesLimit:
    """The limits of a KPI in one of `partitions` state partitions."""
    # With a placement by few dimensions, all series may be in one partition.
    share = partitions if kpi.placement is None else 1
    return SeriesLimit(
        math.ceil(kpi.max_series / share), math.ceil(kpi.max_state_bytes / share), bytes_held
    )


class LiveSeries:
    """The series of a KPI in one state partition. `on_begin` is called with each series that
    begins, or whose start moves back."""

    def __init__(self, kpi: Kpi, limit: SeriesLimit, on_begin: Callable[[Series], None]) -> None:
        self.live: dict[Dimensions, Series] = {}
        self.expiring: list[Series] = []
        self.expired: dict[Dimensions, Series] = {}
        self._kpi = kpi
        self._limit = limit
        self._on_begin = on_begin
        self._dimensions_by_key: dict[bytes, Dimensions] = {}  # by the keys in frames
        self._overflow: set[Dimensions] = set()  # folded into `OTHER`

    @property
    def overflowed(self) -> int:
        """The number of series that were folded into `OTHER`, counted up to the limit."""
        return len(self._overflow)

    def find(self, dimensions: Dimensions) -> Series | None:
        """A series: live, expiring or expired."""
        series = self.live.get(dimensions) or self.expired.get(dimensions)
        if series is None and self.expiring:
            series = next((s for s in self.expiring if s.dimensions == dimensions), None)
        return series

    def series_for(self, start_ms: int, key: bytes) -> Dimensions | None:
        """The series for a key's partials of a slice, which begins if it is new. None: the slice
        was sealed before a restart, and the row contains it."""
        dimensions = self._dimensions_by_key.get(key)
        if dimensions is None:
            dimensions = self._dimensions_of(key)
        known = self.live.get(dimensions)
        if known is None:
            dimensions = self._admitted(dimensions)
            known = self.live.get(dimensions)
        if known is None:
            series = self.begin(dimensions, start_ms)
            if dimensions in self.expired:
                series.inherit_unread(self.expired.pop(dimensions))
        elif start_ms < known.sealed_ms:
            if not known.begin_earlier(start_ms):
                return None
            self._on_begin(known)
        return dimensions

    def late_series_for(self, start_ms: int, key: bytes) -> Dimensions | None:
        """As `series_for`, for partials of sealed slices. If `OTHER` has unsettled partials of the
        key, they go there to replace these, even if the series could be added now."""
        other = self.live.get((OTHER,) * len(self._dimensions_of(key)))
        if other is not None and any(partial.key == key for partial in other.unsettled or ()):
            key = series_key(other.dimensions or ())
        return self.series_for(start_ms, key)

    def _dimensions_of(self, key: bytes) -> Dimensions:
        if len(self._dimensions_by_key) > 2 * len(self.live) + KEYS_KEPT:
            self._dimensions_by_key = {}
        dimensions = self._dimensions_by_key[key] = dimensions_of_key(key)
        return dimensions

    def _admitted(self, dimensions: Dimensions) -> Dimensions:
        """The series to begin: the new one, or `OTHER` beyond the limits."""
        if not dimensions or not self._limit.is_reached(len(self.live)):
            return dimensions
        if len(self._overflow) < self._limit.most_series:
            self._overflow.add(dimensions)
        return (OTHER,) * len(dimensions)

    def begin(self, dimensions: Dimensions, at_ms: int) -> Series:
        """Begin a series, with its first event in the slice that starts at `at_ms`."""
        series = Series.new(self._kpi.name, self._kpi.fingerprint, dimensions, at_ms)
        self.live[dimensions] = series
        self._on_begin(series)
        return series

    def restore(self, series: Series) -> None:
        """Continue with a series from its row."""
        self.live[series.dimensions or ()] = series
        self._on_begin(series)

    def pop_old(self, at_ms: int) -> list[Series]:
        """Remove and return the live series that, at an instant, had no event for
        `expire_after`."""
        oldest_ms = at_ms - self._kpi.expire_after_ms
        old = [d for d, series in self.live.items() if series.last_event_ms < oldest_ms]
        return [self.live.pop(dimensions) for dimensions in old]

    def keep_unread(self, series: Series) -> None:
        """Keep the unread windows of a series that expired."""
        dimensions = series.dimensions or ()
        successor = self.live.get(dimensions) or self.expired.get(dimensions)
        if successor is not None:
            successor.inherit_unread(series)
        elif series.unread:
            self.expired[dimensions] = series

    def drop_read(self, old: Iterable[Series]) -> set[Dimensions]:
        """Drop the expired series that are read. Returns, of these and of `old` (just expired),
        those that exist in no state any more."""
        read = [d for d, series in self.expired.items() if not series.unread]
        for dimensions in read:
            del self.expired[dimensions]
        gone = {*read, *(s.dimensions or () for s in old)}
        kept = {s.dimensions or () for s in self.expiring}
        return {d for d in gone if d not in self.live and d not in self.expired and d not in kept}
