"""The interface of history functions: what they read (`FeatureContext`), and `Feature` itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agent.core.model.window_history import WindowHistory
from agent.core.model.windows import DAY_MS, CalendarWindow, Window

Floats = NDArray[np.float64]

CLOCK_CHANGE_MS = 7_200_000
"""The most that clocks go forward at once without skipping a day (Antarctica/Troll, IANA tz
database)."""


@dataclass(frozen=True, slots=True)
class FeatureContext:
    """A window that is evaluated, and the windows of its series before it.

    `past` ends with the window itself. `first_ms` is when the series began. `least` and `most` are
    the bounds of its target, None if it has none. `memory`: what the series' features keep from
    window to window, by name; entries are replaced, never changed in place. `peers(indices)`: the
    values of the same window of all series that have the same dimensions at these indices of the
    KPI's `by`, including this series; series without a value are left out.
    """

    window: Window
    past: WindowHistory
    start_ms: int
    end_ms: int
    value: float | None
    first_ms: int
    least: float | None
    most: float | None
    memory: dict[str, Any]
    peers: Callable[[tuple[int, ...]], Floats]

    def disjoint_windows(self, span_ms: int) -> NDArray[np.intp]:
        """The indices in `past` of the windows that end within `(end - span, end]` and do not
        overlap, oldest first, the window itself last. Of calendar windows, as many as without clock
        changes."""
        window, past = self.window, self.past
        after_ms = self.end_ms - span_ms
        if isinstance(window, CalendarWindow):
            # After a day of 23 hours, the span reaches into one period more.
            after_ms += CLOCK_CHANGE_MS
        since = past.since(after_ms)
        indices: NDArray[np.intp] = np.arange(since.start, since.stop, dtype=np.intp)
        if isinstance(window, CalendarWindow) or window.hop_ms == window.size_ms:
            return indices
        whole = (self.end_ms - past.ends[since]) % window.size_ms == 0
        disjoint: NDArray[np.intp] = indices[whole]
        return disjoint

    def disjoint_values(self, span_ms: int) -> tuple[Floats, Floats]:
        """The `disjoint_windows` that have a value: ends in days relative to this window's end
        (≤ 0), and values."""
        indices = self.disjoint_windows(span_ms)
        values = self.past.values[indices]
        known = ~np.isnan(values)
        days = (self.past.ends[indices][known] - self.end_ms) / DAY_MS
        return days.astype(np.float64), values[known]


UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Feature(ABC):
    """One call of a history function in a rule's condition, for example `trend('8 weeks')`; `text`:
    the call, as the rule writes it.

    Features are frozen and compare by value. `depends_on_alerts`: whether the result depends on
    earlier alerts over the series. `is_condition`: whether the result is yes (1) or no (0).
    """

    text: str
    depends_on_alerts: ClassVar[bool] = False
    is_condition: ClassVar[bool] = False

    @abstractmethod
    def compute(self, context: FeatureContext) -> float | None:
        """The result. None: there is too little history, or no value."""

    def needs_ms(self, window: Window) -> int:
        """How far back it reads, from the end of the window that is evaluated; 0: not at all."""
        return 0

    def describe(self, result: float | None, memory: dict[str, Any]) -> str:
        """A result for people; to be called right after `compute`, with the memory it has left."""
        return UNKNOWN if result is None else self.in_words(result, memory)

    def in_words(self, result: float, memory: dict[str, Any]) -> str:
        """Yes or no, or a plain number, unless the function has words of its own."""
        if self.is_condition:
            return "yes" if result else "no"
        return f"{result:.4g}"
