"""The series of a base KPI: which exist, which are new, and what is left of those that expired.

| a series is | until |
|---|---|
| live | it has had no event for `expire_after` |
| expiring | its last windows are evaluated: they wait for those of benchmarks |
| expired | the KPIs over this one have read its last windows |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.core.frame import named, series_key
from agent.core.model.kpis import OTHER, Dimensions, Kpi
from agent.core.state.series import Series

NAMES_KEPT = 10_000
"""Keys that are cached beyond those of live series: of series that expired, or found no room."""


@dataclass(frozen=True, slots=True)
class SeriesLimit:
    """How many series of a KPI one state partition holds, and how many bytes their rows may have;
    `bytes_held` says how many they have."""

    most_series: int
    most_bytes: int
    bytes_held: Callable[[], int]

    def is_reached(self, series: int) -> bool:
        """Whether there is no room for one more."""
        return series >= self.most_series or self.bytes_held() >= self.most_bytes


def limit_of(kpi: Kpi, partitions: int, bytes_held: Callable[[], int] = lambda: 0) -> SeriesLimit:
    """What one of so many state partitions holds of a KPI."""
    # By few dimensions, many series may share a partition.
    share = partitions if kpi.placement is None else 1
    return SeriesLimit(
        math.ceil(kpi.max_series / share), math.ceil(kpi.max_state_bytes / share), bytes_held
    )


class LiveSeries:
    """The series of a KPI in one state partition. `on_begin` is called with each that begins, or
    begins earlier than it did."""

    def __init__(self, kpi: Kpi, limit: SeriesLimit, on_begin: Callable[[Series], None]) -> None:
        self.live: dict[Dimensions, Series] = {}
        self.expiring: list[Series] = []
        self.expired: dict[Dimensions, Series] = {}
        self._kpi = kpi
        self._limit = limit
        self._on_begin = on_begin
        self._names: dict[bytes, Dimensions] = {}  # by the keys in frames
        self._overflow: set[Dimensions] = set()  # folded into `OTHER`

    @property
    def overflowed(self) -> int:
        """How many series found no room; counted up to the limit, to stay small."""
        return len(self._overflow)

    def find(self, dimensions: Dimensions) -> Series | None:
        """A series, live or not."""
        series = self.live.get(dimensions) or self.expired.get(dimensions)
        if series is None and self.expiring:
            series = next((s for s in self.expiring if s.dimensions == dimensions), None)
        return series

    def series_for(self, start_ms: int, key: bytes) -> Dimensions | None:
        """The series that a key's partials of a slice go to; None: the slice was sealed before a
        restart, and the row has it."""
        dimensions = self._names.get(key)
        if dimensions is None:
            dimensions = self._named(key)
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
        """As `series_for`, of partials of slices that are sealed: they go where those are kept
        apart that they may replace, though there may be room for the series now."""
        other = self.live.get((OTHER,) * len(self._named(key)))
        if other is not None and any(partial.key == key for partial in other.unsettled or ()):
            key = series_key(other.dimensions or ())
        return self.series_for(start_ms, key)

    def _named(self, key: bytes) -> Dimensions:
        if len(self._names) > 2 * len(self.live) + NAMES_KEPT:
            self._names = {}
        dimensions = self._names[key] = named(key)
        return dimensions

    def _admitted(self, dimensions: Dimensions) -> Dimensions:
        """A new series, or the one that takes in what exceeds the limit."""
        if not dimensions or not self._limit.is_reached(len(self.live)):
            return dimensions
        if len(self._overflow) < self._limit.most_series:
            self._overflow.add(dimensions)
        return (OTHER,) * len(dimensions)

    def begin(self, dimensions: Dimensions, at_ms: int) -> Series:
        """A new series, whose first event lies in the slice that starts at `at_ms`."""
        series = Series.new(self._kpi.name, self._kpi.fingerprint, dimensions, at_ms)
        self.live[dimensions] = series
        self._on_begin(series)
        return series

    def restore(self, series: Series) -> None:
        """Continue with a series from its row."""
        self.live[series.dimensions or ()] = series
        self._on_begin(series)

    def pop_old(self, at_ms: int) -> list[Series]:
        """The live series that had no event for long at an instant; they are no longer live."""
        oldest_ms = at_ms - self._kpi.expire_after_ms
        old = [d for d, series in self.live.items() if series.last_event_ms < oldest_ms]
        return [self.live.pop(dimensions) for dimensions in old]

    def keep_unread(self, series: Series) -> None:
        """Keep what KPIs over this one have not read of a series that expired."""
        dimensions = series.dimensions or ()
        following = self.live.get(dimensions) or self.expired.get(dimensions)
        if following is not None:
            following.inherit_unread(series)
        elif series.unread:
            self.expired[dimensions] = series

    def drop_read(self, old: Iterable[Series]) -> set[Dimensions]:
        """Drop what has been read; of that, and of series that just expired, those of which nothing
        is left."""
        read = [d for d, series in self.expired.items() if not series.unread]
        for dimensions in read:
            del self.expired[dimensions]
        gone = {*read, *(s.dimensions or () for s in old)}
        kept = {s.dimensions or () for s in self.expiring}
        return {d for d in gone if d not in self.live and d not in self.expired and d not in kept}
