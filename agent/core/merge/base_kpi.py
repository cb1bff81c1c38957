"""One base KPI in one state partition: slices are merged into panes, panes into windows.

When the *frontier* (the watermark minus the lateness) advances, slices are sealed and windows
close, in the order of their ends, however far it advances. Time in which no series has anything to
do is skipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.evaluator import Evaluator
from agent.core.frame import Block
from agent.core.merge.due_windows import DueWindows
from agent.core.merge.live_series import LiveSeries, SeriesLimit
from agent.core.merge.missed_records import NONE_MISSED, MissedUnder
from agent.core.merge.open_windows import OpenWindows
from agent.core.merge.schedule import Schedule
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.merge.step import Step
from agent.core.merge.unsettled import UnsettledPartials
from agent.core.merge.watermark import ContractSources
from agent.core.merge.window_values import WindowValues
from agent.core.model.kpis import Dimensions
from agent.core.model.results import Number, WindowValue
from agent.core.state.series import Series, State


class BaseKpi:
    """A base KPI's unsealed slices and series."""

    def __init__(
        self,
        evaluator: Evaluator,
        limit: SeriesLimit,
        is_read: bool,
        missed: MissedUnder = NONE_MISSED,
        sources: ContractSources | None = None,
    ) -> None:
        """`is_read`: derived KPIs read its windows. `sources`: those of its contract; None: none of
        them is ever idle."""
        self.kpi = kpi = evaluator.kpi
        self.evaluator = evaluator
        self.frontier_ms: int | None = None
        self.touched: set[Dimensions] = set()  # series whose views are outdated
        self._aggregator = Aggregator(kpi)
        self._is_read = is_read
        self._schedule = Schedule(kpi, bool(evaluator.current_rules))
        self._series = LiveSeries(kpi, limit, self._schedule.add)
        self.slices = UnsealedSlices(kpi, self._aggregator)
        self.unsettled = UnsettledPartials(kpi, self._aggregator, sources)
        self._values = WindowValues(kpi, self._aggregator, self.evaluator, missed)
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
        """All series that may have windows that derived KPIs have not read."""
        return [*self._series.live.values(), *self._series.expired.values()]

    @property
    def overflowed(self) -> int:
        """How many series were folded into `__other__`."""
        return self._series.overflowed

    def find(self, dimensions: Dimensions) -> Series | None:
        """A series, live or not."""
        return self._series.find(dimensions)

    def unread(self, dimensions: Dimensions, end_ms: int) -> Number:
        """The value of a closed window that is kept for derived KPIs."""
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
            key = self.unsettled.stored(SliceKey.of(block, self.kpi), source, self.frontier_ms)
            if key is None:
                return len(block.keys)
            series_for = self._series.late_series_for
        self.slices.update(block, source, position, series_for, key)
        return 0

    def restore(self, series: Series) -> None:
        """Continue with a series from its row."""
        self.touched.add(series.dimensions or ())
        # A rule on current values that is new begins after the last window that closed.
        series.evaluated(max(series.evaluated_ms, series.closed_ms))
        self._series.restore(series)

    def continue_from(self, frontier_ms: int) -> None:
        """Continue after a frontier: the windows before it are in the restored series."""
        self.frontier_ms = frontier_ms

    # --- time moves on ---------------------------------------------------------------------

    def advance(self, frontier_ms: int) -> Step:
        """Seal every slice and close every window that ends by the frontier."""
        step = Step()
        if self.frontier_ms is not None and frontier_ms <= self.frontier_ms:
            return step
        self.frontier_ms = frontier_ms
        due, expired = DueWindows(self.evaluator, self._values), list[Series]()
        span, schedule = self.kpi.slice_ms, self._schedule
        sealing = deque(self.slices.ended(frontier_ms))
        is_settled = bool(sealing) and self.unsettled.are_none_at(frontier_ms)
        while True:
            due_ms = schedule.due_ms if self.series else None
            sealed_ms = sealing[0][0] + span if sealing else None
            instant = min((at for at in (due_ms, sealed_ms) if at is not None), default=None)
            if instant is None or instant > frontier_ms:
                break
            self._seal(sealing, frontier_ms, step, is_settled)
            if schedule.due_ms is not None and instant >= schedule.due_ms:
                next_start_ms = sealing[0][0] if sealing else None
                last_ms = schedule.last_alike(instant, next_start_ms, frontier_ms)
                moved = self._pass(instant, last_ms, step, due)
                if self.kpi.window.first_end_after(last_ms - 1) == last_ms:
                    expired += self.expire(last_ms, step)
                schedule.passed(last_ms, moved, self.series.values())
        if not self.series:
            schedule.clear()
        due.evaluate(step, self.series.values(), self._is_read)
        self.evaluate_absence(step, self.series.values(), frontier_ms)
        self.end_expired(expired, step)
        return step

    def stride_end_ms(self, frontier_ms: int, windows: int) -> int:
        """The instant up to which the frontier may move so that about so many windows close or
        are evaluated, one instant of them at least; `frontier_ms` where there are fewer."""
        return self._schedule.stride_end_ms(
            frontier_ms, self.slices.ends_ms, len(self.series), windows
        )

    def _seal(
        self,
        sealing: deque[tuple[int, list[SliceKey]]],
        frontier_ms: int,
        step: Step,
        is_settled: bool,
    ) -> None:
        """Seal slices: merge their partials from all sources into the panes. Slices that end before
        anything is due are merged together. `is_settled` False: some sources have not passed
        them."""
        per_slice = bool(self.evaluator.absences.per_series)  # which looks at each of them
        # By pane and series: the end of the last slice with events, and all states.
        sealed: dict[int, dict[Dimensions, tuple[int, list[State]]]] = {}
        with_events: dict[Dimensions, int] = {}
        start_ms = end_ms = 0
        while sealing and self._is_next(sealing[0][0] + self.kpi.slice_ms, frontier_ms):
            apart = [key for key in sealing[0][1] if key.folded or not is_settled]
            if apart and sealed:
                break
            start_ms, keys = sealing.popleft()
            end_ms = start_ms + self.kpi.slice_ms
            for key in apart:
                with_events |= dict.fromkeys(self._seal_apart(key, start_ms, step), end_ms)
            for key in keys:
                if key not in apart:
                    self._gather(key, end_ms, sealed.setdefault(key.pane_ms, {}), start_ms)
            if per_slice or apart:
                break
        for pane_ms, of_pane in sealed.items():
            for dimensions, (event_ms, states) in of_pane.items():
                series = self.series[dimensions]
                if series.unsettled:
                    self.unsettled.settle(series, self.slices)
                pane = series.panes.get(pane_ms)
                state = self._aggregator.merge_all(states if pane is None else [pane, *states])
                series.seal(pane_ms, state, end_ms)
                step.changed.add(dimensions)
                if event_ms > with_events.get(dimensions, 0):
                    with_events[dimensions] = event_ms
        for dimensions, event_ms in with_events.items():
            series = self.series[dimensions]
            if per_slice:
                step.transitions += self.evaluator.absences.evaluate(
                    series, event_ms, event_ms, start_ms
                )
            series.had_event(event_ms)

    def _is_next(self, end_ms: int, frontier_ms: int) -> bool:
        """Whether a slice with that end is sealed before the frontier and anything that is due."""
        due_ms = self._schedule.due_ms if self.series else None
        return end_ms <= frontier_ms and (due_ms is None or end_ms <= due_ms)

    def _gather(
        self,
        key: SliceKey,
        end_ms: int,
        of_pane: dict[Dimensions, tuple[int, list[State]]],
        start_ms: int,
    ) -> None:
        """Remove a slice and add its states to those of a pane."""
        for dimensions, state in self.slices.pop(key).states():
            known = of_pane.get(dimensions)
            if known is None:
                if dimensions not in self.series:
                    self._series.begin(dimensions, start_ms)
                of_pane[dimensions] = end_ms if state[0] else 0, [state]
                continue
            known[1].append(state)
            if state[0] and end_ms > known[0]:
                of_pane[dimensions] = end_ms, known[1]

    def _seal_apart(self, key: SliceKey, start_ms: int, step: Step) -> Iterator[Dimensions]:
        """Seal a slice whose partials some sources may still replace, or that replaces sealed ones;
        yields the series with new events."""
        end_ms = start_ms + self.kpi.slice_ms
        for partial, dimensions, state in self.unsettled.partials(key, self.slices.pop(key)):
            series = self.series.get(dimensions) or self._series.begin(dimensions, start_ms)
            step.changed.add(dimensions)
            if self.unsettled.seal(series, partial, state, end_ms):
                yield dimensions

    def _pass(self, instant: int, last_ms: int, step: Step, due: DueWindows) -> bool:
        """Evaluate current values from an instant to `last_ms`, and close the windows that end
        there; returns whether there were any."""
        moved = False
        if self.evaluator.current_rules:
            # Before closing, which drops the panes that no later window needs.
            for series in self.series.values():
                if last_ms > series.evaluated_ms:
                    first_ms = max(instant, self._schedule.slice_end(series.evaluated_ms))
                    due.note_current(series, first_ms, last_ms)
                    moved = True
        if self.kpi.window.first_end_after(last_ms - 1) == last_ms:
            closing = [series for series in self.series.values() if last_ms > series.closed_ms]
            due.close(closing, last_ms)
            step.changed.update(series.dimensions or () for series in closing)
            moved = moved or bool(closing)
        return moved

    # --- absence and the end ---------------------------------------------------------------

    def evaluate_absence(self, step: Step, series: Iterable[Series], frontier_ms: int) -> None:
        """Evaluate the absence rules of series."""
        if self.evaluator.absences.per_series:
            # The slice that the frontier is in may hold events that are not sealed yet.
            settled_ms = frontier_ms - frontier_ms % self.kpi.slice_ms
            for each in series:
                if each.last_event_ms > settled_ms:
                    continue  # just begun: an earlier event may still come
                transitions = self.evaluator.absences.evaluate(each, each.last_event_ms, settled_ms)
                if transitions:
                    step.transitions += transitions
                    step.changed.add(each.dimensions or ())

    def expire(self, at_ms: int, step: Step) -> list[Series]:
        """Expire the series without events for `expire_after`.

        Unsealed events make no difference: a series that has some starts over, as it would if they
        had not been read yet.
        """
        old = self._series.pop_old(at_ms)
        for series in old:
            dimensions = series.dimensions or ()
            step.changed.discard(dimensions)
            coming_ms = self.slices.first_ms_of(dimensions)
            if coming_ms is not None:
                self._series.begin(dimensions, coming_ms)
        return old

    def end_expired(self, expired: Iterable[Series], step: Step) -> None:
        """End the alerts of expired series, now that all their windows have closed."""
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

    def drain_touched(self) -> set[Dimensions]:
        """The series whose views are outdated."""
        touched, self.touched = self.touched, set()
        return touched.union(self.slices.drain_changed())

    def empty_value(self) -> Number:
        """The value of a window without events."""
        return self._values.empty()

    def last_evaluated(self, series: Series) -> WindowValue | None:
        """The window that rules on current values evaluated last, with its values at that time."""
        end = self.kpi.window.first_end_after(series.evaluated_ms - 1)
        if series.closed is not None and series.closed.end_ms >= end:
            return series.closed
        pair = self._values.pair(series, self.kpi.window.start_of(end), end)
        return self._values.of([(series, end)], [pair], is_open=True)[0]

    def open_windows(
        self, ends: Iterable[int], only: Collection[Dimensions] | None = None
    ) -> list[WindowValue]:
        """The open windows with these ends that have rows; `only`: of these series."""
        return self._open.at(ends, only)

    def all_open_windows(self) -> list[WindowValue]:
        """All open windows that have rows."""
        return self._open.all(self.frontier_ms)

    def current_end(self) -> int | None:
        """The end of the current window, for readers."""
        return self._open.current_end(self.frontier_ms)
