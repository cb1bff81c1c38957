"""Why an alert took a step, in a sentence that a person understands without knowing the rule.

value > 60 has held for 20m: the value is 1 h 20 min from 10:20 to 10:30 UTC on 2025-03-03
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

from agent.core.model.kpis import Kpi
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.text import duration, value_text


def because(kpi: Kpi | None, step: Transition) -> str:
    """The sentence, without a full stop. `kpi` None: it is no longer declared.

    Of a reason that has no sentence of its own, the condition and the value.
    """
    sentence = _SENTENCES.get(step.reason, _condition)(kpi, step)
    if step.flaps is None or step.state is not AlertPhase.FIRING:
        return sentence
    often = f"has fired {step.flaps.times} times within {duration(step.flaps.within_ms)}"
    return f"{sentence}; it flaps: it {often}"


def _condition(kpi: Kpi | None, step: Transition) -> str:
    holds = "no longer holds" if step.state is AlertPhase.INACTIVE else "holds"
    return f"{step.bound} {holds}: {_evidence(kpi, step)}"


def _held(kpi: Kpi | None, step: Transition) -> str:
    return f"{step.bound} has held for {duration(step.at_ms - step.episode_ms)}: " + _evidence(
        kpi, step
    )


def _kept(kpi: Kpi | None, step: Transition) -> str:
    # How long it has is the rule's keep_firing_for; the step does not carry since when.
    return f"{step.bound} has held for long enough: {_evidence(kpi, step)}"


def _silent(_kpi: Kpi | None, step: Transition) -> str:
    return f"{step.bound}: the last one was before {_clock(step.start_ms)}"


def _back(_kpi: Kpi | None, step: Transition) -> str:
    return f"events came again, after {duration(step.end_ms - step.start_ms)} without one"


def _dependent(_kpi: Kpi | None, step: Transition) -> str:
    if step.state is AlertPhase.INHIBITED:
        return f"{step.bound} fires, which this rule depends on"
    return f"what it depends on is well again, and {step.bound} still holds"


def _removed(_kpi: Kpi | None, _step: Transition) -> str:
    return "the rule is no longer declared, or its series has expired"


_SENTENCES: dict[str, Callable[[Kpi | None, Transition], str]] = {
    "for": _held,
    "keep_firing_for": _kept,
    "no_data": _silent,
    "data": _back,
    "depends_on": _dependent,
    "removed": _removed,
}


def _evidence(kpi: Kpi | None, step: Transition) -> str:
    """What the condition asked for, the value, and the window that it is of; of a composite rule,
    which has none, its beginning."""
    if kpi is not None and not kpi.name:
        return f"it began at {_clock(step.start_ms)}"
    facts = "".join(f"{fact.asked} is {fact.words}, " for fact in step.facts)
    return facts + _value(kpi, step)


def _value(kpi: Kpi | None, step: Transition) -> str:
    if step.value is None or not math.isfinite(step.value):
        value = "there is no value"
    else:
        value = f"the value is {value_text(step.value, kpi.unit if kpi is not None else None)}"
    return f"{value} {_window(step.start_ms, step.end_ms)}"


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
