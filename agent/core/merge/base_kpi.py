"""One base KPI in one state partition: merges slices into panes, and panes into windows.

When the *frontier* (the watermark minus the lateness) advances, slices are sealed and windows
closed, in the order of their ends. Time in which no series is due is skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.evaluator import Evaluator
from agent.core.frame import Block
from agent.core.merge.due_windows import DueWindows, SeriesTimer
from agent.core.merge.live_series import LiveSeries, SeriesLimit
from agent.core.merge.missed_records import NONE_MISSED, MissedForKpi
from agent.core.merge.sealing import Sealing
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.merge.step import Step
from agent.core.merge.unsettled import UnsettledPartials
from agent.core.merge.watermark import ContractSources
from agent.core.merge.window_values import OpenWindows, WindowValues
from agent.core.model.kpis import Dimensions
from agent.core.model.results import Number, WindowValue
from agent.core.state.series import Series


class BaseKpi:
    """The unsealed slices and the series of a base KPI."""

    def __init__(
        self,
        evaluator: Evaluator,
        limit: SeriesLimit,
        is_read: bool,
        missed: MissedForKpi = NONE_MISSED,
        sources: ContractSources | None = None,
    ) -> None:
        """`is_read`: other KPIs read its windows, as inputs or benchmarks. `sources`: those of its
        contract; None: no source is ever idle."""
        self.kpi = kpi = evaluator.kpi
        self.evaluator = evaluator
        self.frontier_ms: int | None = None
        self.changed_views: set[Dimensions] = set()  # series whose views are outdated
        self._aggregator = Aggregator(kpi)
        self._is_read = is_read
        self._timer = SeriesTimer(kpi, bool(evaluator.current_rules))
        self._series = LiveSeries(kpi, limit, self._timer.add)
        self.slices = UnsealedSlices(kpi, self._aggregator)
        self.unsettled = UnsettledPartials(kpi, self._aggregator, sources)
        self._values = WindowValues(kpi, self._aggregator, self.evaluator, missed)
        self._sealing = Sealing(
            evaluator, self._aggregator, self._series, self._timer, self.slices, self.unsettled
        )
        self._open = OpenWindows(
            kpi, self._aggregator, self._series.live, self.slices, self._values, self.unsettled
        )

    @property
    def series(self) -> dict[Dimensions, Series]:
        """The live series."""
        return self._series.live

    @property
    def expiring(self) -> list[Series]:
        """Expired series whose last windows are not evaluated yet."""
        return self._series.expiring

    @property
    def unread_series(self) -> Iterable[Series]:
        """All series that may have windows that other KPIs have not read."""
        return [*self._series.live.values(), *self._series.expired.values()]

    @property
    def overflowed(self) -> int:
        """How many series were folded into `__other__`."""
        return self._series.overflowed

    def find(self, dimensions: Dimensions) -> Series | None:
        """A series, also one that has expired but is still needed."""
        return self._series.find(dimensions)

    def unread(self, dimensions: Dimensions, end_ms: int) -> Number:
        """The value of a closed window that is kept for other KPIs."""
        for series in (self._series.live.get(dimensions), self._series.expired.get(dimensions)):
            if series is not None and end_ms in series.unread:
                return series.unread[end_ms][0]
        return None

    # --- partials in -----------------------------------------------------------------------

    def update(self, block: Block, source: int, position: int) -> int:
        """Replace the partials of a source in a slice by newer cumulative ones; returns how many
        are late."""
        key, series_for = None, self._series.series_for
        if self.frontier_ms is not None and block.start_ms + self.kpi.slice_ms <= self.frontier_ms:
            key = self.unsettled.key_for_late(
                SliceKey.of_block(block, self.kpi), source, self.frontier_ms
            )
            if key is None:
                return len(block.keys)
            series_for = self._series.late_series_for
        self.slices.update(block, source, position, series_for, key)
        return 0

    def restore(self, series: Series) -> None:
        """Continue with a series from its row."""
        self.changed_views.add(series.dimensions or ())
        # A new rule on current values starts after the last closed window.
        series.evaluated(max(series.evaluated_ms, series.closed_ms))
        self._series.restore(series)

    def continue_from(self, frontier_ms: int) -> None:
        """Continue from a frontier: the restored series contain the windows before it."""
        self.frontier_ms = frontier_ms

    # --- event time ------------------------------------------------------------------------

    def advance(self, frontier_ms: int) -> Step:
        """Seal every slice and close every window that ends by the frontier."""
        step = Step()
        if self.frontier_ms is not None and frontier_ms <= self.frontier_ms:
            return step
        self.frontier_ms = frontier_ms
        due, expired = DueWindows(self.evaluator, self._values), list[Series]()
        sealing, timer = self._sealing, self._timer
        sealing.start(frontier_ms)
        while True:
            due_ms = timer.due_ms if self.series else None
            instants = [at for at in (due_ms, sealing.next_end_ms) if at is not None]
            instant = min(instants, default=None)
            if instant is None or instant > frontier_ms:
                break
            sealing.seal_next(step)
            if timer.due_ms is not None and instant >= timer.due_ms:
                last_ms = timer.last_same_ms(instant, sealing.next_start_ms, frontier_ms)
                any_due = self._note_due(instant, last_ms, step, due)
                if self.kpi.window.first_end_after(last_ms - 1) == last_ms:
                    expired += self.expire(last_ms, step)
                timer.advance(last_ms, any_due, self.series.values())
        if not self.series:
            timer.clear()
        due.evaluate(step, self.series.values(), self._is_read)
        self.evaluate_absence(step, self.series.values(), frontier_ms)
        self.end_expired(expired, step)
        return step

    def stride_end_ms(self, frontier_ms: int, windows: int) -> int:
        """How far the frontier may advance at once (`SeriesTimer.stride_end_ms`)."""
        return self._timer.stride_end_ms(
            frontier_ms, self.slices.ends_ms, len(self.series), windows
        )

    def _note_due(self, instant: int, last_ms: int, step: Step, due: DueWindows) -> bool:
        """Note the open windows to evaluate from an instant to `last_ms`, and close the windows
        that end there; returns whether there were any."""
        any_due = False
        if self.evaluator.current_rules:
            # Before closing, which drops the panes that no later window needs.
            for series in self.series.values():
                if last_ms > series.evaluated_ms:
                    first_ms = max(instant, self._timer.slice_end(series.evaluated_ms))
                    due.note_current(series, first_ms, last_ms)
                    any_due = True
        if self.kpi.window.first_end_after(last_ms - 1) == last_ms:
            closing = [series for series in self.series.values() if last_ms > series.closed_ms]
            due.close(closing, last_ms)
            step.changed.update(series.dimensions or () for series in closing)
            any_due = any_due or bool(closing)
        return any_due

    # --- absence and the end ---------------------------------------------------------------

    def evaluate_absence(self, step: Step, series: Iterable[Series], frontier_ms: int) -> None:
        """Evaluate the absence rules of series."""
        if self.evaluator.absences.per_series:
            # Events in the slice that contains the frontier are not sealed yet.
            settled_ms = frontier_ms - frontier_ms % self.kpi.slice_ms
            for each in series:
                if each.last_event_ms > settled_ms:
                    continue  # it has just begun, and an earlier event may still arrive
                transitions = self.evaluator.absences.evaluate(each, each.last_event_ms, settled_ms)
                if transitions:
                    step.transitions += transitions
                    step.changed.add(each.dimensions or ())

    def expire(self, at_ms: int, step: Step) -> list[Series]:
        """Expire the series without events for `expire_after`.

        A series with unsealed events expires, too, and begins again: as if these events had not
        been read yet.
        """
        old = self._series.pop_old(at_ms)
        for series in old:
            dimensions = series.dimensions or ()
            step.changed.discard(dimensions)
            first_ms = self.slices.first_ms_of(dimensions)
            if first_ms is not None:
                self._series.begin(dimensions, first_ms)
        return old

    def end_expired(self, expired: Iterable[Series], step: Step) -> None:
        """End the alerts of expired series once all their windows are evaluated."""
        expired = list(expired)
        for series in expired:
            self.evaluate_absence(step, (series,), series.closed_ms)
            if series.pending_evaluation:
                self._series.expiring.append(series)
            else:
                step.transitions += self.evaluator.close_alerts(series)
            self._series.keep_unread(series)
        step.expired.update(self._series.drop_read(expired))

    # --- views -----------------------------------------------------------------------------

    def drain_changed_views(self) -> set[Dimensions]:
        """The series whose views changed since the last call."""
        changed, self.changed_views = self.changed_views, set()
        return changed.union(self.slices.drain_changed())

    def empty_value(self) -> Number:
        """The value of a window without events."""
        return self._values.empty()

    def last_evaluated(self, series: Series) -> WindowValue | None:
        """The last window that rules on current values evaluated, with its values of that time."""
        end = self.kpi.window.first_end_after(series.evaluated_ms - 1)
        if series.closed is not None and series.closed.end_ms >= end:
            return series.closed
        pair = self._values.states(series, self.kpi.window.start_of(end), end)
        return self._values.windows([(series, end)], [pair], is_open=True)[0]

    def open_windows(
        self, ends: Iterable[int], only: Collection[Dimensions] | None = None
    ) -> list[WindowValue]:
        """The open windows with these ends that have events; `only`: of these series."""
        return self._open.at(ends, only)

    def all_open_windows(self) -> list[WindowValue]:
        """All open windows that have events."""
        return self._open.all(self.frontier_ms)

    def current_end(self) -> int | None:
        """The end of the window that views show as current (`OpenWindows.current_end`)."""
        return self._open.current_end(self.frontier_ms)
