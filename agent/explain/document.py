"""`kpi-agent explain`: the state of a rule and the reasons, from the mergers that hold its series.

One JSON object a series. A replay and a running agent give the same, except for the events: only
files still have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.explanation import AlertExplanation, ConditionResult, Explanation, explain
from agent.core.merge.merger import Merger
from agent.core.model.kpis import Kpi
from agent.core.model.metrics import RULE_STATE
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.model.rules import AbsenceRule, CompositeRule, Rule, is_whole, variant_for
from agent.core.model.text import bounds_text, window_text
from agent.core.output.messages import Json, bounds_json, dimensions_json, iso, label
from agent.core.output.privacy import private_subjects
from agent.core.output.series_selector import Selector, parse_selector, selects
from agent.core.state.series import Series
from agent.errors import RulesError
from agent.generate import names
from agent.language.problems import suggest

MOST_SERIES = 5
"""Series that are explained at once: the answer is for people."""

_ORDER = (AlertPhase.FIRING, AlertPhase.PENDING, AlertPhase.RESOLVED, AlertPhase.INACTIVE)


def rule_and_selector(plan: Plan, rule: str, series: str) -> tuple[Rule, Selector]:
    """The rule of a name, and the selector of a text: `region=emea,channel=web`.

    Raises RulesError for a rule or a dimension that is not declared.
    """
    if rule not in plan.rules:
        raise RulesError(f"no rule is called {rule}", suggest(rule, plan.rules, "rules"))
    declared = plan.rules[rule]
    return declared, parse_selector(series, plan.subject_of(declared).by, declared.name)


def refuse_private(plan: Plan, rule: Rule) -> None:
    """Raises RulesError for a rule about single people, for answers that everybody can request."""
    if rule.kpi in private_subjects(plan):
        raise RulesError(
            f"{rule.name} is about single people, and is not explained to everybody",
            "Explain it from files of events, or look at the pages of those whom it is about.",
        )


def selector_phrase(series: str) -> str:
    """The end of a sentence about the series of a selector: ` with region=emea`."""
    return f" with {series}" if series else ""


def explanations(
    plan: Plan, mergers: Iterable[Merger], rule: Rule, selector: Selector
) -> tuple[list[tuple[Explanation, Json]], int]:
    """Explain a rule for the series of a selector: the `MOST_SERIES` most urgent ones (firing, then
    pending), and how many series there are."""
    by = () if is_whole(rule) else plan.subject_of(rule).by
    alerts: list[tuple[int, str, Merger, Series]] = []
    for merger in mergers:
        for series in merger.state.reported_series(rule):
            dimensions = () if is_whole(rule) else series.dimensions or ()
            if selects(selector, by, dimensions) and variant_for(rule, by, dimensions) is not None:
                alerts.append((_urgency(rule, series), str(series.dimensions), merger, series))
    alerts.sort(key=lambda item: item[:2])
    documents = []
    for _, _, merger, series in alerts[:MOST_SERIES]:
        explained = explain(plan, merger.state.kpis, merger.state.rule_graph, rule, series)
        if explained is not None:
            documents.append((explained, as_json(plan, explained)))
    return documents, len(alerts)


def most_urgent(parts: Iterable[tuple[int, Iterable[Json]]]) -> tuple[list[Json], int]:
    """The explanations of several workers, each with how many series it holds, as those of one: the
    `MOST_SERIES` most urgent ones, and how many series there are."""
    count, documents = 0, list[Json]()
    for series_count, explained in parts:
        count += series_count
        documents += explained
    documents.sort(key=_document_urgency)
    return documents[:MOST_SERIES], count


def _document_urgency(document: Mapping[str, Any]) -> tuple[int, str]:
    phases = (_ORDER.index(AlertPhase(alert["state"])) for alert in document["alerts"])
    return min(phases, default=len(_ORDER)), str(document["dimensions"])


def _urgency(rule: Rule, series: Series) -> int:
    states = series.alerts.get(rule.name, {}).values()
    return min((_ORDER.index(state.phase) for state in states), default=len(_ORDER))


def as_json(plan: Plan, explained: Explanation) -> Json:
    """An explanation as one object."""
    kpi, rule, window = explained.kpi, explained.rule, explained.window
    document: Json = {
        "rule": rule.name,
        "kpi": kpi.name,
        "title": kpi.title,
        "unit": kpi.unit,
        "dimensions": dimensions_json(kpi, explained.dimensions or ())
        if explained.dimensions
        else {},
        "at": iso(explained.at_ms),
        "window": None
        if window is None
        else {
            "of": window_text(kpi.window),
            "start": iso(window.start_ms),
            "end": iso(window.end_ms),
            "value": window.value,
            "events": window.events,
            "open": window.open,
        },
        "target": _target_json(explained),
        "rule_override": None if explained.rule_match is None else dict(explained.rule_match),
        "columns": dict(explained.columns),
        "facts": [{"sql": f.asked, "value": f.value, "words": f.words} for f in explained.facts],
        "inputs": dict(explained.inputs),
        "not_evaluated": explained.not_evaluated,
        "inhibited_by": list(explained.inhibited_by),
        "alerts": [_alert_json(rule, alert) for alert in explained.alerts],
        "promql": _promql(kpi, rule, explained),
        "owner": rule.owner,
        "team": rule.team,
        "runbook": rule.runbook,
        "config_hash": plan.config_hash,
    }
    if isinstance(rule, AbsenceRule):
        document["last_event_before"] = _when(explained.last_event_ms)
    return document


def _target_json(explained: Explanation) -> Json | None:
    if explained.target is None:
        return None
    return {
        **bounds_json(explained.target),
        "text": bounds_text(explained.target) if explained.target else None,
        "override": None if explained.target_match is None else dict(explained.target_match),
        "since": explained.target_since,
    }


def _alert_json(rule: Rule, alert: AlertExplanation) -> Json:
    document: Json = {
        "severity": alert.severity,
        "state": alert.phase.value,
        "since": _when(alert.since_ms),
        "fires_at": _when(alert.fires_ms),
        "ends_at": _when(alert.ends_ms),
    }
    if alert.no_data_for_ms is not None:
        document["no_data_for_seconds"] = alert.no_data_for_ms / 1000
    if not isinstance(rule, AbsenceRule):
        document["for_seconds"] = rule.for_ms / 1000
        document["keep_firing_for_seconds"] = rule.keep_firing_for_ms / 1000
        document["when"] = _condition_json(alert.when)
        document["clear"] = _condition_json(alert.clear)
    return document


def _condition_json(condition: ConditionResult | None) -> Json | None:
    if condition is None:
        return None
    return {
        "sql": condition.sql,
        "holds": condition.holds,
        "clauses": [{"sql": c.sql, "values": c.shown, "holds": c.holds} for c in condition.clauses],
    }


def _promql(kpi: Kpi, rule: Rule, explained: Explanation) -> Json:
    """Selectors of the same series in Prometheus."""
    series = [(n, label(v)) for n, v in zip(kpi.by, explained.dimensions or (), strict=False)]
    about = [] if isinstance(rule, CompositeRule) else [("kpi", kpi.name)]
    own = [("rule", rule.name), *about, *series]
    document: dict[str, Any] = {"state": names.selector(RULE_STATE, own)}
    if about:
        document = {"value": names.selector(kpi.metric, series)} | document
    if explained.target is not None:
        document["target"] = names.selector(kpi.target_metric, series)
    return document


def _when(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
