"""The states of the rules over a series, and the reasons, in words (`GET /api/v1/explain`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.text import seconds_text, value_text
from agent.core.output.messages import dimensions_json
from agent.core.output.series_selector import selector_text
from agent.errors import EnvironmentFault, RulesError
from agent.export.agent_state import Alert, Fleet
from agent.export.web.pages.marks import COMPARED, instant_ms
from agent.export.web.shown import Json

MOST_RULES = 10
_HOLDS = {True: "holds", False: "does not hold", None: "can't be said"}


async def explanations(
    fleet: Fleet, rules: Sequence[str], kpi: Kpi, dimensions: Dimensions
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The explanations of rules for one series, and the errors for rules that have none."""
    series = selector_text(dimensions_json(kpi, dimensions))
    documents: list[Mapping[str, Any]] = []
    missing: list[str] = []
    requests = (fleet.explain(rule, series) for rule in rules[:MOST_RULES])
    for answer in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(answer, RulesError | EnvironmentFault):
            missing.append(str(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            documents += answer["series"][:1]
    return documents, list(dict.fromkeys(missing))


def in_words(
    documents: Sequence[Mapping[str, Any]],
    alerts: Sequence[Alert],
    kpi: Kpi,
    dimensions: Dimensions,
    clock: Callable[[float], str],
) -> list[Json]:
    """The alerts of each rule for a page: [{rule, severity, state, state_text, because:
    [sentence]}]. When an alert fired is in `alerts`; explanations have when its episode began."""
    since_ms = {
        (alert.rule, alert.severity): alert.since_ms
        for alert in alerts
        if alert.kpi == kpi.name and alert.dimensions in (dimensions, ())
    }
    return [
        {
            "rule": document["rule"],
            "severity": alert["severity"],
            "state": alert["state"],
            "state_text": _state_text(
                alert, since_ms.get((document["rule"], alert["severity"])), clock
            ),
            "because": _because(document, alert, kpi),
        }
        for document in documents
        for alert in document["alerts"]
    ]


def _state_text(
    alert: Mapping[str, Any], since_ms: int | None, clock: Callable[[float], str]
) -> str:
    """The state of an alert, since when, and when it is going to change."""

    def at(name: str) -> str:
        return clock(instant_ms(alert[name]))

    state = alert["state"]
    if state == "pending":
        fires = f", fires at {at('fires_at')} if that continues" if alert["fires_at"] else ""
        return f"pending since {at('since')}{fires}" if alert["since"] else f"pending{fires}"
    if state == "firing":
        began = f", after it began at {at('since')}" if alert["since"] else ""
        ends = f"; clearing, ends at {at('ends_at')} if that continues" if alert["ends_at"] else ""
        since = f" since {clock(since_ms)}" if since_ms is not None else ""
        return f"firing{since}{began}{ends}"
    return "not firing" if state in ("inactive", "resolved") else str(state)


def _because(document: Mapping[str, Any], alert: Mapping[str, Any], kpi: Kpi) -> list[str]:
    window = document["window"]
    sentences = []
    if window is not None:
        value = value_text(window["value"], kpi.unit)
        still = " so far" if window["open"] else ""
        sentences.append(f"The value is {value}{still}, of {window['events']:,} events.")
    if "no_data_for_seconds" in alert:
        span = seconds_text(alert["no_data_for_seconds"])
        sentences.append(f"It fires after {span} without an event.")
    # The condition that can change the state: `clear` of a firing alert, else `when`.
    clear = alert.get("clear") if alert["state"] == "firing" else None
    clears = clear is not None and clear["sql"] is not None
    condition = clear if clears else alert.get("when")
    for clause in condition["clauses"] if condition else ():
        shown = _clause_text(clause, window and window["value"], kpi)
        sentences.append(f"Clears when {shown}" if clears else shown)
    sentences += [f"{fact['sql']}: {fact['words']}." for fact in document["facts"]]
    if document["rule_override"]:
        sentences.append(f"The rule is as its override for {_match(document['rule_override'])}.")
    target = document["target"]
    if target is not None and target["override"]:
        sentences.append(f"The target is that of the override for {_match(target['override'])}.")
    if document["not_evaluated"]:
        sentences.append(f"Not evaluated: {document['not_evaluated']}.")
    if document["inhibited_by"]:
        sentences.append(f"Inhibited, as this fires: {', '.join(document['inhibited_by'])}.")
    return sentences


def _clause_text(clause: Mapping[str, Any], value: float | None, kpi: Kpi) -> str:
    """A clause of a condition, with its values: those of a plain comparison in the KPI's unit."""
    sql, values = clause["sql"], clause["values"]
    compared = COMPARED.fullmatch(sql)
    if compared is not None and value is not None:
        bound = value_text(float(compared[2]), kpi.unit)
        values = f"{value_text(value, kpi.unit)} {compared[1]} {bound}"
    shown = f" ({values})" if values != sql else ""
    return f"{sql}{shown}: {_HOLDS[clause['holds']]}."


def _match(match: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in match.items())
