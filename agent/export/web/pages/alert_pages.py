"""The page of alerts: `/alerts?rule=&kpi=&state=&severity=&limit=`.

It shows the data of `/api/v1/alerts`, with the same filters (`web.alerts`): the active alerts of
all workers, by rule, and the last transitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.model.plan import Plan
from agent.core.model.text import seconds_text
from agent.core.output.addresses import ALERTS, with_query
from agent.export.web.alerts import HISTORY_SHOWN, SEVERITIES
from agent.export.web.board_alerts import by_rule
from agent.export.web.shown import Json, clock_text, html, iso_text

MOST_RULES = 60
MOST_SERIES = 50
"""Series of a rule that are listed; the others are counted."""
_TRANSITIONS = {
    "firing": "fired", "pending": "became pending", "inhibited": "was inhibited",
    "resolved": "resolved", "inactive": "cleared before firing",
}  # fmt: skip


def alerts_page(
    board: str, plan: Plan, active: Sequence[Json], transitions: Sequence[Json],
    query: Mapping[str, str], now_ms: int, data_until_ms: int | None, timezone: str,
) -> str:  # fmt: skip
    """The page as HTML, of the active alerts (`board_alerts.alert_json`, in their order) and the
    transitions (`board_alerts.transition_json`, the newest first) that match the filters in
    `query`."""
    until_ms = data_until_ms or now_ms
    limit = int(query.get("limit", HISTORY_SHOWN))
    filters = {n: v for n, v in query.items() if n != "limit"}

    def address(**changed: str | None) -> str:
        return with_query(ALERTS, {**filters, **changed})

    rules = sorted(
        {alert["rule"] for alert in active} | {transition["rule"] for transition in transitions}
    )
    return html(
        "alerts.html",
        board=board,
        timezone=timezone,
        groups=by_rule(active)[:MOST_RULES],
        hidden_rules=max(0, len(by_rule(active)) - MOST_RULES),
        most_series=MOST_SERIES,
        transitions=transitions[:limit],
        more=address(limit=str(limit * 4)) if len(transitions) > limit else None,
        chosen=filters,
        severities=[(s, address(severity=s)) for s in SEVERITIES],
        rules=[(rule, address(rule=rule)) for rule in rules][:MOST_RULES],
        everything=ALERTS,
        words=_TRANSITIONS,
        clock=lambda at_ms: clock_text(at_ms, now_ms, timezone, seconds=True),
        iso=lambda at_ms: iso_text(at_ms, timezone),
        lasts=lambda since_ms: seconds_text(max(0, (until_ms - since_ms) // 1000)),
        titles={name: kpi.title for name, kpi in plan.kpis.items()},
    )
