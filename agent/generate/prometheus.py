"""Prometheus alert rules and scrape configuration, from the plan.

A KPI's alert only tests `kpi_rule_state`: all timing (`for`, `clear`, `keep_firing_for`, minimum
event count) has been decided by the agent, in event time, and survives restarts there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import yaml

from agent.core.model import metrics
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.rules import CompositeRule, Escalation, Rule, Severity, is_whole
from agent.core.model.text import conditions_of, duration
from agent.core.output.addresses import (
    STRATEGY_UID,
    alert_path,
    kpi_board_uid,
    kpi_path,
    runbook_address,
    variable_name,
)
from agent.core.output.labels import ESCALATION, alert_labels, escalation_text
from agent.generate import files, names, templates
from agent.generate.agent_alerts import (
    AgentAlert,
    agent_alerts,
    objective_alerts,
    stale_alerts,
)
from agent.generate.data_alerts import data_alerts, late_alerts
from agent.generate.producer_alerts import rejected_alerts

WHAT = "prometheus"
RULES_FILE = "kpi-agent.rules.yml"

Entry = dict[str, object]


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment that the rules are for. `board`, `grafana`, `runbooks`: base addresses for
    links in annotations, without a slash at the end; "": not known, so that nothing links there.
    `external_labels`: the names of the labels that distinguish environments."""

    board: str = ""
    grafana: str = ""
    runbooks: str = ""
    external_labels: tuple[str, ...] = ()


def prometheus_files(plan: Plan, deployment: Deployment | None = None) -> dict[str, str]:
    """The generated files by path, relative to the output directory."""
    return {RULES_FILE: alert_rules(plan, deployment)}


def alert_rules(plan: Plan, deployment: Deployment | None = None) -> str:
    """A Prometheus rules file (YAML): the KPIs' alerts, their freshness, the agent's health."""
    deployment = deployment or Deployment()
    groups: list[Entry] = [
        {
            "name": f"kpi:{name}",
            "rules": [_recorded_state([("kpi", name)], kpi), *_kpi_entries(plan, kpi, deployment)],
        }
        for name, kpi in sorted(plan.kpis.items())
        if plan.rules_of(name)
    ]
    composites = [
        entry
        for subject, rule in sorted(plan.composites.items())
        if (kpi := plan.subject(subject)) is not None
        for entry in (
            _recorded_state([("rule", rule.name)], kpi), *_rule_entries(plan, rule, kpi, deployment)
        )
    ]  # fmt: skip
    if composites:
        groups.append({"name": "kpi-composites", "rules": composites})
    missed = [_agent_entry(alert, deployment) for alert in objective_alerts(plan)]
    stale = [_agent_entry(alert, deployment) for alert in stale_alerts(plan)]
    own = (*agent_alerts(deployment.external_labels), *data_alerts())
    health = [_agent_entry(alert, deployment) for alert in own]
    if missed:
        states = names.one_of_workers(metrics.OBJECTIVE_STATE)
        recorded: Entry = {"record": names.HELD_OBJECTIVE_STATE, "expr": states}
        groups.append({"name": "kpi-objectives", "rules": [recorded, *missed]})
    if stale:
        groups.append({"name": "kpi-freshness", "rules": stale})
    of_events = (*rejected_alerts(plan), *late_alerts(plan))
    if events := [_agent_entry(alert, deployment) for alert in of_events]:
        groups.append({"name": "kpi-events", "rules": events})
    groups.append({"name": "kpi-agent", "rules": health})
    head = "Alerts over the KPIs and over the agent itself. docs/boards.md says what each is for."
    return _document({"groups": groups}, files.mark(WHAT), head)


def _kpi_entries(plan: Plan, declared: Kpi, deployment: Deployment) -> Iterator[Entry]:
    for rule in sorted(plan.rules_of(declared.name), key=lambda r: r.name):
        # The alert of a whole KPI has no dimensions.
        kpi = replace(declared, by=()) if is_whole(rule) else declared
        yield from _rule_entries(plan, rule, kpi, deployment)


def _rule_entries(plan: Plan, rule: Rule, kpi: Kpi, deployment: Deployment) -> Iterator[Entry]:
    for severity, condition in conditions_of(rule):
        entry: Entry = {
            "alert": rule.name,
            "expr": _firing(rule, kpi, severity, deployment.external_labels),
            "labels": _labels(plan, rule, kpi, severity),
            "annotations": _annotations(rule, kpi, severity, condition, deployment),
        }
        yield entry
        for step in rule.escalation:
            yield _escalated(entry, step)


def _escalated(entry: Entry, escalation: Escalation) -> Entry:
    """The alert that notifies the next receiver. The time that people have had is wall-clock time,
    so Prometheus measures it."""
    labels = cast(dict[str, str], entry["labels"])
    return {
        "alert": entry["alert"],
        "expr": entry["expr"],
        "for": duration(escalation.after_ms),
        "labels": labels | {ESCALATION: templates.literal(escalation.to)},
        "annotations": dict(cast(dict[str, str], entry["annotations"])),  # YAML would alias it
    }


def _recorded_state(labels: Sequence[tuple[str, str]], kpi: Kpi) -> Entry:
    """Recording rules for the states of a KPI's rules, or of a composite rule, whichever worker
    exports them.

    They are recorded so that a series has one last value: if two workers had it within a gap, only
    the last value of each would be known.
    """
    states = names.selector(metrics.RULE_STATE, labels)
    return {"record": names.HELD_RULE_STATE, "expr": names.one_of_workers(states, kpi.by)}


def _firing(rule: Rule, kpi: Kpi, severity: Severity, external: Sequence[str]) -> str:
    state = names.selector(
        names.HELD_RULE_STATE,
        [("rule", rule.name), ("severity", severity), *([("kpi", kpi.name)] if kpi.name else [])],
    )
    return f"{names.through_gaps(state)} == {names.FIRING} {_unless_agents_send(external)}"


def _unless_agents_send(external: Sequence[str]) -> str:
    """A condition: where agents send alerts themselves, Prometheus sends none, whether agents reach
    an Alertmanager or not, because two senders of an alert would resolve it for each other. While
    all agents are down, their last state counts."""
    on, up = names.on(external), metrics.ALERT_DELIVERY_UP
    lately = f"last_over_time({up}[{names.GAP_OF_SENDERS}]) unless {on} {metrics.BUILD_INFO}"
    return f"unless {on} ({up} or ({lately}))"


def _labels(plan: Plan, rule: Rule, kpi: Kpi, severity: Severity) -> dict[str, str]:
    """The labels of an alert, never a value. Rule, KPI and dimensions are labels of the series."""
    labels = alert_labels(plan, rule, kpi, severity)
    fixed = {name: templates.literal(value) for name, value in labels.items()}
    series = templates.series_text(kpi.by, ",")
    return fixed | ({"series": series} if series else {})


def _annotations(
    rule: Rule, kpi: Kpi, severity: Severity, condition: str, deployment: Deployment
) -> dict[str, str]:
    summary = templates.annotation(rule.summary, rule, kpi, severity, condition)
    described = templates.annotation(rule.description, rule, kpi, severity, condition)
    texts = {
        "summary": summary or templates.plain_summary(kpi, condition),
        "description": described or _description(rule, kpi, condition),
        "runbook_url": templates.literal(
            rule.runbook or runbook_address(deployment.runbooks, "kpi-alert")
        ),
        "dashboard_url": _board(kpi, deployment),
        "kpi_url": _page(rule, kpi, deployment),
        ESCALATION: templates.literal(escalation_text(rule.escalation)),
    }
    return {name: text for name, text in texts.items() if text}


def _description(rule: Rule, kpi: Kpi, condition: str) -> str:
    if isinstance(rule, CompositeRule):
        held = templates.literal(condition)
        return f"The rule {rule.name}{templates.where(kpi.by)}: {held}."
    value = templates.value_with_unit(rule, kpi)
    return (
        f"{templates.literal(kpi.title)}{templates.where(kpi.by)} is {value}. "
        f"The rule {rule.name}: {templates.literal(condition)}."
    )


def _board(kpi: Kpi, deployment: Deployment) -> str:
    """The KPI's board, with the alert's series selected; the strategy board if it has none."""
    if not deployment.grafana:
        return ""
    if not kpi.name or kpi.person is not None:
        return f"{deployment.grafana}/d/{STRATEGY_UID}"
    chosen = "&".join(
        f"var-{variable_name(name)}={{{{ $labels.{name} | urlquery }}}}" for name in kpi.by
    )
    return f"{deployment.grafana}/d/{kpi_board_uid(kpi.name)}" + (f"?{chosen}" if chosen else "")


def _page(rule: Rule, kpi: Kpi, deployment: Deployment) -> str:
    """The page of the alert's series on the agent's board (`core.output.addresses`)."""
    if not deployment.board or kpi.person is not None:
        return ""
    if not kpi.name:
        return f"{deployment.board}/{alert_path(rule.name, None, None)}"
    path = f"{deployment.board}/{kpi_path(kpi.name)}"
    # Quoted as Go does: a value may hold a comma.
    series = "%2C".join(
        f'{name}%3D{{{{ printf "%q" $labels.{name} | urlquery }}}}' for name in kpi.by
    )
    return f"{path}?series={series}" if series else path


def _agent_entry(alert: AgentAlert, deployment: Deployment) -> Entry:
    entry: Entry = {"alert": alert.name, "expr": alert.expr}
    if alert.hold != "0m":
        entry["for"] = alert.hold
    entry["labels"] = {"severity": alert.severity, **dict(alert.labels)}
    grafana = deployment.grafana
    texts = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook_address(deployment.runbooks, alert.runbook),
        "dashboard_url": f"{grafana}/d/{alert.board}" if grafana else "",
    }
    entry["annotations"] = {name: text for name, text in texts.items() if text}
    return entry


def _document(content: Entry, *comments: str) -> str:
    head = "".join(f"# {line}\n" for line in comments if line)
    return head + yaml.safe_dump(
        content,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=2**20,
    )
