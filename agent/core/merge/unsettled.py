"""Partials that come to a slice after it was sealed, and those that may be followed by such.

A source that is idle does not hold back event time: slices are sealed that its own watermark has
not passed. Records may still come to it that count in open windows; its cumulative partial of the
slice then replaces the one that was sealed. So

1. what such a source has sent of a slice is sealed into no pane, but kept apart in the series, and
   counts in its windows beside the panes (`agent.core.state.series.PartialId`);
2. what it sends later is stored in the slice that the frontier is in, the oldest that is not
   sealed, with its pane, and replaces what is kept apart once that slice is sealed;
3. once the source's own watermark has passed the slice, or it has ended, nothing more comes: its
   partial becomes part of the pane when a slice of the series is sealed next.

Windows that are closed stay as they are. A partial of which all windows are closed is late; so is
one of a slice from before a backfill was adopted.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.aggregate.aggregator import Aggregator
from agent.core.frame import named
from agent.core.merge.slice_partials import SlicePartials
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.merge.watermark import ContractSources
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.state.series import PartialId, Series, State


class UnsettledPartials:
    """What sources may still replace of one KPI's sealed slices. `sources` None: all have passed
    what is sealed."""

    def __init__(self, kpi: Kpi, aggregator: Aggregator, sources: ContractSources | None) -> None:
        # With a backfill, the slices before are in its rows, or came while the KPI waited for it:
        # a restart can't know which of their partials came before they were sealed.
        self.begun_ms: int | None = None
        self._kpi = kpi
        self._aggregator = aggregator
        self._sources = sources
        self._span_ms = kpi.slice_ms + kpi.lateness_ms

    def are_none_at(self, frontier_ms: int) -> bool:
        """Whether all sources have passed what is sealed at a frontier."""
        return self._sources is None or self._sources.have_passed(
            frontier_ms + self._kpi.lateness_ms
        )

    def stored(self, key: SliceKey, source: int, frontier_ms: int) -> SliceKey | None:
        """Where the partial of a sealed slice is stored; None: it is late."""
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
        """The partials of a slice, with the series that they go to."""
        start_ms, is_late = key.folded or (key.start_ms, key.late)
        for source, name, dimensions, state in of_slice.partials():
            topic, partition, epoch = self._sources.name_of(source) if self._sources else ("", 0, 0)
            own = b"" if named(name) == dimensions else name
            yield (
                PartialId(topic, partition, epoch, start_ms, is_late, key.pane_ms, own),
                dimensions,
                state,
            )

    def seal(self, series: Series, partial: PartialId, state: State, end_ms: int) -> bool:
        """Seal a partial into its pane, or keep it apart; whether it has events that are new."""
        before = series.pop_unsettled(partial)
        if self._is_final(partial):
            self._add(series, partial.pane_ms, state, end_ms)
        else:
            series.keep_apart(partial, state, end_ms)
        return bool(state[0] > (before[0] if before else 0))

    def settle(self, series: Series, slices: UnsealedSlices) -> None:
        """Make those that nothing follows part of their panes."""
        if any((series.dimensions or ()) in held for held in slices.replacing.values()):
            return  # something newer may wait to be sealed
        for partial in sorted(series.unsettled or ()):
            if self._is_final(partial):
                state = series.pop_unsettled(partial)
                if state is not None:
                    self._add(series, partial.pane_ms, state, series.sealed_ms)

    def replaced(self, slices: UnsealedSlices) -> set[PartialId]:
        """Those of which there is a newer one that is not sealed yet."""
        replacing = slices.replacing.items()
        return {partial for key, of in replacing for partial, _, _ in self.partials(key, of)}

    def _is_final(self, partial: PartialId) -> bool:
        return self._sources is None or self._sources.is_final(
            partial.topic, partial.partition, partial.epoch, partial.start_ms + self._span_ms
        )

    def _add(self, series: Series, pane_ms: int, state: State, end_ms: int) -> None:
        known = series.panes.get(pane_ms)
        merged = state if known is None else self._aggregator.merge(known, state)
        series.seal(pane_ms, merged, end_ms)
