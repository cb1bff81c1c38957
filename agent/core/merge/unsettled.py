"""Partials of sealed slices that their sources may still replace.

An idle source does not hold back event time, so slices are sealed that its own watermark has not
passed. It may still receive records that count in open windows; its cumulative partial of the slice
then replaces the one that was sealed. So:

1. When a slice is sealed, the partial of such a source is not merged into the pane. It stays an
   *unsettled* partial of the series, and counts in windows in addition to the panes
   (`agent.core.state.series.PartialId`).
2. A later partial is stored in the slice of the frontier, the oldest that is not sealed, with its
   own pane. When that slice is sealed, it replaces the unsettled partial.
3. Once the source's own watermark has passed the slice, or the source has ended, its partial is
   final. It is merged into the pane when the next slice of the series is sealed.

Closed windows never change. A partial is late if all its windows are closed, or if its slice is
earlier than the end of a backfill.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import dimensions_of_key
from agent.core.merge.slice_partials import SlicePartials
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.merge.watermark import ContractSources
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.state.series import PartialId, Series, State


class UnsettledPartials:
    """The unsettled partials of one KPI. `sources` None: no partial is ever unsettled."""

    def __init__(self, kpi: Kpi, aggregator: Aggregator, sources: ContractSources | None) -> None:
        # The first slice after a backfill. Earlier slices are in its rows, or arrived while the KPI
        # waited: a restart cannot know which of their partials arrived before they were sealed.
        self.begun_ms: int | None = None
        self._kpi = kpi
        self._aggregator = aggregator
        self._sources = sources
        self._span_ms = kpi.slice_ms + kpi.lateness_ms

    def all_settled_at(self, frontier_ms: int) -> bool:
        """Whether all sources have passed the slices that are sealed at a frontier."""
        return self._sources is None or self._sources.have_passed(
            frontier_ms + self._kpi.lateness_ms
        )

    def key_for_late(self, key: SliceKey, source: int, frontier_ms: int) -> SliceKey | None:
        """The key under which a partial of a sealed slice is stored; None: drop it as late."""
        is_past = self.begun_ms is not None and key.start_ms < self.begun_ms
        if self._sources is None or is_past:
            return None
        is_open = self._kpi.window.last_end_over(key.pane_ms) > frontier_ms
        name = self._sources.name_of(source)
        if not is_open or self._sources.is_final(*name, key.start_ms + self._span_ms):
            return None
        return key.stored_in(frontier_ms - frontier_ms % self._kpi.slice_ms)

    def partials(
        self, key: SliceKey, of_slice: SlicePartials
    ) -> Iterator[tuple[PartialId, Dimensions, State]]:
        """The partials of a slice, each with its series and state."""
        start_ms, is_late = key.origin or (key.start_ms, key.late)
        for source, name, dimensions, state in of_slice.partials():
            topic, partition, epoch = self._sources.name_of(source) if self._sources else ("", 0, 0)
            own = b"" if dimensions_of_key(name) == dimensions else name
            yield (
                PartialId(topic, partition, epoch, start_ms, is_late, key.pane_ms, own),
                dimensions,
                state,
            )

    def seal(self, series: Series, partial: PartialId, state: State, end_ms: int) -> bool:
        """Merge a partial into its pane if it is final, otherwise keep it as unsettled; returns
        whether it has new events."""
        before = series.pop_unsettled(partial)
        if self._is_final(partial):
            self._add(series, partial.pane_ms, state, end_ms)
        else:
            series.keep_unsettled(partial, state, end_ms)
        return bool(state[0] > (before[0] if before else 0))

    def settle(self, series: Series, slices: UnsealedSlices) -> None:
        """Merge final partials into their panes."""
        if any((series.dimensions or ()) in of_slice for of_slice in slices.replacing.values()):
            return  # there may be a newer partial that is not sealed yet
        for partial in sorted(series.unsettled or ()):
            if self._is_final(partial):
                state = series.pop_unsettled(partial)
                if state is not None:
                    self._add(series, partial.pane_ms, state, series.sealed_ms)

    def replaced(self, slices: UnsealedSlices) -> set[PartialId]:
        """The unsettled partials that newer, unsealed ones replace."""
        replacing = slices.replacing.items()
        return {partial for key, rows in replacing for partial, _, _ in self.partials(key, rows)}

    def _is_final(self, partial: PartialId) -> bool:
        return self._sources is None or self._sources.is_final(
            partial.topic, partial.partition, partial.epoch, partial.start_ms + self._span_ms
        )

    def _add(self, series: Series, pane_ms: int, state: State, end_ms: int) -> None:
        known = series.panes.get(pane_ms)
        merged = state if known is None else self._aggregator.merge(known, state)
        series.seal(pane_ms, merged, end_ms)
