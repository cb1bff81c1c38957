"""`anomaly()`: how unlike its own recent past a value is, whatever that past looks like."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.features.look import Look
from agent.core.windows import Window


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The detector's score, in robust standard deviations. Its state is in the series' memory."""

    text: str

    def needs_ms(self, window: Window) -> int:
        """Nothing: the detector remembers what it needs."""
        return 0

    def of(self, look: Look) -> float | None:
        """None without a value, and while the detector is learning."""
        raise NotImplementedError
