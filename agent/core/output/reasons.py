"""The reason of a transition, in a sentence that can be understood without knowing the rule.

value > 60 has held for 20m: the value is 1 h 20 min from 10:20 to 10:30 UTC on 2025-03-03
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

from agent.core.model.kpis import Kpi
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.text import duration, value_text


def because(kpi: Kpi | None, transition: Transition) -> str:
    """The sentence, without a full stop. `kpi` None: it is no longer declared.

    A reason without a sentence of its own gets the condition and the value.
    """
    sentence = _SENTENCES.get(transition.reason, _condition)(kpi, transition)
    if transition.flaps is None or transition.state is not AlertPhase.FIRING:
        return sentence
    within = duration(transition.flaps.within_ms)
    return f"{sentence}; it flaps: it has fired {transition.flaps.times} times within {within}"


def _condition(kpi: Kpi | None, transition: Transition) -> str:
    holds = "no longer holds" if transition.state is AlertPhase.INACTIVE else "holds"
    return f"{transition.bound} {holds}: {_evidence(kpi, transition)}"


def _held(kpi: Kpi | None, transition: Transition) -> str:
    held_for = duration(transition.at_ms - transition.episode_ms)
    return f"{transition.bound} has held for {held_for}: {_evidence(kpi, transition)}"


def _kept(kpi: Kpi | None, transition: Transition) -> str:
    # For how long: the rule's keep_firing_for. The transition does not say since when.
    return f"{transition.bound} has held for long enough: {_evidence(kpi, transition)}"


def _silent(_kpi: Kpi | None, transition: Transition) -> str:
    return f"{transition.bound}: the last one was before {_clock(transition.start_ms)}"


def _back(_kpi: Kpi | None, transition: Transition) -> str:
    silence = duration(transition.end_ms - transition.start_ms)
    return f"events came again, after {silence} without one"


def _dependent(_kpi: Kpi | None, transition: Transition) -> str:
    if transition.state is AlertPhase.INHIBITED:
        return f"{transition.bound} fires, which this rule depends on"
    return f"what it depends on is well again, and {transition.bound} still holds"


def _removed(_kpi: Kpi | None, _transition: Transition) -> str:
    return "the rule is no longer declared, or its series has expired"


_SENTENCES: dict[str, Callable[[Kpi | None, Transition], str]] = {
    "for": _held,
    "keep_firing_for": _kept,
    "no_data": _silent,
    "data": _back,
    "depends_on": _dependent,
    "removed": _removed,
}


def _evidence(kpi: Kpi | None, transition: Transition) -> str:
    """The features that the condition read, the value and its window. A composite rule has none:
    the start of the alert."""
    if kpi is not None and not kpi.name:
        return f"it began at {_clock(transition.start_ms)}"
    facts = "".join(f"{fact.asked} is {fact.words}, " for fact in transition.facts)
    return facts + _value(kpi, transition)


def _value(kpi: Kpi | None, transition: Transition) -> str:
    if transition.value is None or not math.isfinite(transition.value):
        value = "there is no value"
    else:
        unit = kpi.unit if kpi is not None else None
        value = f"the value is {value_text(transition.value, unit)}"
    return f"{value} {_window(transition.start_ms, transition.end_ms)}"


def _window(start_ms: int, end_ms: int) -> str:
    start, end = _at(start_ms), _at(end_ms)
    if start.date() != end.date():
        return f"from {_clock(start_ms)} to {_clock(end_ms)}"
    form = "%H:%M:%S" if start.second or end.second else "%H:%M"
    return f"from {start.strftime(form)} to {end.strftime(form)} UTC on {start:%Y-%m-%d}"


def _clock(at_ms: int) -> str:
    at = _at(at_ms)
    return at.strftime("%Y-%m-%d %H:%M:%S UTC" if at.second else "%Y-%m-%d %H:%M UTC")


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
