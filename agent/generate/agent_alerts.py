"""Alerts over the agent itself that no agent can send: it is down, behind, or gets no records.

Times here are Prometheus' clock, unlike the KPI rules, whose timing is event time in the agent.
`data_alerts` has those over records that are lost, or read wrongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.core.model import metrics
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Objective, Plan
from agent.core.model.rules import Severity
from agent.core.model.text import duration
from agent.core.model.windows import CalendarWindow
from agent.core.output.addresses import AGENT_UID, STRATEGY_UID, kpi_board_uid
from agent.generate import names
from agent.generate.templates import literal

REMEMBERED = "1d"
"""How long an environment without any agent is remembered as missing."""
WORKERS = ", ".join(names.WORKER_LABELS)
PER_TOPIC = f"{WORKERS}, outcome, reason, contract"
LAG_SECONDS = 300
LAG_CRITICAL_SECONDS = 1800
FRAMES_LAG_SECONDS = 60
STALLED_SECONDS = 120
REMOTE_WRITE_SECONDS = 300
OBJECTIVE_MISSED = "KpiObjectiveMissed"
ROLLING_CHANGE = "15m"  # for so long, workers of a group may run different rules
OBJECTIVE_HOLD = "15m"
"""`for` of objective alerts: a score changes with every window that closes, and short dips need no
action."""
FRESHNESS_MARGIN_SECONDS = 300
"""Tolerance beyond the declared time of a window, for flushes, scrapes and rebalances."""


@dataclass(frozen=True, slots=True)
class AgentAlert:
    """An alert on the agent's own metrics. `runbook`: the stem of a file in docs/runbooks/;
    `board`: the uid of its Grafana board."""

    name: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    description: str
    runbook: str
    labels: tuple[tuple[str, str], ...] = ()
    board: str = AGENT_UID


def agent_alerts(external: Sequence[str] = ()) -> tuple[AgentAlert, ...]:
    """The alerts on the agent's health, most severe first. `external`: the names of the labels that
    distinguish environments."""
    return (*_down(external), *_ready(), *_behind(), *_inside(external))


def stale_alerts(plan: Plan) -> tuple[AgentAlert, ...]:
    """One alert for each KPI: its windows no longer close."""
    return tuple(_stale(kpi, plan) for _, kpi in sorted(plan.kpis.items()))


def objective_alerts(plan: Plan) -> tuple[AgentAlert, ...]:
    """One alert for each objective: it is missed."""
    return tuple(_missed(objective) for _, objective in sorted(plan.objectives.items()))


def stale_after_seconds(kpi: Kpi, plan: Plan) -> int:
    """The highest normal age of the end of a KPI's newest closed window.

    A window closes every hop (calendar windows: every period, at its longest); lateness and,
    without new events, the idle time of its contracts are added.
    """
    window = kpi.window
    hop_ms = window.span_ms if isinstance(window, CalendarWindow) else window.hop_ms
    contracts = [plan.contracts[name] for name in plan.contracts_under(kpi.name)]
    wait_ms = max((c.lateness_ms + c.idle_after_ms for c in contracts), default=kpi.lateness_ms)
    return -(-(hop_ms + max(wait_ms, kpi.lateness_ms)) // 1000) + FRESHNESS_MARGIN_SECONDS


def _absent(external: Sequence[str]) -> str:
    """The alert that no agent runs; with external labels, also that none runs in an environment
    that had some, which `absent` can't express."""
    if not external:
        return f"absent({metrics.BUILD_INFO})"
    by = ", ".join(external)
    known = f"group by ({by}) (last_over_time({metrics.BUILD_INFO}[{REMEMBERED}]))"
    here = f"group by ({by}) ({metrics.BUILD_INFO})"
    return f"({known} unless {here}) or absent({metrics.BUILD_INFO})"


def _of_environment(external: Sequence[str]) -> str:
    """` (prod, eu-1)` as a template of the alert's labels."""
    if not external:
        return ""
    values = ", ".join(f"{{{{ $labels.{name} }}}}" for name in external)
    return f"{{{{ if $labels.{external[0]} }}}} ({values}){{{{ end }}}}"


def _down(external: Sequence[str]) -> Iterable[AgentAlert]:
    yield AgentAlert(
        "KpiAgentAbsent",
        _absent(external),
        "2m",
        "critical",
        "No KPI agent is running" + _of_environment(external),
        "Prometheus has no series of any KPI agent: no KPI is computed and no KPI alert can fire.",
        "agent-down",
    )
    yield AgentAlert(
        "KpiAgentDown",
        f"up{{job={names.quoted(names.JOB)}}} == 0",
        "1m",
        "warning",
        "KPI agent {{ $labels.instance }} is down",
        "Prometheus can't scrape {{ $labels.instance }}. The other workers take over its share; "
        "with none left, no KPI is computed.",
        "agent-down",
    )


def _ready() -> Iterable[AgentAlert]:
    yield AgentAlert(
        "KpiAgentNotReady",
        f"{metrics.READY} == 0",
        "5m",
        "warning",
        "KPI agent {{ $labels.instance }} is not ready: {{ $labels.component }}",
        "The worker runs, but {{ $labels.component }} is not ready; /-/ready on "
        "{{ $labels.instance }} gives the reason.",
        "agent-not-ready",
    )


def _behind() -> Iterable[AgentAlert]:
    lag = f"sum without ({WORKERS}, partition) ({metrics.LAG})"
    rate = f"sum without ({PER_TOPIC}) (rate({metrics.RECORDS}[5m]))"
    # Nothing read at all divides by zero: infinitely far behind, which is right. No lag and nothing
    # read is NaN, which no comparison holds for.
    levels: tuple[tuple[Severity, int], ...] = (
        ("critical", LAG_CRITICAL_SECONDS),
        ("warning", LAG_SECONDS),
    )
    for severity, seconds in levels:
        yield AgentAlert(
            "KpiAgentLagging",
            f"{lag} / {rate} > {seconds}",
            "5m",
            severity,
            "KPIs of topic {{ $labels.topic }} are behind",
            "At the speed of the last five minutes, the backlog of {{ $labels.topic }} takes "
            "{{ $value | humanizeDuration }} to process. Windows close that much later.",
            "agent-lagging",
        )
    frames = f"sum without ({WORKERS}, state_partition) ({metrics.FRAMES_LAG})"
    merged = f"sum without ({WORKERS}) (rate({metrics.FRAMES_APPLIED}[5m]))"
    yield AgentAlert(
        "KpiAgentMergeLagging",
        f"{frames} / {merged} > {FRAMES_LAG_SECONDS}",
        "5m",
        "warning",
        "KPIs are behind: frames wait to be merged",
        "At the speed of the last five minutes, the backlog of frames takes "
        "{{ $value | humanizeDuration }} to merge. Windows close that much later.",
        "agent-lagging",
    )
    yield AgentAlert(
        "KpiAgentStalled",
        f"time() - {metrics.LAST_MERGE} > {STALLED_SECONDS}",
        "1m",
        "critical",
        "KPI agent {{ $labels.instance }} has work, but publishes no results",
        "Frames have been waiting for {{ $value | humanizeDuration }}, and none was merged: no "
        "window closes and no alert of its series fires. /-/ready gives the reason.",
        "agent-stalled",
    )
    yield AgentAlert(
        "KpiAgentNoEvents",
        f"sum without ({PER_TOPIC}, topic) (increase({metrics.RECORDS}[15m])) == 0",
        "5m",
        "warning",
        "No events have reached the KPI agents for 15 minutes",
        "The agents run, but no topic has new records. Check the producers, the broker and the "
        "agents' access to it.",
        "no-events",
    )


def _inside(external: Sequence[str]) -> Iterable[AgentAlert]:
    group = ", ".join(("group", *external))
    yield AgentAlert(
        "KpiAgentTwoRuleSets",
        f"count by ({group}) (count by ({group}, config_hash) ({metrics.BUILD_INFO})) > 1",
        ROLLING_CHANGE,
        "critical",
        "Workers of the KPI agent group {{ $labels.group }} run different rules",
        "Workers have run {{ $value }} rule sets for longer than a rolling restart takes. Each "
        "record is folded by the rules of the worker that reads it, so values are mixed. "
        "`config_hash` of kpi_agent_build_info shows the rules of each worker.",
        "two-rule-sets",
    )
    failed = names.selector(metrics.RELOADS, [("result", "failed")])
    done = names.selector(metrics.RELOADS, [("result", "ok")])
    yield AgentAlert(
        "KpiAgentReloadFailed",
        f"increase({failed}[15m]) > 0 unless ignoring (result) increase({done}[5m]) > 0",
        "0m",
        "warning",
        "KPI agent {{ $labels.instance }} rejected new rules",
        "The new rules are invalid, and the agent keeps the old ones. `kpi-agent check` reports "
        "every error with file and line.",
        "reload-failed",
    )
    yield AgentAlert(
        "KpiAgentErrors",
        f"increase({metrics.ERRORS}[15m]) > 0",
        "0m",
        "warning",
        "KPI agent {{ $labels.instance }} had errors in {{ $labels.component }}",
        "An exception was caught; the agent's log has the traceback.",
        "agent-errors",
    )
    yield AgentAlert(
        "KpiAgentAlertsUndelivered",
        f"{metrics.ALERT_DELIVERY_UP} == 0",
        "5m",
        "critical",
        "KPI agent {{ $labels.instance }} reaches no Alertmanager",
        "Nobody receives the alerts of its KPIs: Prometheus does not send alerts that agents send. "
        "The agent's log has the reason.",
        "alerts-undelivered",
    )
    yield from _remote_write()


def _remote_write() -> Iterable[AgentAlert]:
    yield AgentAlert(
        "KpiAgentRemoteWriteBehind",
        f"time() - {metrics.REMOTE_WRITE_DELIVERED} > {REMOTE_WRITE_SECONDS}",
        "5m",
        "warning",
        "Remote write of KPI agent {{ $labels.instance }} is behind",
        "Windows published {{ $value | humanizeDuration }} ago are not delivered. They wait in "
        "the values topic until its retention deletes them; the agent's log has the receiver's "
        "response.",
        "remote-write",
    )
    lost = names.matching(metrics.REMOTE_WRITE_DROPPED, ['reason=~"rejected|expired|unreadable"'])
    yield AgentAlert(
        "KpiAgentRemoteWriteDropped",
        f"sum without ({WORKERS}) (increase({lost}[15m])) > 0",
        "0m",
        "warning",
        "Remote write drops samples: {{ $labels.reason }}",
        "{{ $value | humanize }} samples or records in 15 minutes. The agent's log has the first "
        "one of each request, with the reason.",
        "remote-write",
    )


def _missed(objective: Objective) -> AgentAlert:
    state = names.selector(names.HELD_OBJECTIVE_STATE, [("objective", objective.name)])
    labels = [
        ("objective", objective.name), ("owner", objective.owner), ("team", objective.team),
    ]  # fmt: skip
    return AgentAlert(
        OBJECTIVE_MISSED,
        f"{names.through_gaps(state)} == {names.MISSED}",
        OBJECTIVE_HOLD,
        "warning",
        f"Objective missed: {literal(objective.title)}",
        "Its score is below 90 %, by the weights of its KPIs. The board shows which of them fall "
        "short; warnings of their own are held back for the team meanwhile, critical ones are not.",
        "objective-missed",
        tuple((name, literal(value)) for name, value in labels if value),
        STRATEGY_UID,
    )


def _stale(kpi: Kpi, plan: Plan) -> AgentAlert:
    end = names.selector(metrics.WINDOW_END, [("kpi", kpi.name)])
    limit = stale_after_seconds(kpi, plan)
    labels = [("kpi", kpi.name), ("owner", kpi.owner), ("team", kpi.team)]
    return AgentAlert(
        "KpiStale",
        f"time() - {names.one_of_workers(names.through_gaps(end))} > {limit}",
        "5m",
        "warning",
        f"{literal(kpi.title)} is stale",
        "Its last window closed {{ $value | humanizeDuration }} ago; by its declaration it should "
        f"be at most {duration(limit * 1000)}. Boards and rules show an old value.",
        "kpi-stale",
        tuple((name, literal(value)) for name, value in labels if value),
        kpi_board_uid(kpi.name) if kpi.person is None else STRATEGY_UID,
    )
