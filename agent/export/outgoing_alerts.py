"""The alerts and escalations that Alertmanager should have, with labels and annotations.

An alert's identity is its labels; they are those of the generated Prometheus rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.core.model.kpis import Kpi, SeriesRef
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.model.rules import Rule, is_whole
from agent.core.model.text import value_text
from agent.core.output.addresses import alert_path, dashboard_path, runbook_address
from agent.core.output.labels import ESCALATION, alert_labels, escalation_text, series_label
from agent.core.output.messages import label
from agent.core.output.privacy import Privacy
from agent.export.agent_state import NO_LINKS, Alert, Links

END_SENT_FOR_MS = 15 * 60_000
"""How long a resolved alert is sent that this worker did not send while it fired: another worker
may have. As long as Prometheus keeps resolved alerts (rules/alerting.go)."""
JOB = "kpi-agent"
"""The label `job`, as alerts of Prometheus have it."""

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OutgoingAlert:
    """An alert or an escalation, as sent to Alertmanager; `ended_ms` None: it fires."""

    series: SeriesRef
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    began_ms: int
    ended_ms: int | None

    @property
    def key(self) -> Key:
        """The identity of the alert in Alertmanager: its labels."""
        return tuple(sorted(self.labels.items()))


def alerts_to_send(
    plan: Plan,
    alerts: Sequence[Alert],
    now_ms: int,
    privacy: Privacy | None = None,
    external_labels: Mapping[str, str] | None = None,
    links: Links = NO_LINKS,
) -> dict[Key, OutgoingAlert]:
    """The alerts to send, with the escalations that are due."""
    privacy = privacy or Privacy()
    to_send: dict[Key, OutgoingAlert] = {}
    for alert in alerts:
        rule, kpi = plan.rules.get(alert.rule), plan.subject(alert.kpi)
        if rule is None or kpi is None or alert.since_ms is None:
            continue
        published = privacy.dimensions(plan, alert.kpi, alert.dimensions)
        masked = replace(alert, dimensions=published)
        for each in _with_escalations(plan, rule, kpi, masked, now_ms, links):
            # The worker that holds the series is found by the real dimensions, not by hashes.
            series = (alert.kpi, None if is_whole(rule) else alert.dimensions)
            labels = {**each.labels, **(external_labels or {})}
            outgoing = replace(each, series=series, labels=labels)
            to_send[outgoing.key] = outgoing
    return to_send


def _with_escalations(
    plan: Plan, rule: Rule, kpi: Kpi, alert: Alert, now_ms: int, links: Links
) -> Iterator[OutgoingAlert]:
    """An alert that fires or was resolved lately, and those of its escalations that are due."""
    since_ms = min(alert.since_ms or 0, now_ms)
    resolved = alert.phase is AlertPhase.RESOLVED
    is_recent = now_ms - since_ms < END_SENT_FOR_MS
    if alert.phase is not AlertPhase.FIRING and not (resolved and is_recent):
        return
    by = () if is_whole(rule) else kpi.by
    pairs = [(name, label(value)) for name, value in zip(by, alert.dimensions, strict=False)]
    labels = {"alertname": rule.name, "job": JOB, **dict(pairs)}
    labels |= alert_labels(plan, rule, kpi, alert.severity)
    if pairs:
        labels["series"] = series_label(pairs)
    series = (alert.kpi, None if is_whole(rule) else alert.dimensions)
    annotations = _annotations(rule, kpi, alert, links)
    ended_ms = since_ms if resolved else None
    yield OutgoingAlert(series, labels, annotations, since_ms, ended_ms)
    for step in rule.escalation:
        due_ms = since_ms + step.after_ms
        if resolved or now_ms >= due_ms:
            escalated = labels | {ESCALATION: step.to}
            began_ms = since_ms if resolved else due_ms
            yield OutgoingAlert(series, escalated, annotations, began_ms, ended_ms)


def _annotations(rule: Rule, kpi: Kpi, alert: Alert, links: Links) -> dict[str, str]:
    dimensions = () if is_whole(rule) else alert.dimensions
    resolved = alert.phase is AlertPhase.RESOLVED
    board = links.board if kpi.person is None else ""
    texts = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": rule.runbook or runbook_address(links.runbooks, "kpi-alert"),
        "dashboard_url": links.grafana and f"{links.grafana}/{dashboard_path(kpi, dimensions)}",
        "kpi_url": board and f"{board}/{alert_path(rule.name, kpi, dimensions)}",
        "value": "" if alert.value is None else value_text(alert.value, kpi.unit),
        "escalation": "" if resolved else escalation_text(rule.escalation),
    }
    return {name: text for name, text in texts.items() if text}
