"""One KPI over events in one state partition: slices become panes, panes windows, in time order.

A *frontier* is the instant up to which event time is settled: the watermark less the lateness.
Moving the frontier seals slices (their partials from all sources become final) and closes windows;
both happen in the order of time, however far one step goes. Where no series has anything to do,
time jumps to the next instant at which one has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from agent.core.aggregate.aggregator import Aggregator
from agent.core.evaluate.current_values import CurrentSpan
from agent.core.evaluate.evaluator import Evaluator, Pair
from agent.core.frame import Block
from agent.core.merge.live_series import LiveSeries, SeriesLimit
from agent.core.merge.missed_records import NONE_MISSED, MissedRecords
from agent.core.merge.open_windows import OpenWindows
from agent.core.merge.slices import SliceKey, UnsealedSlices
from agent.core.merge.window_values import WindowValues
from agent.core.model.kpis import Dimensions
from agent.core.model.results import Number, TargetStatus, Transition, WindowValue
from agent.core.state.series import Series


@dataclass(slots=True)
class Step:
    """What one move of the frontier brought, each with its instant (ms) for the order."""

    closed: list[tuple[WindowValue, TargetStatus | None, list[Transition]]] = field(
        default_factory=list
    )
    transitions: list[Transition] = field(default_factory=list)
    changed: set[Dimensions] = field(default_factory=set)
    expired: set[Dimensions] = field(default_factory=set)


@dataclass(slots=True)
class _Due:
    """Windows, by their ends, whose values are computed together at the end of a step, and their
    states; those that rules on current values evaluate, with the first and the last instant at
    which they are so; and the series that expired meanwhile."""

    closed: list[tuple[Series, int]] = field(default_factory=list)
    closed_pairs: list[Pair] = field(default_factory=list)
    current: list[tuple[Series, int, int, int]] = field(default_factory=list)
    current_pairs: list[Pair] = field(default_factory=list)
    expired: list[Series] = field(default_factory=list)


class BaseKpi:
    """A base KPI's unsealed slices and series."""

    def __init__(
        self,
        evaluator: Evaluator,
        limit: SeriesLimit,
        is_read: bool,
        missed: MissedRecords = NONE_MISSED,
    ) -> None:
        """`is_read`: KPIs over this one read its windows."""
        self.kpi = kpi = evaluator.kpi
        self.evaluator = evaluator
        self.frontier_ms: int | None = None
        self.touched: set[Dimensions] = set()  # series whose view is old
        self._aggregator = Aggregator(kpi)
        self._is_read = is_read
        self._due_ms: int | None = None  # no series has anything to do before
        self._series = LiveSeries(kpi, limit, self._due_with)
        self.slices = UnsealedSlices(kpi, self._aggregator)
        self._values = WindowValues(kpi, self._aggregator, self.evaluator, missed)
        self._open = OpenWindows(
            kpi, self._aggregator, self._series.live, self.slices, self._values
        )

    @property
    def series(self) -> dict[Dimensions, Series]:
        """The live series."""
        return self._series.live

    @property
    def expiring(self) -> list[Series]:
        """Series that expired, but their last windows are not evaluated yet."""
        return self._series.expiring

    @property
    def unread_series(self) -> Iterable[Series]:
        """All series that may have windows which KPIs over this one have not read."""
        return [*self._series.live.values(), *self._series.expired.values()]

    @property
    def overflowed(self) -> int:
        """How many series were folded into `__other__`."""
        return self._series.overflowed

    def find(self, dimensions: Dimensions) -> Series | None:
        """A series, live or not."""
        return self._series.find(dimensions)

    def unread(self, dimensions: Dimensions, end_ms: int) -> Number:
        """The value of a closed window that is kept for KPIs over this one."""
        for series in (self._series.live.get(dimensions), self._series.expired.get(dimensions)):
            if series is not None and end_ms in series.unread:
                return series.unread[end_ms][0]
        return None

    # --- partials in -----------------------------------------------------------------------

    def take(self, block: Block, source: int, position: int) -> int:
        """Take a frame's cumulative partials of this KPI; the number that came too late."""
        end_ms = block.start_ms + self.kpi.slice_ms
        if self.frontier_ms is not None and end_ms <= self.frontier_ms:
            return len(block.keys)
        self.slices.take(block, source, position, self._series.series_for)
        return 0

    def restore(self, series: Series) -> None:
        """Continue with a series from its row."""
        self.touched.add(series.dimensions or ())
        # A rule on current values that is new begins after the last window that closed.
        series.evaluated(max(series.evaluated_ms, series.closed_ms))
        self._series.restore(series)

    # --- time moves on ---------------------------------------------------------------------

    def advance(self, frontier_ms: int) -> Step:
        """Seal every slice and close every window that ends by the frontier."""
        step = Step()
        if self.frontier_ms is not None and frontier_ms <= self.frontier_ms:
            return step
        self.frontier_ms = frontier_ms
        due, span = _Due(), self.kpi.slice_ms
        sealing = deque(self.slices.ended(frontier_ms))
        while True:
            due_ms = self._due_ms if self.series else None
            sealed_ms = sealing[0][0] + span if sealing else None
            instant = min((at for at in (due_ms, sealed_ms) if at is not None), default=None)
            if instant is None or instant > frontier_ms:
                break
            while sealing and sealing[0][0] + span <= instant:
                self._seal(*sealing.popleft(), step)
            if self._due_ms is not None and instant >= self._due_ms:
                last_ms = self._last_alike(instant, sealing, frontier_ms)
                moved = self._pass(instant, last_ms, step, due)
                self._due_ms = self._following(last_ms) if moved else self._earliest_due_ms()
        if not self.series:
            self._due_ms = None
        self._evaluate(due, step)
        self.evaluate_absence(step, self.series.values(), frontier_ms)
        self.end_expired(due.expired, step)
        return step

    def stride_end_ms(self, frontier_ms: int, windows: int) -> int:
        """The instant up to which the frontier may move so that about so many windows close or
        are evaluated, one instant of them at least; `frontier_ms` where there are fewer."""
        firsts = [self.slices.first_end_ms, self._due_ms if self.series else None]
        first_ms = min((at for at in firsts if at is not None), default=None)
        if first_ms is None or first_ms >= frontier_ms:
            return frontier_ms
        instants = max(windows // max(len(self.series), 1), 1)
        end_ms = first_ms + (instants - 1) * self.kpi.window.step_ms
        if self.evaluator.current_rules:
            # They are evaluated wherever a slice with events ends, too.
            ends = self.slices.ends_ms
            end_ms = min([end_ms, *ends[instants - 1 : instants]])
        return min(frontier_ms, end_ms)

    def _seal(self, start_ms: int, keys: Iterable[SliceKey], step: Step) -> None:
        """Make a slice's partials final: merged over the sources into the panes."""
        merge, end_ms = self._aggregator.merge, start_ms + self.kpi.slice_ms
        with_events: dict[Dimensions, None] = {}
        for key in keys:
            for dimensions, states in self.slices.pop(key).items():
                series = self.series.get(dimensions) or self._series.begin(dimensions, start_ms)
                state = self._aggregator.merge_all(states)
                known = series.panes.get(key.pane_ms)
                series.seal(key.pane_ms, state if known is None else merge(known, state), end_ms)
                step.changed.add(dimensions)
                if state[0]:
                    with_events[dimensions] = None
        for dimensions in with_events:
            series = self.series[dimensions]
            if self.evaluator.series_absences:
                step.transitions += self.evaluator.evaluate_absence(
                    series, end_ms, end_ms, start_ms
                )
            series.had_event(end_ms)

    # --- instants --------------------------------------------------------------------------

    def _last_alike(
        self, instant: int, sealing: Sequence[tuple[int, list[SliceKey]]], frontier_ms: int
    ) -> int:
        """Up to which instant every window stays what it is at this one: to the end of a window, or
        before the next slice with events."""
        if not self.evaluator.current_rules:
            return instant
        span = self.kpi.slice_ms
        ends = [self.kpi.window.first_end_after(instant - 1), frontier_ms - frontier_ms % span]
        if sealing:
            ends.append(sealing[0][0])  # the end of the slice before
        return max(instant, min(ends))

    def _pass(self, instant: int, last_ms: int, step: Step, due: _Due) -> bool:
        """Note the windows that are evaluated from an instant to the last one that is like it, and
        close there; False: there are none."""
        is_end = self.kpi.window.first_end_after(last_ms - 1) == last_ms
        moved = False
        for series in self.series.values():
            # Before closing, which drops the panes that no later window needs.
            if self.evaluator.current_rules and last_ms > series.evaluated_ms:
                first_ms = max(instant, self._slice_end(series.evaluated_ms))
                self._note_current(series, first_ms, last_ms, due)
                moved = True
            if is_end and last_ms > series.closed_ms:
                self._note_closed(series, last_ms, due)
                step.changed.add(series.dimensions or ())
                moved = True
        if is_end:
            due.expired += self.expire(last_ms, step)
        return moved

    def _note_closed(self, series: Series, end_ms: int, due: _Due) -> None:
        start_ms = self.kpi.window.start_of(end_ms)
        due.closed.append((series, end_ms))
        due.closed_pairs.append(self._values.pair(series, start_ms, end_ms))
        series.close(end_ms)
        series.drop_panes(self._values.oldest_pane_ms(end_ms))

    def _note_current(self, series: Series, first_ms: int, last_ms: int, due: _Due) -> None:
        """Note the window that is open just before some instants, for rules on current values."""
        end_ms = self.kpi.window.first_end_after(last_ms - 1)
        due.current.append((series, end_ms, first_ms, last_ms))
        start_ms = self.kpi.window.start_of(end_ms)
        due.current_pairs.append(self._values.pair(series, start_ms, end_ms))
        series.evaluated(last_ms)

    def _due_with(self, series: Series) -> None:
        """Note that a series that begins has something to do."""
        due_ms = self._following(series.closed_ms)
        if self._due_ms is None or due_ms < self._due_ms:
            self._due_ms = due_ms

    def _following(self, instant: int) -> int:
        """The next instant at which a series that is as far as this one has anything to do:
        windows end, and current values are evaluated where slices end."""
        end = self.kpi.window.first_end_after(instant)
        return min(end, self._slice_end(instant)) if self.evaluator.current_rules else end

    def _earliest_due_ms(self) -> int | None:
        """The first instant at which any series has anything to do."""
        closed_ms = min((series.closed_ms for series in self.series.values()), default=None)
        if closed_ms is None:
            return None
        end = self.kpi.window.first_end_after(closed_ms)
        if not self.evaluator.current_rules:
            return end
        return min(end, self._slice_end(min(s.evaluated_ms for s in self.series.values())))

    def _slice_end(self, at_ms: int) -> int:
        return at_ms - at_ms % self.kpi.slice_ms + self.kpi.slice_ms

    # --- evaluation ------------------------------------------------------------------------

    def _evaluate(self, due: _Due, step: Step) -> None:
        windows = self._values.of(due.closed, due.closed_pairs)
        closed = [(series, w) for (series, _), w in zip(due.closed, windows, strict=True)]
        windows = self._values.of([(s, end) for s, end, _, _ in due.current], due.current_pairs)
        spans = [
            CurrentSpan(series, window, first_ms, last_ms)
            for (series, _, first_ms, last_ms), window in zip(due.current, windows, strict=True)
        ]
        for some_spans, some_closed in self._in_turn(spans, closed):
            for window, transitions in self.evaluator.evaluate_current(some_spans):
                step.transitions += transitions
                if transitions:
                    step.changed.add(window.dimensions)
            step.closed += self.evaluator.close_windows(some_closed, self.series.values())
        if self._is_read:
            for series, window in closed:
                series.keep(window.end_ms, window.value, window.events)

    def _in_turn(
        self, spans: list[CurrentSpan], closed: list[tuple[Series, WindowValue]]
    ) -> Iterator[tuple[list[CurrentSpan], list[tuple[Series, WindowValue]]]]:
        """What is evaluated together. Where rules on current values look back, what they see must
        be the past of their own instant: the windows before it, and none that closes later."""
        if not self.evaluator.current_rules.has_features:
            yield spans, closed
            return
        rest = deque(spans)
        by_end = sorted(closed, key=lambda item: item[1].end_ms)
        for end_ms, windows in groupby(by_end, lambda item: item[1].end_ms):
            now: list[CurrentSpan] = []
            while rest and rest[0].last_ms <= end_ms:
                now.append(rest.popleft())
            yield now, list(windows)
        yield list(rest), []

    def evaluate_absence(self, step: Step, series: Iterable[Series], frontier_ms: int) -> None:
        """Evaluate how long series have had no event."""
        if self.evaluator.series_absences:
            # The slice that the frontier is in may hold events that are not sealed yet.
            settled_ms = frontier_ms - frontier_ms % self.kpi.slice_ms
            for one in series:
                if one.last_event_ms > settled_ms:
                    continue  # just begun: an earlier event may still come
                found = self.evaluator.evaluate_absence(one, one.last_event_ms, settled_ms)
                if found:
                    step.transitions += found
                    step.changed.add(one.dimensions or ())

    def expire(self, at_ms: int, step: Step) -> list[Series]:
        """Expire the series that had no event for long.

        What is known of later events makes no difference: a series that comes again starts over, as
        it does when those events are not read yet.
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

    # --- looking at it ---------------------------------------------------------------------

    def drain_touched(self) -> set[Dimensions]:
        """The series whose view is old."""
        touched, self.touched = self.touched, set()
        return touched.union(self.slices.drain_changed())

    def empty_value(self) -> Number:
        """The value of a window without events."""
        return self._values.empty()

    def last_evaluated(self, series: Series) -> WindowValue | None:
        """The window that rules on current values evaluated last, as it stood then."""
        end = self.kpi.window.first_end_after(series.evaluated_ms - 1)
        if series.closed is not None and series.closed.end_ms >= end:
            return series.closed
        pair = self._values.pair(series, self.kpi.window.start_of(end), end)
        return self._values.of([(series, end)], [pair], is_open=True)[0]

    def open_windows(
        self, ends: Iterable[int], only: Collection[Dimensions] | None = None
    ) -> list[WindowValue]:
        """The windows with these ends as they stand now; only those that hold rows, and only of
        some series if these are named."""
        return self._open.at(ends, only)

    def all_open_windows(self) -> list[WindowValue]:
        """All windows that hold rows and are not closed."""
        return self._open.all(self.frontier_ms)

    def current_end(self) -> int | None:
        """The end of the window that a reader calls the current one."""
        return self._open.current_end(self.frontier_ms)
