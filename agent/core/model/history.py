"""What a feature sees of a series when a window is evaluated, and what it declares about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.core.model.window_history import WindowHistory
from agent.core.model.windows import CalendarWindow, Window

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureContext:
    """A window of a series with what was before it.

    `past` ends with the window itself. `least` and `most` are the bounds of its target, None where
    it has none. `memory` holds what the series' features keep from window to window, by their text;
    it may be replaced, never changed in place. `peers` gives the values of the same window of all
    series that are equal in some dimensions (by their places in the KPI's `by`), the series' own
    among them; series without a value are left out.
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

    def apart(self, span_ms: int) -> NDArray[np.intp]:
        """The places in `past` of the windows that end within `(end - span, end]` and do not
        overlap, oldest first, the window itself last."""
        window, past = self.window, self.past
        since = past.since(self.end_ms - span_ms)
        places: NDArray[np.intp] = np.arange(since.start, since.stop, dtype=np.intp)
        if isinstance(window, CalendarWindow) or window.hop_ms == window.size_ms:
            return places
        whole = (self.end_ms - past.ends[since]) % window.size_ms == 0
        others: NDArray[np.intp] = places[whole]
        return others

    def valued(self, span_ms: int) -> tuple[Floats, Floats]:
        """The windows of `apart` that have a value: ends in days before now (≤ 0), and values."""
        places = self.apart(span_ms)
        values = self.past.values[places]
        known = ~np.isnan(values)
        days = (self.past.ends[places][known] - self.end_ms) / DAY_MS
        return days.astype(np.float64), values[known]


DAY_MS = 86_400_000
UNKNOWN = "not known"


def plain_number(answer: float | None) -> str:
    """An answer that is a number without a unit, for people."""
    return UNKNOWN if answer is None else f"{answer:.4g}"


class Feature(Protocol):
    """One question to a series' history, as a rule's condition asks it.

    Features are frozen and compare by value. `text` is how the rule writes it.
    """

    @property
    def text(self) -> str:
        """The call, as the rule writes it."""
        ...

    @property
    def depends_on_alerts(self) -> bool:
        """Whether its answer depends on what alerts did before."""
        ...

    def describe(self, answer: float | None, memory: dict[str, Any]) -> str:
        """An answer for people, right after it was given."""
        ...

    def needs_ms(self, window: Window) -> int:
        """How far back it looks, from the end of the window that is evaluated; 0: not at all."""
        ...

    def compute(self, context: FeatureContext) -> float | None:
        """The answer; 1 or 0 for yes or no. None: there is too little history to say, or no
        value."""
        ...
