"""`anomaly()`: how unlike its own recent past a value is, whatever that past looks like."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agent.core.features.detector import DetectorState, step
from agent.core.features.look import Look
from agent.core.windows import Window

_KEY = "anomaly"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The detector's score, in robust standard deviations. Its state is in the series' memory, as
    `[end_ms, score, state]` of the last window: a window is learnt from once, however many rules
    ask."""

    text: str

    def needs_ms(self, window: Window) -> int:
        """Nothing: the detector remembers what it needs."""
        return 0

    def of(self, look: Look) -> float | None:
        """None without a value, and while the detector is learning."""
        if look.value is None:
            return None
        end_ms, score, known = look.memory.get(_KEY, (None, None, None))
        if end_ms == look.end_ms:
            return score  # type: ignore[no-any-return]
        state = DetectorState() if known is None else _state(known)
        after, verdict = step(state, look.end_ms, look.value)
        look.memory[_KEY] = (look.end_ms, verdict.score, after)
        return verdict.score


def _state(known: object) -> DetectorState:
    """A state of one's own, from a row or from the last window."""
    plain = msgspec.to_builtins(known) if isinstance(known, DetectorState) else known
    return msgspec.convert(plain, DetectorState)
