"""`GET /api/v1/alerts`: the active alerts, and the last transitions.

    now_ms       the agent's clock
    alerts       [{rule, severity, state, kpi, dimensions, since, value, summary, description,
                 runbook, owner, team, escalation, objectives}]: pending, inhibited and firing, of
                 all workers; firing first, then the most severe, then the newest
    history      [transition]: the newest first, as messages of the alerts topic

Filters are `rule`, `kpi`, `state` and `severity`, each once or several times (any of the values
matches), and `limit`, the number of transitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.output.labels import escalation_text
from agent.core.output.messages import dimensions_json, iso
from agent.export.agent_state import Alert
from agent.export.web.board_alerts import ACTIVE_PHASES, in_order
from agent.export.web.selection import BadQuery
from agent.export.web.shown import Json

HISTORY_SHOWN = 100
"""The default of `limit`."""
MOST_HISTORY = 10_000
"""The largest `limit`."""
STATES = tuple(phase.value for phase in AlertPhase)
SEVERITIES = ("page", "critical", "warning", "info")
_ALLOWED: Mapping[str, tuple[str, ...] | None] = {
    "rule": None,
    "kpi": None,
    "state": STATES,
    "severity": SEVERITIES,
}


class Query:
    """The filters of a request, from its query parameters. Raises BadQuery."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.limit = HISTORY_SHOWN
        self._wanted: dict[str, set[str]] = {}
        for name, value in pairs:
            if name == "limit":
                self.limit = _number(value)
            elif name not in _ALLOWED:
                raise BadQuery(
                    f"no filter is called {_short(name)}: {', '.join(_ALLOWED)}, limit are"
                )
            else:
                allowed = _ALLOWED[name]
                if allowed is not None and value not in allowed:
                    raise BadQuery(f"{name} is one of {', '.join(allowed)}, not {_short(value)}")
                self._wanted.setdefault(name, set()).add(value)

    def matches(self, alert: Mapping[str, Any]) -> bool:
        """Whether an alert or a transition matches all filters."""
        return all(alert.get(name) in wanted for name, wanted in self._wanted.items())


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise BadQuery(f"limit is a number of transitions, not {_short(text)}")
    digits = text.lstrip("0")
    if len(digits) > len(str(MOST_HISTORY)) or int(digits or "0") > MOST_HISTORY:
        raise BadQuery(f"limit is at most {MOST_HISTORY}, not {_short(text)}")
    return int(digits or "0")


def _short(text: str) -> str:
    """A parameter, shortened for a message."""
    return text if len(text) <= 40 else f"{text[:40]}…"


def alerts_response(
    plan: Plan,
    alerts: Sequence[Alert],
    transitions: Iterable[Mapping[str, Any]],
    query: Query,
    now_ms: int,
) -> Json:
    """The response, as described above."""
    active = [_alert(plan, a) for a in in_order(a for a in alerts if a.phase in ACTIVE_PHASES)]
    history = [transition for transition in transitions if query.matches(transition)]
    return {
        "now_ms": now_ms,
        "alerts": [alert for alert in active if query.matches(alert)],
        "history": history[: query.limit],
    }


def _alert(plan: Plan, alert: Alert) -> Json:
    rule, kpi = plan.rules.get(alert.rule), plan.subject(alert.kpi)
    owner = (rule.owner if rule else None) or (kpi.owner if kpi else None)
    team = (rule.team if rule else None) or (kpi.team if kpi else None)
    return {
        "rule": alert.rule,
        "severity": alert.severity,
        "state": alert.phase.value,
        "kpi": (kpi.name or None) if kpi else alert.kpi,
        "dimensions": dimensions_json(kpi, alert.dimensions),
        "since": None if alert.since_ms is None else iso(alert.since_ms),
        "value": alert.value,
        "summary": alert.summary,
        "description": alert.description,
        "runbook": rule.runbook if rule else None,
        "owner": owner,
        "team": team,
        "escalation": escalation_text(rule.escalation if rule else ()) or None,
        "objectives": list(plan.objectives_of(alert.kpi)) if alert.kpi in plan.kpis else [],
    }
