"""Rules on current values over spans of time in which nothing comes.

Such rules are evaluated at the ends of slices (docs/decisions/0008). Between two of them that have
no events, the window stays as it is, and so do the conditions: an alert changes at most once, when
`for` or `keep_firing_for` has gone by. So of a span, only its first instant, those at which an
alert changes, and its last one are evaluated. The outcome is that of evaluating each slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.core.evaluate.maintenance import MaintenanceCalendar
from agent.core.evaluate.thresholds import EvaluationInput, Peers, Thresholds
from agent.core.model.kpis import Kpi
from agent.core.model.results import Transition, WindowValue
from agent.core.state.series import Series

NO_PEERS = Peers(())
"""Rules on current values compare no groups: `agent.language.checks` refuses them."""


@dataclass(frozen=True, slots=True)
class CurrentSpan:
    """A window of a series that is the same at all ends of slices from `first_ms` to `last_ms`."""

    series: Series
    window: WindowValue
    first_ms: int
    last_ms: int

    def is_calm(self, maintenance: MaintenanceCalendar, at_ms: int) -> bool:
        """Whether the window had no maintenance by an instant."""
        window = self.window
        return maintenance.covering(window.dimensions, window.start_ms, at_ms) is None


class EvaluatesCurrent(Protocol):
    """What evaluates the windows of one KPI."""

    kpi: Kpi
    maintenance: MaintenanceCalendar
    current_rules: Thresholds

    def current_input(
        self, series: Series, window: WindowValue, at_ms: int, step_ms: int | None = None
    ) -> EvaluationInput:
        """A window as the rules see it at an instant."""


def evaluate_spans(
    evaluator: EvaluatesCurrent, spans: Sequence[CurrentSpan]
) -> list[tuple[WindowValue, list[Transition]]]:
    """Evaluate spans that end at the same instant: each window with its transitions, in the order
    of their instants. The series are changed."""
    rules, calendar = evaluator.current_rules, evaluator.maintenance
    evaluated = []
    due = {i: (span.first_ms, evaluator.kpi.slice_ms) for i, span in enumerate(spans)}
    while due:
        at_ms = min(instant for instant, _ in due.values())
        now = [i for i, (instant, _) in due.items() if instant == at_ms]
        calm = [i for i in now if spans[i].is_calm(calendar, at_ms)]
        inputs = [
            evaluator.current_input(spans[i].series, spans[i].window, at_ms, due[i][1])
            for i in calm
        ]
        steps = rules.evaluate([(one, rules.compute_features(one, NO_PEERS)) for one in inputs])
        evaluated += [(spans[i].window, step) for i, step in zip(calm, steps, strict=True)]
        for i in now:
            next_ms = _next_instant(evaluator, spans[i], at_ms)
            if next_ms is None:
                del due[i]
            else:
                due[i] = (next_ms, next_ms - at_ms)
    return evaluated


def _next_instant(evaluator: EvaluatesCurrent, span: CurrentSpan, at_ms: int) -> int | None:
    """When the window of a span is to be evaluated again; None: not in this span."""
    if at_ms >= span.last_ms:
        return None
    slice_ms = evaluator.kpi.slice_ms
    if not span.is_calm(evaluator.maintenance, span.last_ms):
        return at_ms + slice_ms  # maintenance begins in it
    change_ms = evaluator.current_rules.next_change_ms(span.series, at_ms)
    if change_ms is None:
        return span.last_ms
    return min(span.last_ms, -(-change_ms // slice_ms) * slice_ms)
