"""One KPI in one state partition: slices become panes, panes become windows, in event-time order.

`BaseKpi` holds a KPI over events. A *frontier* is the instant up to which event time is settled:
the watermark less the lateness. Moving the frontier seals slices (their partials from all sources
become final) and closes windows; both happen in the order of time, however far one step goes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.rows import SlicePartials
from agent.core.evaluate.evaluator import Evaluator, Pair
from agent.core.frame import Block, named
from agent.core.merge.missed_records import NONE_MISSED, MissedRecords
from agent.core.model.plan import OTHER, Dimensions, Kpi, Plan
from agent.core.model.results import TargetStatus, Transition, WindowValue
from agent.core.model.windows import ends_between, previous_start
from agent.core.state.series import Series, State, born

NAMES_KEPT = 10_000
"""So many keys of series that are no more, or have no room, are known still."""


class SliceKey(NamedTuple):
    """A slice, and the pane that its rows belong to; `late`: they came after the slice of their
    time was sealed, so their pane may be an earlier one than the slice's own."""

    start_ms: int
    late: bool
    pane_ms: int

    @classmethod
    def of(cls, block: Block, kpi: Kpi) -> SliceKey:
        """Where a block's rows go."""
        if block.pane_ms is not None:
            return cls(block.start_ms, True, block.pane_ms)
        return cls(block.start_ms, False, kpi.window.pane_start(block.start_ms))


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
class Work:
    """Windows, by their ends, whose values are computed together at the end of a step, and their
    states; those that are judged with the instant of it."""

    closed: list[tuple[Series, int]]
    closed_pairs: list[Pair]
    judged: list[tuple[Series, int, int]]
    judged_pairs: list[Pair]
    forgotten: list[Series]


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
    # By few dimensions, many series may share a place.
    share = partitions if kpi.placement is None else 1
    return SeriesLimit(
        math.ceil(kpi.max_series / share), math.ceil(kpi.max_state_bytes / share), bytes_held
    )


class BaseKpi:
    """A base KPI's unsealed slices and series."""

    def __init__(
        self,
        plan: Plan,
        kpi: Kpi,
        limit: SeriesLimit,
        kept: bool,
        missed: MissedRecords = NONE_MISSED,
    ) -> None:
        self.kpi = kpi
        self.evaluator = Evaluator(plan, kpi)
        self.series: dict[Dimensions, Series] = {}
        # Forgotten, but KPIs over this one have not used its last windows yet.
        self.departed: dict[Dimensions, Series] = {}
        self.leaving: list[Series] = []  # forgotten, but their last windows are not judged yet
        self.frontier_ms: int | None = None
        self.first_positions: dict[SliceKey, int] = {}
        self.turned_away: set[Dimensions] = set()
        self._aggregator = Aggregator(kpi)
        self._has_retention = kpi.has_retention
        self._slices: dict[SliceKey, SlicePartials] = {}
        self._names: dict[bytes, Dimensions] = {}  # by the keys in frames
        self._limit = limit
        self._missed = missed
        self._kept = kept  # whether KPIs over this one wait for its windows
        # No series has anything to do before this instant.
        self._due_ms: int | None = None
        self._newest_pane: int | None = None
        self.touched: set[Dimensions] = set()  # series whose view is old

    # --- partials in -----------------------------------------------------------------------

    def take(self, block: Block, source: int, position: int) -> int:
        """Take a frame's cumulative partials of this KPI; the number that came too late.

        A partial replaces the one known from the same source.
        """
        start = block.start_ms
        if self.frontier_ms is not None and start + self.kpi.slice_ms <= self.frontier_ms:
            return len(block.keys)
        key = SliceKey.of(block, self.kpi)
        of_slice = self._slices.get(key)
        if of_slice is None:
            if len(self._names) > 2 * len(self.series) + NAMES_KEPT:
                self._names = {}
            of_slice = SlicePartials(self._aggregator, partial(self._home, start))
        of_slice.take(block, source)
        if len(of_slice) and key not in self._slices:
            self._slices[key] = of_slice
            self.first_positions[key] = position
        return 0

    def _home(self, start_ms: int, key: bytes) -> Dimensions | None:
        """The series that a key's partials of a slice go to; None: the slice was sealed before a
        restart, and the row has it."""
        dimensions = self._names.get(key)
        if dimensions is None:
            dimensions = self._names[key] = named(key)
        known = self.series.get(dimensions)
        if known is None:
            return self._admit(dimensions, start_ms)
        if start_ms < known.sealed_ms:
            if not known.lowered(start_ms):
                return None
            self._sooner(known)
        return known.dimensions or ()

    def _admit(self, dimensions: Dimensions, at_ms: int) -> Dimensions:
        """Begin a series, or name the one that takes in what exceeds the limit."""
        home = dimensions
        if dimensions and self._limit.is_reached(len(self.series)):
            if (
                len(self.turned_away) < self._limit.most_series
            ):  # counted up to there, to stay small
                self.turned_away.add(dimensions)
            home = (OTHER,) * len(dimensions)
        if home not in self.series:
            self.series[home] = born(self.kpi.name, self.kpi.fingerprint, home, at_ms)
            self._sooner(self.series[home])
            if home in self.departed:
                self.series[home].waiting = self.departed.pop(home).waiting
        return home

    def restore(self, series: Series) -> None:
        """Take on a series from its row."""
        self.series[series.dimensions or ()] = series
        self.touched.add(series.dimensions or ())
        # A rule on current values that is new begins after the last window that closed.
        series.judged_ms = max(series.judged_ms, series.closed_ms)
        self._sooner(series)

    def _sooner(self, series: Series) -> None:
        due_ms = self._following(series.closed_ms)
        if self._due_ms is None or due_ms < self._due_ms:
            self._due_ms = due_ms

    def look(self) -> set[Dimensions]:
        """The series whose view is old."""
        for of_slice in self._slices.values():
            self.touched |= of_slice.news()
        return self.touched

    # --- time moves on ---------------------------------------------------------------------

    def advance(self, frontier_ms: int) -> Step:
        """Seal every slice and close every window that ends by the frontier.

        Instants at which nothing can happen cost nothing, however far the frontier moves: where
        no series has a window to close or to judge, time jumps to the next instant that has one.
        """
        step = Step()
        if self.frontier_ms is not None and frontier_ms <= self.frontier_ms:
            return step
        self.frontier_ms = frontier_ms
        work = Work([], [], [], [], [])
        span = self.kpi.slice_ms
        keys = sorted(key for key in self._slices if key.start_ms + span <= frontier_ms)
        sealing = deque((start, list(of)) for start, of in groupby(keys, attrgetter("start_ms")))
        while True:
            due_ms = self._due_ms if self.series else None
            sealed_ms = sealing[0][0] + span if sealing else None
            instant = min((at for at in (due_ms, sealed_ms) if at is not None), default=None)
            if instant is None or instant > frontier_ms:
                break
            while sealing and sealing[0][0] + span <= instant:
                self._seal(*sealing.popleft(), step)
            if self._due_ms is not None and instant >= self._due_ms:
                moved = self._pass(instant, step, work)
                self._due_ms = self._following(instant) if moved else self._earliest_due_ms()
        if not self.series:
            self._due_ms = None
        self._tell(work, step)
        self._silences(step, self.series.values(), frontier_ms)
        self._part(work.forgotten, step)
        return step

    def _pass(self, instant: int, step: Step, work: Work) -> bool:
        """Note the windows that close, and are judged, at an instant; False: there are none."""
        is_end = self.kpi.window.first_end_after(instant - 1) == instant
        moved = False
        for series in list(self.series.values()):
            # Before closing, which drops the panes that no later window needs.
            if self.evaluator.current_rules and instant > series.judged_ms:
                self._judge_at(series, instant, work)
                moved = True
            if is_end and instant > series.closed_ms:
                self._close_at(series, instant, work)
                step.changed.add(series.dimensions or ())
                moved = True
        if is_end:
            self._expire(instant, step, work)
        return moved

    def _following(self, instant: int) -> int:
        """The next instant at which a series that is as far as this one has anything to do:
        windows end, and current values are judged where slices end."""
        end = self.kpi.window.first_end_after(instant)
        if not self.evaluator.current_rules:
            return end
        return min(end, instant - instant % self.kpi.slice_ms + self.kpi.slice_ms)

    def _earliest_due_ms(self) -> int | None:
        """The first instant at which any series has anything to do."""
        closed_ms = min((series.closed_ms for series in self.series.values()), default=None)
        if closed_ms is None:
            return None
        end = self.kpi.window.first_end_after(closed_ms)
        if not self.evaluator.current_rules:
            return end
        judged_ms = min(series.judged_ms for series in self.series.values())
        return min(end, judged_ms - judged_ms % self.kpi.slice_ms + self.kpi.slice_ms)

    def stride_end_ms(self, frontier_ms: int, windows: int) -> int:
        """The instant up to which the frontier may move so that about so many windows close or
        are judged, one instant of them at least; `frontier_ms` where there are fewer."""
        first_ms = min((key.start_ms for key in self._slices), default=None)
        if first_ms is not None:
            first_ms += self.kpi.slice_ms
        if self.series and self._due_ms is not None:
            first_ms = self._due_ms if first_ms is None else min(first_ms, self._due_ms)
        if first_ms is None or first_ms >= frontier_ms:
            return frontier_ms
        every_ms = self.kpi.window.step_ms
        if self.evaluator.current_rules:
            every_ms = min(every_ms, self.kpi.slice_ms)
        instants = max(windows // max(len(self.series), 1), 1)
        return min(frontier_ms, first_ms + (instants - 1) * every_ms)

    def _seal(self, start: int, keys: Iterable[SliceKey], step: Step) -> None:
        """Make a slice's partials final: merged over the sources into the panes."""
        merge = self._aggregator.merge
        end = start + self.kpi.slice_ms
        seen: dict[Dimensions, None] = {}
        for key in keys:
            pane = key.pane_ms
            self.first_positions.pop(key, None)
            if self._newest_pane is None or pane > self._newest_pane:
                self._newest_pane = pane
            for dimensions, states in _by_series(self._slices.pop(key).states()).items():
                series = self.series.get(dimensions)
                if series is None:
                    series = self.series[dimensions] = born(
                        self.kpi.name, self.kpi.fingerprint, dimensions, start
                    )
                    self._sooner(series)
                state = self._aggregator.merge_all(states)
                known = series.panes.get(pane)
                series.panes[pane] = state if known is None else merge(known, state)
                series.sealed_ms = end
                step.changed.add(dimensions)
                if state[0]:
                    seen[dimensions] = None
        for dimensions in seen:
            series = self.series[dimensions]
            if self.evaluator.series_absences:
                step.transitions += self.evaluator.evaluate_absence(series, end, end, start)
            series.last_event_ms = end

    def _close_at(self, series: Series, end_ms: int, work: Work) -> None:
        window = self.kpi.window
        start = window.start_of(end_ms)
        work.closed.append((series, end_ms))
        work.closed_pairs.append(self._pair(series, start, end_ms))
        series.closed_ms = end_ms
        oldest = window.start_of(window.first_end_after(end_ms))
        if self._has_retention:
            oldest = window.start_of(oldest)
        for pane in [p for p in series.panes if p < oldest]:
            del series.panes[pane]

    def _judge_at(self, series: Series, instant: int, work: Work) -> None:
        """Note the window that is open just before an instant, for rules on current values."""
        end = self.kpi.window.first_end_after(instant - 1)
        start = self.kpi.window.start_of(end)
        work.judged.append((series, end, instant))
        work.judged_pairs.append(self._pair(series, start, end))
        series.judged_ms = instant

    def _windows(
        self, of: Iterable[tuple[Series, int]], pairs: Sequence[Pair], open_: bool = False
    ) -> list[WindowValue]:
        """The windows of series with these ends, from their states."""
        name, start_of = self.kpi.name, self.kpi.window.start_of
        calm = self.evaluator.maintenance.covering
        made, touched = [], self._missed.touch
        for (series, end), pair, value in zip(of, pairs, self.evaluator.values(pairs), strict=True):
            dimensions, start = series.dimensions or (), start_of(end)
            maintenance = calm(dimensions, start, end)
            made.append(
                WindowValue(
                    name,
                    dimensions,
                    start,
                    end,
                    value,
                    pair[0][0],
                    open_,
                    maintenance,
                    touched(start, end),
                )
            )
        return made

    def _pair(self, series: Series, start: int, end: int) -> Pair:
        state = self._over(series, start, end)
        if not self._has_retention:
            return state, None
        earlier = previous_start(self.kpi.window, end)
        return state, self._over(series, earlier, start) if start > series.first_ms else None

    def _over(self, series: Series, start: int, end: int) -> State:
        panes = series.panes
        if not panes:
            return self._aggregator.empty()
        if len(panes) < 2:  # mostly: a tumbling window is one pane
            states = [s for pane, s in panes.items() if start <= pane < end]
        else:
            states = [s for pane, s in sorted(panes.items()) if start <= pane < end]
        return self._aggregator.merge_all(states)

    # --- judgement -------------------------------------------------------------------------

    def _tell(self, work: Work, step: Step) -> None:
        windows = self._windows(work.closed, work.closed_pairs)
        valued = [(series, w) for (series, _), w in zip(work.closed, windows, strict=True)]
        step.closed += self.evaluator.close_windows(valued, self.series.values())
        if self._kept:
            for series, window in valued:
                series.waiting[window.end_ms] = (window.value, window.events)
        windows = self._windows(
            [(series, end) for series, end, _ in work.judged], work.judged_pairs
        )
        looked = [
            (series, window, instant)
            for (series, _, instant), window in zip(work.judged, windows, strict=True)
        ]
        for _, window, transitions in self.evaluator.evaluate_current(looked):
            step.transitions += transitions
            if transitions:
                step.changed.add(window.dimensions)

    def _silences(self, step: Step, of: Iterable[Series], frontier_ms: int) -> None:
        if self.evaluator.series_absences:
            # The slice that the frontier is in may hold events that are not sealed yet.
            settled_ms = frontier_ms - frontier_ms % self.kpi.slice_ms
            for series in of:
                if series.last_event_ms > settled_ms:
                    continue  # just begun: an earlier event may still come
                found = self.evaluator.evaluate_absence(series, series.last_event_ms, settled_ms)
                if found:
                    step.transitions += found
                    step.changed.add(series.dimensions or ())

    def _expire(self, at_ms: int, step: Step, work: Work) -> None:
        """Forget the series that had no event for long.

        What is known of later events makes no difference: one that comes again begins anew, as it
        does when those events are not read yet.
        """
        oldest = at_ms - self.kpi.expire_after_ms
        old = [d for d, series in self.series.items() if series.last_event_ms < oldest]
        for dimensions in old:
            work.forgotten.append(self.series.pop(dimensions))
            step.changed.discard(dimensions)
            coming = [
                key.start_ms for key, of_slice in self._slices.items() if dimensions in of_slice
            ]
            if coming:
                self.series[dimensions] = born(
                    self.kpi.name, self.kpi.fingerprint, dimensions, min(coming)
                )  # due later than anything that is due now

    def _part(self, forgotten: Iterable[Series], step: Step) -> None:
        """End the alerts of forgotten series, now that all their windows have been judged."""
        for series in forgotten:
            dimensions = series.dimensions or ()
            self._silences(step, (series,), series.closed_ms)
            if series.unjudged:
                self.leaving.append(series)
            else:
                step.transitions += self.evaluator.close_alerts(series)
            following = self.series.get(dimensions) or self.departed.get(dimensions)
            if following is not None:
                following.waiting |= series.waiting
            elif series.waiting:
                self.departed[dimensions] = series
        used = [d for d, series in self.departed.items() if not series.waiting]
        for dimensions in used:
            del self.departed[dimensions]
        gone = [*used, *(s.dimensions or () for s in forgotten)]
        kept = {*self.series, *self.departed, *(s.dimensions or () for s in self.leaving)}
        step.expired.update(d for d in gone if d not in kept)

    # --- looking at it ---------------------------------------------------------------------

    def empty_value(self) -> float | None:
        """The value of a window without events."""
        return self.evaluator.values([(self._aggregator.empty(), None)])[0]

    def looked(self, series: Series) -> WindowValue | None:
        """The window that rules on current values judged last, as it stood then."""
        end = self.kpi.window.first_end_after(series.judged_ms - 1)
        if series.closed is not None and series.closed.end_ms >= end:
            return series.closed
        start = self.kpi.window.start_of(end)
        pair = self._pair(series, start, end)
        return self._windows([(series, end)], [pair], open_=True)[0]

    def open_windows(
        self, ends: Iterable[int], only: Collection[Dimensions] | None = None
    ) -> list[WindowValue]:
        """The windows with these ends as they stand now, unsealed slices included; only those
        that hold rows, and only of some series if these are named."""
        found: list[tuple[Series, int]] = []
        pairs: list[Pair] = []
        wanted = self.series if only is None else [d for d in only if d in self.series]
        merge = self._aggregator.merge_all
        for end in ends:
            start = self.kpi.window.start_of(end)
            now = self._unsealed(start, end, only)
            before: dict[Dimensions, list[State]] = {}
            if self._has_retention:
                before = self._unsealed(previous_start(self.kpi.window, end), start, only)
            for dimensions in wanted:
                series = self.series[dimensions]
                if end <= series.closed_ms:
                    continue
                state, previous = self._pair(series, start, end)
                if loose := now.get(dimensions):
                    state = merge([state, *loose] if series.panes else loose)
                if not state[0]:
                    continue
                if previous is not None:
                    previous = merge([previous, *before.get(dimensions, ())])
                pairs.append((state, previous))
                found.append((series, end))
        return self._windows(found, pairs, open_=True)

    def current_end(self) -> int | None:
        """The end of the window that a reader calls the current one: the earliest-ending one that
        ends after the watermark and holds rows, else the one that waits for late events."""
        # Of a slice that is not sealed, its own start: its pane may only have begun.
        newest = max((k.pane_ms if k.late else k.start_ms for k in self._slices), default=None)
        if self._newest_pane is not None:
            newest = max(self._newest_pane, newest or self._newest_pane)
        if newest is None:
            return None
        window = self.kpi.window
        if self.frontier_ms is None:
            return window.first_end_after(newest)
        end = window.first_end_after(self.frontier_ms + self.kpi.lateness_ms)
        return end if newest >= window.start_of(end) else window.last_end_over(newest)

    def open_ends(self) -> list[int]:
        """The ends of all windows that hold rows and are not closed, ascending."""
        window = self.kpi.window
        starts = {key.pane_ms if key.late else key.start_ms for key in self._slices}
        for series in self.series.values():
            starts.update(pane for pane in series.panes)
        ends: set[int] = set()
        for start in starts:
            ends.update(ends_between(window, start, window.last_end_over(start)))
        return sorted(e for e in ends if self.frontier_ms is None or e > self.frontier_ms)

    def _unsealed(
        self, start: int, end: int, only: Collection[Dimensions] | None
    ) -> dict[Dimensions, list[State]]:
        """What unsealed slices between two instants hold, by series; of some only, if named."""
        wanted = (
            of_slice
            for key, of_slice in self._slices.items()
            if start <= key.pane_ms and max(key.start_ms, key.pane_ms) < end
        )
        return _by_series(chain.from_iterable(of_slice.states(only) for of_slice in wanted))


def _by_series(states: Iterable[tuple[Dimensions, State]]) -> dict[Dimensions, list[State]]:
    """All states of each series."""
    found: dict[Dimensions, list[State]] = {}
    for dimensions, state in states:
        found.setdefault(dimensions, []).append(state)
    return found
