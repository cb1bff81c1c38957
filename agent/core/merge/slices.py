"""The unsealed slices of one KPI."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import Block
from agent.core.merge.slice_partials import SlicePartials
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.state.series import State

SeriesFor = Callable[[int, bytes], Dimensions | None]
"""Maps the start of a slice (ms) and a key to the series of its partials; None: drop them."""


class SliceKey(NamedTuple):
    """A slice, and the pane of its rows. `late`: the source folded the rows after the slice of
    their time was sealed, so their pane may be earlier than the slice. `origin`: if the merger
    stores rows in a later slice than the source, because that slice is sealed: the start of the
    source's slice, and whether the rows were late there."""

    start_ms: int
    late: bool
    pane_ms: int
    origin: tuple[int, bool] | tuple[()] = ()

    @classmethod
    def of_block(cls, block: Block, kpi: Kpi) -> SliceKey:
        """The key of a block's rows."""
        if block.pane_ms is not None:
            return cls(block.start_ms, True, block.pane_ms)
        return cls(block.start_ms, False, kpi.window.pane_start(block.start_ms))

    def stored_in(self, start_ms: int) -> SliceKey:
        """The key of the same rows in a later slice."""
        return SliceKey(start_ms, True, self.pane_ms, (self.start_ms, self.late))


class UnsealedSlices:
    """The slices of one KPI in one state partition, until they are sealed."""

    def __init__(self, kpi: Kpi, aggregator: Aggregator) -> None:
        self._kpi = kpi
        self._aggregator = aggregator
        self._slices: dict[SliceKey, SlicePartials] = {}
        self._positions: dict[SliceKey, int] = {}  # of the first frame that has partials of it
        self._replacing: dict[SliceKey, SlicePartials] = {}  # those with `folded`, mostly none
        self._newest_pane_ms: int | None = None  # of those that were sealed

    def update(
        self,
        block: Block,
        source: int,
        position: int,
        series_for: SeriesFor,
        key: SliceKey | None = None,
    ) -> None:
        """Replace the partials of a source in a slice by newer cumulative ones. `key`: where to
        store them, if not in the slice of the block."""
        key = key or SliceKey.of_block(block, self._kpi)
        known = self._slices.get(key)
        of_slice = known
        if of_slice is None:
            of_slice = SlicePartials(self._aggregator, partial(series_for, key.start_ms))
        of_slice.update(block, source)
        if known is None and len(of_slice):
            self._slices[key] = of_slice
            self._positions[key] = position
            if key.origin:
                self._replacing[key] = of_slice

    @property
    def positions(self) -> Collection[int]:
        """The positions of the first frame of each slice."""
        return self._positions.values()

    @property
    def ends_ms(self) -> list[int]:
        """The ends of the slices, ascending."""
        return sorted({key.start_ms + self._kpi.slice_ms for key in self._slices})

    @property
    def newest_ms(self) -> int | None:
        """The start of the newest slice, or of the newest sealed pane if that is later."""
        # The slice is more precise than its pane, which may have just begun.
        starts = [k.pane_ms if k.late else k.start_ms for k in self._slices]
        if self._newest_pane_ms is not None:
            starts.append(self._newest_pane_ms)
        return max(starts, default=None)

    @property
    def starts_ms(self) -> set[int]:
        """The starts of the slices or, for late rows, of their panes."""
        return {key.pane_ms if key.late else key.start_ms for key in self._slices}

    def ended(self, frontier_ms: int) -> list[tuple[int, list[SliceKey]]]:
        """The slices that end by an instant, grouped by start, ascending."""
        span = self._kpi.slice_ms
        keys = sorted(key for key in self._slices if key.start_ms + span <= frontier_ms)
        return [(start, list(group)) for start, group in groupby(keys, attrgetter("start_ms"))]

    @property
    def replacing(self) -> Mapping[SliceKey, SlicePartials]:
        """The slices whose rows may replace sealed ones."""
        return self._replacing

    def pop(self, key: SliceKey) -> SlicePartials:
        """Remove a slice to seal it."""
        del self._positions[key]
        self._replacing.pop(key, None)
        if self._newest_pane_ms is None or key.pane_ms > self._newest_pane_ms:
            self._newest_pane_ms = key.pane_ms
        return self._slices.pop(key)

    def drain_changed(self) -> Iterator[Dimensions]:
        """The series whose partials changed since the last call."""
        for of_slice in self._slices.values():
            yield from of_slice.drain_changed()

    def first_ms_of(self, dimensions: Dimensions) -> int | None:
        """The start of the first slice with rows of a series; None: there is none."""
        starts = (k.start_ms for k, of_slice in self._slices.items() if dimensions in of_slice)
        return min(starts, default=None)

    def between(
        self, start_ms: int, end_ms: int, only: Collection[Dimensions] | None
    ) -> dict[Dimensions, list[State]]:
        """The states of slices between two instants, by series; `only`: of these series."""
        wanted = (
            of_slice
            for key, of_slice in self._slices.items()
            if start_ms <= key.pane_ms and max(key.start_ms, key.pane_ms) < end_ms
        )
        by_series: dict[Dimensions, list[State]] = {}
        for dimensions, state in chain.from_iterable(partials.states(only) for partials in wanted):
            by_series.setdefault(dimensions, []).append(state)
        return by_series
