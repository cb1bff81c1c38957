"""Evaluates rules on current values (`on: current`), efficiently over slices without events.

Such rules are evaluated at the end of every slice (docs/decisions/0008). While slices have no
events, the window and the conditions stay the same, and an alert changes only when `for` or
`keep_firing_for` ends. So in a span of such slices, only the first end, the ends at which an alert
changes, and the last end are evaluated. The result is the same as evaluating every slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from agent.core.evaluate.maintenance import MaintenanceCalendar
from agent.core.evaluate.thresholds import Inputs, Peers, Thresholds
from agent.core.model.kpis import Kpi
from agent.core.model.results import Transition, WindowValue
from agent.core.state.series import Series

NO_PEERS = Peers(())
"""Rules on current values do not compare peers: `agent.language.checks` rejects that."""


@dataclass(frozen=True, slots=True)
class CurrentSpan:
    """A window of a series that is the same at all ends of slices from `first_ms` to `last_ms`."""

    series: Series
    window: WindowValue
    first_ms: int
    last_ms: int

    def is_in(self, maintenance: MaintenanceCalendar, at_ms: int) -> bool:
        """Whether the window up to an instant overlaps maintenance."""
        window = self.window
        return maintenance.covering(window.dimensions, window.start_ms, at_ms) is not None


class CurrentValues:
    """The rules of one KPI on current values."""

    def __init__(
        self, kpi: Kpi, maintenance: MaintenanceCalendar, rules: Thresholds, inputs: Inputs
    ) -> None:
        self._slice_ms = kpi.slice_ms
        self._maintenance = maintenance
        self._rules = rules
        self._inputs = inputs

    def evaluate(
        self, spans: Iterable[CurrentSpan]
    ) -> Iterator[tuple[WindowValue, list[Transition]]]:
        """Evaluate spans in the order of their ends, and change the alerts of their series. Yields
        a window and its transitions for each evaluation, in the order of instants; instants in
        maintenance are not evaluated."""
        for _, group in groupby(spans, lambda span: span.last_ms):
            yield from self._evaluate(list(group))

    def _evaluate(
        self, spans: Sequence[CurrentSpan]
    ) -> Iterator[tuple[WindowValue, list[Transition]]]:
        """Evaluate spans that end at the same instant."""
        rules = self._rules
        due = {i: (span.first_ms, self._slice_ms) for i, span in enumerate(spans)}
        while due:
            at_ms = min(instant for instant, _ in due.values())
            now = [i for i, (instant, _) in due.items() if instant == at_ms]
            outside = [i for i in now if not spans[i].is_in(self._maintenance, at_ms)]
            inputs = [
                self._inputs.current(spans[i].series, spans[i].window, at_ms, due[i][1])
                for i in outside
            ]
            steps = rules.evaluate([(e, rules.compute_features(e, NO_PEERS)) for e in inputs])
            for i, step in zip(outside, steps, strict=True):
                yield spans[i].window, step
            for i in now:
                next_ms = self._next_instant(spans[i], at_ms)
                if next_ms is None:
                    del due[i]
                else:
                    due[i] = (next_ms, next_ms - at_ms)

    def _next_instant(self, span: CurrentSpan, at_ms: int) -> int | None:
        """The next instant at which the window of a span must be evaluated; None: the span is
        done."""
        if at_ms >= span.last_ms:
            return None
        if span.is_in(self._maintenance, span.last_ms):
            return at_ms + self._slice_ms  # maintenance begins in it
        change_ms = self._rules.next_change_ms(span.series, at_ms)
        if change_ms is None:
            return span.last_ms
        return min(span.last_ms, -(-change_ms // self._slice_ms) * self._slice_ms)
