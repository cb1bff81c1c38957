"""The agent's results as JSON: the lines of `replay`, and the messages of its topics and their
keys.

Both have the same encoder, so they cannot differ. Times are ISO 8601 in UTC; a value that is not a
finite number is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import (
    AlertPhase,
    Outcome,
    Reason,
    TargetStatus,
    Transition,
    WindowValue,
    finite,
)
from agent.core.model.rules import RULE_SUBJECT, Rule
from agent.core.model.text import duration
from agent.core.output.reasons import because
from agent.core.output.templates import render

Json = dict[str, object]

PublishedTransition = Mapping[str, Any]
"""The value of a message of the alerts topic (docs/operations.md, kpi-alerts)."""

NONE_LABEL = "__none__"
EMPTY_LABEL = "__empty__"
"""The label values of a dimension that is null or empty: in Prometheus, an empty label is the same
as none."""

DEFAULT_SUMMARY = "{{ title }}{% if series %} ({{ series }}){% endif %}: {{ bound }}"
"""The summary of a rule that has none."""

VARIABLES = frozenset(
    {
        *("rule", "severity", "state", "previous", "reason", "bound", "kpi", "title", "unit"),
        *("value", "start", "end", "at", "series", "dimensions", "labels", "owner", "team"),
    }
)
"""The variables of a rule's templates, besides the dimensions of its KPI by name. A dimension with
one of these names is read as `dimensions.name`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder()


@lru_cache(maxsize=4096)  # the windows that close together share their times
def iso(at_ms: int) -> str:
    """`2010-12-01T08:26:00Z`; with milliseconds only when they are not zero."""
    at = (_EPOCH + timedelta(milliseconds=at_ms)).replace(tzinfo=None)
    return at.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds") + "Z"


def label(value: Scalar) -> str:
    """A dimension's value as a label: null is `__none__`, True is `true`, 5 is `5`.

    Different values have different labels. None is empty, since Prometheus takes an empty label for
    a missing one: an empty text is `__empty__`. A text that is one of these two words, with or
    without backslashes before it, gets one more backslash.
    """
    if value is None:
        return NONE_LABEL
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if not text:
        return EMPTY_LABEL
    if text.endswith("__") and text.lstrip("\\") in (NONE_LABEL, EMPTY_LABEL):
        return "\\" + text
    return text


def dumps(value: Mapping[str, object]) -> bytes:
    """One line of JSON, without the line break."""
    return _encoder.encode(value)


def dimensions_json(kpi: Kpi | None, dimensions: Dimensions) -> dict[str, Scalar]:
    """Dimensions by name. If the KPI is no longer declared, the names are `1`, `2`…"""
    names = kpi.by if kpi is not None else ()
    if len(names) != len(dimensions):
        names = tuple(str(i + 1) for i in range(len(dimensions)))
    return dict(zip(names, dimensions, strict=True))


def window_json(kpi: Kpi, window: WindowValue) -> Json:
    """A window's value."""
    message: Json = {"kind": "window", **_window(kpi, window)}
    if window.open:
        message["open"] = True
    return message


def target_json(kpi: Kpi, status: TargetStatus) -> Json:
    """A window's value compared with its target, with the bounds that apply to it."""
    return {
        "kind": "target",
        **_window(kpi, status.window),
        "state": status.state.value,
        "previous": status.previous.value if status.previous else None,
        "attainment": finite(status.attainment),
        "bound": bound_text(status.target),
        **bounds_json(status.target),
    }


def correction_json(message: Json, before: WindowValue | None, corrected_ms: int) -> Json:
    """A window's value or target state (`message`) as a correction. `before`: the window as it was
    published; None: it was not."""
    return {
        **message,
        "corrected_at": iso(corrected_ms),
        "previous_value": None if before is None else finite(before.value),
        "previous_events": None if before is None else before.events,
    }


def bound_text(target: Target) -> str:
    """A target's bounds as a rule would write them: `value <= 240`."""
    least, most = target.at_least, target.at_most
    for band, name in target.kpis:  # bounds by KPIs that have no value now
        if band in ("at_least", "at_most"):
            return f"value {'>=' if band == 'at_least' else '<='} kpi({name})"
    if least is not None and most is not None:
        return f"value between {least:.15g} and {most:.15g}"
    return f"value >= {least:.15g}" if least is not None else f"value <= {most or 0:.15g}"


def hidden_text(kpi: Kpi) -> str:
    """Why a hidden window has no value."""
    return f"fewer than {kpi.minimum_people} people"


def bounds_json(target: Target) -> dict[str, float]:
    """The bounds that a target has."""
    bounds = {
        "at_least": target.at_least,
        "at_most": target.at_most,
        "warn_at_least": target.warn_at_least,
        "warn_at_most": target.warn_at_most,
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def transition_json(
    plan: Plan, rule: Rule | None, transition: Transition, processed_ms: int | None = None
) -> Json:
    """A transition of an alert, with all that people who are notified need to know.

    `rule` None: it is no longer declared. `processed_ms`: the wall clock when it is published; None
    in a replay, whose output does not depend on when it runs.
    """
    kpi = plan.subject(transition.kpi)
    variables = _variables(kpi, rule, transition)
    summary = (rule.summary if rule else "") or DEFAULT_SUMMARY
    message: Json = {
        "kind": "rule",
        "rule": transition.rule,
        "severity": transition.severity,
        "kpi": _kpi_name(transition),
        "dimensions": dimensions_json(kpi, transition.dimensions),
        "start": iso(transition.start_ms),
        "end": iso(transition.end_ms),
        "at": iso(transition.at_ms),
        "episode": iso(transition.episode_ms),
        "value": finite(transition.value),
        "state": transition.state.value,
        "previous": transition.previous.value,
        "bound": transition.bound,
        "reason": transition.reason,
        "because": because(kpi, transition),
        "facts": {fact.asked: finite(fact.value) for fact in transition.facts},
        "summary": render(summary, variables),
        "description": render(rule.description, variables) if rule else "",
        "runbook": rule.runbook if rule else None,
        "owner": variables["owner"],
        "team": variables["team"],
        "labels": variables["labels"],
        "escalation": _escalation(rule),
        "objectives": list(plan.objectives_of(transition.kpi)) if kpi else [],
        "config_hash": plan.config_hash,
    }
    if processed_ms is not None:
        message["processed"] = iso(processed_ms)
    return message


def summary_json(
    records: int,
    outcomes: Mapping[Outcome, int],
    reasons: Mapping[Reason, int],
    late_rows: Mapping[str, int] | None = None,
) -> Json:
    """The last line of a replay: the number of records by outcome, those of 0 included.
    `late_rows`: by KPI, the events that came too late for a window of it."""
    message: Json = {
        "kind": "summary",
        "records": records,
        "outcomes": {outcome.value: outcomes.get(outcome, 0) for outcome in Outcome},
        "reasons": {reason.value: n for reason in Reason if (n := reasons.get(reason, 0))},
    }
    if late_rows:
        message["late_by_kpi"] = dict(sorted(late_rows.items()))
    return message


def window_key(kpi: Kpi, window: WindowValue) -> bytes:
    """The message key of a window's value: KPI, dimensions and start, as JSON."""
    return dumps(
        {
            "kpi": kpi.name,
            "dimensions": dimensions_json(kpi, window.dimensions),
            "start": iso(window.start_ms),
        }
    )


def transition_key(plan: Plan, transition: Transition) -> bytes:
    """The message key of a transition. A consumer that drops messages with repeated keys sees each
    transition once."""
    kpi = plan.subject(transition.kpi)
    key: Json = {
        "rule": transition.rule,
        "severity": transition.severity,
        "kpi": _kpi_name(transition),
        "dimensions": dimensions_json(kpi, transition.dimensions),
        "episode": iso(transition.episode_ms),
        "state": transition.state.value,
    }
    if AlertPhase.INHIBITED in (transition.state, transition.previous):
        key["at"] = iso(transition.at_ms)  # an episode may be inhibited several times
    return dumps(key)


def _kpi_name(transition: Transition) -> str | None:
    """None: the alert is a composite rule's, and no single KPI's."""
    return None if transition.kpi.startswith(RULE_SUBJECT) else transition.kpi


def _window(kpi: Kpi, window: WindowValue) -> Json:
    message: Json = {
        "kpi": window.kpi,
        "dimensions": dimensions_json(kpi, window.dimensions),
        "start": iso(window.start_ms),
        "end": iso(window.end_ms),
        "value": finite(window.value),
        "events": window.events,
    }
    if window.maintenance is not None:
        message["maintenance"] = window.maintenance
    if window.incomplete:
        message["incomplete"] = True
    if window.hidden:
        message["hidden"] = hidden_text(kpi)
    return message


def _escalation(rule: Rule | None) -> list[Json]:
    """Who else is notified, and after how long."""
    steps = rule.escalation if rule else ()
    return [{"after": duration(step.after_ms), "to": step.to} for step in steps]


def _variables(kpi: Kpi | None, rule: Rule | None, transition: Transition) -> Json:
    """The variables of the rule's templates: `VARIABLES`, and each dimension by name."""
    dimensions = dimensions_json(kpi, transition.dimensions)
    # Numbers stay numbers, so that templates can compare them; other values are labels.
    readable = {
        name: label(value) if value is None or isinstance(value, bool) else value
        for name, value in dimensions.items()
    }
    return {
        **readable,
        "rule": transition.rule,
        "severity": transition.severity,
        "state": transition.state.value,
        "previous": transition.previous.value,
        "reason": transition.reason,
        "bound": transition.bound,
        "kpi": _kpi_name(transition) or "",
        "title": kpi.title if kpi else transition.kpi,
        "unit": (kpi.unit if kpi else None) or "",
        "value": finite(transition.value),
        "start": iso(transition.start_ms),
        "end": iso(transition.end_ms),
        "at": iso(transition.at_ms),
        "series": ", ".join(f"{name}={label(value)}" for name, value in dimensions.items()),
        "dimensions": readable,
        "labels": dict(rule.labels) if rule else {},
        "owner": (rule.owner if rule else None) or (kpi.owner if kpi else None),
        "team": (rule.team if rule else None) or (kpi.team if kpi else None),
    }
