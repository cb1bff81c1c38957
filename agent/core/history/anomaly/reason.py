"""Explains the score of `anomaly()` in words."""

from __future__ import annotations

from agent.core.history.anomaly.detector import Verdict
from agent.core.model.text import duration

_SENTENCES = {
    "spike": "the value is {actual}, where {expected} was expected",
    "shift": "over the last {span} the mean is {actual}, where it was {expected} before",
    "level": "over the last {span} the mean is {actual}, far from the {expected} of the last days",
    "unrest": "over the last {span} values move about more, or more often, than they used to",
    "calm": "over the last {span} values move about less than they used to",
}
_SEASONS = {"day": ", the pattern of the day counted", "week": ", the pattern of the week counted"}


def verdict_text(verdict: Verdict) -> str:
    """A sentence without a full stop, also for a window that is not unusual or has no score."""
    if verdict.score is None:
        return "what is usual is still being learnt"
    if verdict.part not in _SENTENCES or verdict.score == 0.0:
        return "nothing is unusual"
    sentence = _SENTENCES[verdict.part].format(
        actual=f"{verdict.actual:.6g}",
        expected=f"{verdict.expected:.6g}",
        span=duration(verdict.span_ms),
    )
    return sentence + _SEASONS.get(verdict.season, "")
