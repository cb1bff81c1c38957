"""An explanation as text for people, made of its JSON, so that agents and replays give the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.model.printable import printable
from agent.core.model.text import duration
from agent.core.output.series_selector import selector_text
from agent.replay.report import number

_HOLDS = {True: "true", False: "false", None: "can't be said"}


def text(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one series, control characters made visible."""
    return map(printable, _lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    series = selector_text(document["dimensions"])
    yield f"{document['rule']}{f' ({series})' if series else ''}, at {_clock(document['at'])} UTC"
    for alert in document["alerts"]:
        yield f"  {alert['severity']}: {_alert_text(document, alert)}"
    yield ""
    yield from _window(document)
    yield from _bounds(document)
    for alert in document["alerts"]:
        for name in ("when", "clear"):
            yield from _condition(name, alert["severity"], alert.get(name))
    for fact in document["facts"]:
        words = "" if fact["words"] == number(fact["value"]) else f": {fact['words']}"
        yield f"  {fact['sql']} = {number(fact['value'])}{words}"
    yield from _events(document.get("events"))
    yield ""
    owner = " of ".join(filter(None, (document["owner"], document["team"])))
    rows = {"owner": owner, "runbook": document["runbook"], **document["promql"]}
    yield from (f"  {name:<8}  {value}" for name, value in rows.items() if value)


def _alert_text(document: Mapping[str, Any], alert: Mapping[str, Any]) -> str:
    """The state of an alert, and when it is going to change."""
    state = alert["state"]
    # The state of a firing alert has when its episode began; it fired `for` later.
    began = "since" if state == "pending" else "in an episode since"
    since = f" {began} {_clock(alert['since'])}" if alert["since"] else ""
    if "no_data_for_seconds" in alert:
        last, span = _clock(document["last_event_before"]), _span(alert["no_data_for_seconds"])
        more = f", fires at {_clock(alert['fires_at'])} if none comes" if alert["fires_at"] else ""
        if alert["ends_at"]:
            more = f"; clearing, ends at {_clock(alert['ends_at'])} if no other silence comes"
        return f"{state}{since}; the last event was before {last}, {span} without one fire{more}"
    if state == "pending":
        held = f"; `when` must hold for {_span(alert['for_seconds'])}"
        return f"pending{since}{held}: fires at {_clock(alert['fires_at'])} if it still does"
    if state == "firing" and alert["ends_at"]:
        return f"firing{since}; clearing, ends at {_clock(alert['ends_at'])} if it continues"
    return f"{state}{since}"


def _window(document: Mapping[str, Any]) -> Iterator[str]:
    window = document["window"]
    if window is not None:
        unit = f" {document['unit']}" if document["unit"] and window["value"] is not None else ""
        still = ", still open" if window["open"] else ""
        yield f"  {document['title']}: {number(window['value'])}{unit}"
        yield (
            f"  of {window['events']} events, {_clock(window['start'])} to {_clock(window['end'])}"
            f" ({window['of']}{still})"
        )
    for name, value in document["inputs"].items():
        yield f"    {name} = {number(value)}"
    if document["not_evaluated"]:
        yield f"  not evaluated: {document['not_evaluated']}"
    if document["inhibited_by"]:
        yield f"  inhibited, as it depends on what fires: {', '.join(document['inhibited_by'])}"


def _bounds(document: Mapping[str, Any]) -> Iterator[str]:
    target = document["target"]
    if target is not None:
        by = f"the override {_match(target['override'])}" if target["override"] else "the KPI"
        by = f"{by}, from {target['since']} on" if target["since"] else by
        if target["override"] == {}:
            by = f"the KPI, from {target['since']} on" if target["since"] else "the KPI"
        yield f"  target {target['text']}: by {by}"
    if document["rule_override"] is not None:
        yield f"  the rule is as its override {_match(document['rule_override'])} makes it"


def _condition(name: str, severity: str, condition: Mapping[str, Any] | None) -> Iterator[str]:
    if condition is None or condition["sql"] is None:
        return
    clauses: Sequence[Mapping[str, Any]] = condition["clauses"]
    only = len(clauses) == 1
    if not only:
        yield f"  {name}, {severity}: {condition['sql']}: {_HOLDS[condition['holds']]}"
    for clause in clauses:
        start = f"  {name}, {severity}: " if only else "    "
        holds = condition["holds"] if only else clause["holds"]
        yield f"{start}{clause['sql']} → {clause['values']}: {_HOLDS[holds]}"


def _events(events: Mapping[str, Any] | None) -> Iterator[str]:
    if not events:
        return
    yield ""
    yield "  events"
    for name in ("first", "last", "least", "most"):
        if (event := events.get(name)) is not None:
            fields = ", ".join(f"{k}={_value(v)}" for k, v in event.items() if k != "time")
            yield f"    {name:<5}  {_clock(event['time'])}  {fields}"


def _match(match: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in match.items()) + "}"


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _span(seconds: float) -> str:
    return duration(int(seconds * 1000))


def _clock(iso: str) -> str:
    return iso.removesuffix("Z").replace("T", " ").removesuffix(":00")
