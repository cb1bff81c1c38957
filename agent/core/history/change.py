"""`change('1 week')`: a value compared with that of an earlier window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agent.core.history.calendar_spans import Span, back
from agent.core.model.history import Feature, FeatureContext
from agent.core.model.windows import CalendarWindow, Window


@dataclass(frozen=True, slots=True)
class Change(Feature):
    """The value minus that of the window a span earlier; `relative`: divided by the absolute value
    of the earlier one. `span` None: compared with the window just before, without overlap.

    The earlier window is, for calendar windows, the one that contains the start of this window
    minus the span; for fixed windows, the one whose end is nearest to a span earlier by the local
    clock.
    """

    span: Span | None
    relative: bool
    zone: str

    def in_words(self, result: float, memory: dict[str, Any]) -> str:
        """A percentage, or a plain number."""
        return f"{result * 100:+.4g} %" if self.relative else f"{result:+.4g}"

    def needs_ms(self, window: Window) -> int:
        """The span, and one window."""
        return (self.span.most_ms if self.span else window.span_ms) + window.span_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None without both values, or for a relative change from 0."""
        index = context.past.at(self._end(context))
        if index is None or context.value is None:
            return None
        before = float(context.past.values[index])
        if math.isnan(before) or (self.relative and before == 0):
            return None
        change = context.value - before
        return change / abs(before) if self.relative else change

    def _end(self, context: FeatureContext) -> int:
        """The end of the earlier window."""
        if self.span is None:
            return context.start_ms
        if isinstance(context.window, CalendarWindow):
            return context.window.first_end_after(back(context.start_ms, self.span, self.zone))
        at_ms = back(context.end_ms, self.span, self.zone)
        # Clock changes can move it off the ends of windows: then the nearest, else the one before.
        after_ms = context.window.first_end_after(at_ms)
        before_ms = after_ms - context.window.hop_ms
        return before_ms if at_ms - before_ms <= after_ms - at_ms else after_ms
