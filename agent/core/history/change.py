"""`change('1 week')`: a value against that of an earlier window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.core.history.calendar_spans import Span, back
from agent.core.model.history import UNKNOWN, FeatureContext
from agent.core.model.windows import CalendarWindow, Window


@dataclass(frozen=True, slots=True)
class Change:
    """The value less that of the window a span before; `relative`: as a share of the earlier one's
    size. `span` None: against the window just before, without overlap.

    With calendar windows, the window that holds the start of this one moved back; with fixed ones,
    the one that ended a span before this one, on the local clock.
    """

    text: str
    span: Span | None
    relative: bool
    zone: str
    depends_on_alerts: ClassVar[bool] = False

    def describe(self, result: float | None, memory: dict[str, Any]) -> str:
        """A percentage, or a plain number."""
        if result is None:
            return UNKNOWN
        return f"{result * 100:+.4g} %" if self.relative else f"{result:+.4g}"

    def needs_ms(self, window: Window) -> int:
        """The span and a window more."""
        return (self.span.most_ms if self.span else window.span_ms) + window.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None without both values, or as a share of 0."""
        place = context.past.at(self._end(context))
        if place is None or context.value is None:
            return None
        before = float(context.past.values[place])
        if math.isnan(before) or (self.relative and before == 0):
            return None
        change = context.value - before
        return change / abs(before) if self.relative else change

    def _end(self, context: FeatureContext) -> int:
        if self.span is None:
            return context.start_ms
        if isinstance(context.window, CalendarWindow):
            return context.window.first_end_after(back(context.start_ms, self.span, self.zone))
        end = back(context.end_ms, self.span, self.zone)
        # The last window that has ended by then.
        return (
            end
            if context.window.first_end_after(end - 1) == end
            else (context.window.first_end_after(end) - context.window.hop_ms)
        )
