"""The alerts of the board: which are shown, their order, and their texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.model.rules import Rule
from agent.core.model.text import value_text
from agent.core.output.addresses import alert_path
from agent.core.output.labels import escalation_text
from agent.core.output.messages import PublishedTransition
from agent.core.output.privacy import private_subjects, public_plan
from agent.export.agent_state import Alert
from agent.export.web.shown import Json, series_key, series_text

RESOLVED_SHOWN_MS = 3_600_000
MOST_RESOLVED = 3
MOST_ALERTS = 50
MOST_APART = 3
"""Alerts of more series of a rule are shown as one."""
MOST_OTHERS = 20
"""Series that a group names besides its first."""
ALONE: Json = {"count": 1, "total": 1, "others": []}
MOST_TRANSITIONS = 30
"""Transitions of the history that a board shows; `/api/v1/alerts` has more."""
_SEVERITY_RANK = {"page": 0, "critical": 1, "warning": 2, "info": 3}
ACTIVE_PHASES = (AlertPhase.FIRING, AlertPhase.INHIBITED, AlertPhase.PENDING)
"""The phases of active alerts, the most urgent first."""
_PHASE_RANK = {phase: rank for rank, phase in enumerate((*ACTIVE_PHASES, AlertPhase.RESOLVED))}


def public_alerts(plan: Plan, alerts: Iterable[Alert]) -> list[Alert]:
    """The alerts that everybody may see."""
    private = private_subjects(plan)
    return [alert for alert in alerts if alert.kpi not in private]


def public_transitions(
    plan: Plan, transitions: Iterable[PublishedTransition]
) -> Iterator[PublishedTransition]:
    """The transitions that everybody may see."""
    subjects, rules = private_subjects(plan), plan.rules.keys() - public_plan(plan).rules.keys()
    return (t for t in transitions if t["kpi"] not in subjects and t["rule"] not in rules)


def alerts_json(
    plan: Plan,
    active: Sequence[Alert],
    alerts: Iterable[Alert],
    until_ms: int | None,
    sizes: Mapping[str, int],
) -> list[Json]:
    """The alerts of a board, in its order; `until_ms` is how far event time has got.

    `active` are the active ones of `alerts`, as `active_alerts` returns them; `sizes` the numbers
    of series by KPI. Many series of a rule in the same phase are one group: its most severe and
    newest alert, with the others in short.
    """
    over = [a for a in alerts if _is_recently_resolved(plan, a, until_ms)]
    # An episode is over once none of its severities is active.
    resolved = [a for a in _one_a_series([*active, *over]) if a.phase == AlertPhase.RESOLVED]
    resolved = sorted(resolved, key=lambda a: -(a.since_ms or 0))[:MOST_RESOLVED]
    groups: dict[tuple[str, AlertPhase], list[Alert]] = {}
    for alert in in_order([*active, *resolved]):
        groups.setdefault((alert.rule, alert.phase), []).append(alert)
    shown: list[Json] = []
    for group in sorted(groups.values(), key=_group_order):
        if len(group) > MOST_APART:
            total = max(sizes.get(group[0].kpi, 0), len(group))
            shown.append(alert_json(plan, group[0]) | _others(plan, group) | {"total": total})
        else:
            shown += [alert_json(plan, alert) | ALONE for alert in group]
    return shown[:MOST_ALERTS]


def active_alerts(alerts: Iterable[Alert]) -> list[Alert]:
    """The active alerts, one for each series and rule: a firing one before a pending one, then the
    most severe."""
    return _one_a_series(alert for alert in alerts if alert.phase in ACTIVE_PHASES)


def _one_a_series(alerts: Iterable[Alert]) -> list[Alert]:
    """The first alert in order of each series and rule."""
    by_series: dict[tuple[str, str, Any], Alert] = {}
    for alert in in_order(alerts):
        by_series.setdefault((alert.rule, alert.kpi, alert.dimensions), alert)
    return list(by_series.values())


def _group_order(group: Sequence[Alert]) -> tuple[int, int, int]:
    """The sort key of groups: by phase and severity, then those with more series first."""
    return _PHASE_RANK[group[0].phase], _SEVERITY_RANK[group[0].severity], -len(group)


def _others(plan: Plan, group: Sequence[Alert]) -> Json:
    """The number of alerts of a group, and the others than its first in short."""
    others = [alert_json(plan, alert) for alert in group[1 : MOST_OTHERS + 1]]
    keys = ("key", "series", "severity", "since_ms", "value", "summary", "path")
    return {
        "count": len(group),
        "others": [{key: alert[key] for key in keys} for alert in others],
    }


def in_order(alerts: Iterable[Alert]) -> list[Alert]:
    """The alerts sorted: firing first, then the most severe, then the newest."""
    return sorted(
        alerts,
        key=lambda a: (
            _PHASE_RANK[a.phase],
            _SEVERITY_RANK[a.severity],
            -(a.since_ms or 0),
            a.rule,
            series_text(a.dimensions),
        ),
    )


def transitions_json(plan: Plan, transitions: Iterable[PublishedTransition]) -> list[Json]:
    """The last transitions of alerts, newest first."""
    return [transition_json(plan, t) for t in islice(transitions, MOST_TRANSITIONS)]


def transition_json(plan: Plan, transition: PublishedTransition) -> Json:
    """A transition of an alert, as the board shows it."""
    rule = plan.rules.get(transition["rule"])
    kpi = plan.subject_of(rule) if rule is not None else None
    dimensions = tuple(transition["dimensions"].values())
    at = datetime.fromisoformat(transition["at"])
    key = (
        transition["rule"],
        transition["severity"],
        transition["kpi"],
        dimensions,
        transition["at"],
        transition["state"],
    )
    return {
        "key": "/".join(map(str, key)),
        "at_ms": int(at.timestamp() * 1000),
        "rule": transition["rule"],
        "severity": transition["severity"],
        "state": transition["state"],
        "title": kpi.title if kpi else transition["kpi"] or transition["rule"],
        "series": series_text(dimensions),
        "because": transition.get("because", ""),
        "path": alert_path(transition["rule"], kpi, dimensions),
    }


def _is_recently_resolved(plan: Plan, alert: Alert, until_ms: int | None) -> bool:
    """Whether it was resolved within the last hour, or the KPI's last ten windows if that is
    longer."""
    kpi = plan.subject(alert.kpi)
    if alert.phase != AlertPhase.RESOLVED or kpi is None or None in (until_ms, alert.since_ms):
        return False
    ago_ms = (until_ms or 0) - (alert.since_ms or 0)
    return ago_ms <= max(RESOLVED_SHOWN_MS, 10 * kpi.window.step_ms)


def alert_json(plan: Plan, alert: Alert) -> Json:
    """An alert, as the board shows it."""
    kpi, rule = plan.subject(alert.kpi), plan.rules.get(alert.rule)
    by = kpi.by if kpi else ()
    series = series_text(alert.dimensions)
    title = kpi.title if kpi else alert.kpi
    return {
        "key": f"{alert.rule}/{alert.severity}/{alert.kpi}/{series_key(by, alert.dimensions)}",
        "rule": alert.rule,
        "severity": alert.severity,
        "phase": str(alert.phase),
        "kpi": alert.kpi,
        "title": title,
        "series": series,
        "since_ms": alert.since_ms,
        "value": None
        if alert.value is None
        else value_text(alert.value, kpi.unit if kpi else None),
        "summary": alert.summary or title,
        "description": alert.description,
        "owner": _owner(rule, kpi),
        "team": (rule.team if rule else None) or (kpi.team if kpi else None) or "",
        "escalation": escalation_text(rule.escalation if rule else ()),
        "runbook": safe_link(rule.runbook if rule else None),
        "path": alert_path(alert.rule, kpi, alert.dimensions),
    }


def by_rule(active: Sequence[Json]) -> list[tuple[Json, list[Json]]]:
    """Alerts of `alert_json` by rule and phase, in their order: of each group its first alert, and
    all."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for alert in active:
        groups.setdefault((alert["rule"], alert["phase"]), []).append(alert)
    return [(group[0], group) for group in groups.values()]


def _owner(rule: Rule | None, kpi: Kpi | None) -> str:
    names = (name for d in (rule, kpi) if d is not None for name in (d.owner, d.team) if name)
    return next(names, "")


def safe_link(url: str | None) -> str | None:
    """The URL if it is HTTP or HTTPS, else None: a rule must not bring a script to the board."""
    return url if url and urlsplit(url).scheme in ("http", "https") else None
