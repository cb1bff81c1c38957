"""`anomaly()`: how unusual a value is compared with the history of its series (`detector`),
and the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from agent.core.history.anomaly.detector import Detection, DetectorState, step
from agent.core.model.history import Feature, FeatureContext
from agent.core.model.text import duration

_SENTENCES = {
    "spike": "the value is {actual}, where {expected} was expected",
    "shift": "over the last {span} the mean is {actual}, where it was {expected} before",
    "level": "over the last {span} the mean is {actual}, far from the {expected} of the last days",
    "unrest": "over the last {span} values move about more, or more often, than they used to",
    "calm": "over the last {span} values move about less than they used to",
}
_SEASONS = {"day": ", the pattern of the day counted", "week": ", the pattern of the week counted"}


def detection_text(detection: Detection) -> str:
    """A sentence without a full stop, also for a window that is not unusual or has no score."""
    if detection.score is None:
        return "what is usual is still being learnt"
    if detection.part not in _SENTENCES or detection.score == 0.0:
        return "nothing is unusual"
    sentence = _SENTENCES[detection.part].format(
        actual=f"{detection.actual:.6g}",
        expected=f"{detection.expected:.6g}",
        span=duration(detection.span_ms),
    )
    return sentence + _SEASONS.get(detection.season, "")


KEEP_FIRING_MS = 3 * 3_600_000
"""The default `keep_firing_for` of rules without `clear`: unusual windows within three hours of
each other are one episode."""

_KEY = "anomaly"


@dataclass(frozen=True, slots=True)
class Anomaly(Feature):
    """The detector's score, in robust standard deviations; the detector follows the local clock.

    The series' memory has the end of the last window, its score, the reason, and the detector's
    state, so that a window is learnt only once if several rules call the function.
    """

    zone: str

    def in_words(self, result: float, memory: dict[str, Any]) -> str:
        """The score and its reason."""
        why = memory[_KEY][2]
        return f"{result:.3g} ({why})" if why else f"{result:.3g}"

    def compute(self, context: FeatureContext) -> float | None:
        """None without a value, and while the detector is learning."""
        if context.value is None:
            return None
        known = context.memory.get(_KEY)
        if known is not None and known[0] == context.end_ms:
            return None if known[1] is None else float(known[1])
        state = DetectorState() if known is None else known[3]
        if not isinstance(state, DetectorState):  # from the series' row
            state = msgspec.convert(state, DetectorState)
        at_ms = context.start_ms + _offset_ms(context.start_ms // 900_000, self.zone)
        state, detection = step(state, at_ms, context.value)
        why = detection_text(detection) if detection.score is not None and detection.part else ""
        context.memory[_KEY] = (context.end_ms, detection.score, why, state)
        return detection.score


@lru_cache(maxsize=65536)
def _offset_ms(quarter: int, zone: str) -> int:
    """How far a zone's clock is ahead of UTC in a quarter of an hour since the epoch."""
    at = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(zone))
    offset = at.utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)
