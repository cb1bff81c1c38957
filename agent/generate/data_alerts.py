"""Alerts over records that are lost, or read wrongly: what they should count in is not exact.

The ratios ignore topics with almost no traffic, where one bad record would be a large share.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.model import metrics
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.output.addresses import STRATEGY_UID, kpi_board_uid
from agent.generate import names
from agent.generate.agent_alerts import PER_TOPIC, WORKERS, AgentAlert
from agent.generate.templates import literal

SHARE_OF_BAD_RECORDS = 0.01
FEW_RECORDS = 20
MISSED_SHOWN = "1h"  # for so long after a gap its alert fires


def data_alerts() -> tuple[AgentAlert, ...]:
    """The alerts on the records of all topics, lookups and KPIs."""
    return (_missed_records(), *_bad_records(), *_misread(), _dropped_series())


def late_alerts(plan: Plan) -> tuple[AgentAlert, ...]:
    """One alert for each KPI whose late records may still count in another KPI, whose windows are
    longer: such records aren't late for their topic."""
    return tuple(
        _late(kpi)
        for _, kpi in sorted(plan.kpis.items())
        if kpi.contract and {other.window for other in plan.kpis_of(kpi.contract)} != {kpi.window}
    )


def _missed_records() -> AgentAlert:
    now = metrics.RECORDS_MISSED
    # A gap may be found before the first scrape, where `increase` would see nothing.
    earlier = f"({now} offset {MISSED_SHOWN} or {now} * 0)"
    return AgentAlert(
        "KpiAgentRecordsMissed",
        f"sum without ({WORKERS}, partition) (clamp_min({now} - {earlier}, 0)) > 0",
        "0m",
        "critical",
        "Records of {{ $labels.topic }} were deleted before the KPI agent read them",
        "{{ $value }} records: retention deleted them, somebody moved the group's offsets, or "
        "their topic was deleted. Windows that may lack them are marked as incomplete; the "
        "agent's log names partition and offsets.",
        "records-missed",
    )


def _bad_records() -> Iterable[AgentAlert]:
    share = "{{ $value | humanizePercentage }} of the records of {{ $labels.topic }} in 15 minutes"
    yield AgentAlert(
        "KpiAgentDeadLetters",
        _share("rejected"),
        "5m",
        "warning",
        "Events of {{ $labels.topic }} break their contract",
        f"{share} were rejected and count in no KPI. They are in the dead-letter topic, each with "
        "its reason.",
        "dead-letters",
    )
    yield AgentAlert(
        "KpiAgentLateEvents",
        _share("late"),
        "5m",
        "warning",
        "Events of {{ $labels.topic }} arrive too late",
        f"{share} arrived after their window had closed and count in no KPI. They are in the late "
        "topic.",
        "late-events",
    )
    yield AgentAlert(
        "KpiAgentLatePartials",
        f"sum without ({WORKERS}) (increase({metrics.LATE_PARTIALS}[15m])) > 0",
        "0m",
        "warning",
        "Events of partitions that were idle arrive too late",
        "{{ $value | humanize }} partial aggregates in 15 minutes arrived after their windows had "
        "closed. Their events count in longer windows only.",
        "late-events",
    )


def _share(outcome: str) -> str:
    """An alert that one outcome exceeds the accepted share of a topic's records."""
    every = f"sum without ({PER_TOPIC}) (increase({metrics.RECORDS}[15m]))"
    chosen = names.selector(metrics.RECORDS, [("outcome", outcome)])
    share = f"sum without ({PER_TOPIC}) (increase({chosen}[15m]))"
    return _above_share(f"{share} / ({every} > {FEW_RECORDS})")


def _above_share(ratio: str) -> str:
    return f"{ratio} > {SHARE_OF_BAD_RECORDS}"


def _misread() -> Iterable[AgentAlert]:
    null = (
        f"increase({metrics.FIELD_WRONG_TYPES}[15m]) + increase({metrics.FIELD_FAILED_CASTS}[15m])"
    )
    valid = names.matching(metrics.RECORDS, ['outcome!="rejected"', 'contract!=""'])
    events = f"sum without ({WORKERS}, outcome, reason) (increase({valid}[15m]))"
    fields = f"sum without ({WORKERS}) ({null})"
    yield AgentAlert(
        "KpiAgentFieldsUnreadable",
        _above_share(f"{fields} / ignoring (field) group_left () ({events} > {FEW_RECORDS})"),
        "5m",
        "warning",
        "Field {{ $labels.field }} of {{ $labels.contract }} can't be read",
        "In {{ $value | humanizePercentage }} of the events of {{ $labels.topic }} in 15 minutes, "
        "its value has another type, or a cast of it fails. KPIs take it as null.",
        "fields-unreadable",
    )
    yield AgentAlert(
        "KpiAgentLookupUnreadable",
        f"max without ({WORKERS}) ({metrics.LOOKUP_UNREADABLE_KEYS}) > 0",
        "5m",
        "warning",
        "Rows of the lookup {{ $labels.lookup }} can't be read",
        "{{ $value }} keys of its topic have no row, because their last record can't be read. "
        "Events with these keys get null from the lookup; the agent's log names the records.",
        "lookup-unreadable",
    )


def _dropped_series() -> AgentAlert:
    return AgentAlert(
        "KpiSeriesDropped",
        f"sum without ({WORKERS}) (increase({metrics.DROPPED_SERIES}[1h])) > 0",
        "0m",
        "warning",
        "KPI {{ $labels.kpi }} has more series than its max_series",
        "New combinations of its dimensions are folded into `__other__`; existing series continue.",
        "series-dropped",
    )


def _late(kpi: Kpi) -> AgentAlert:
    late = names.selector(metrics.LATE_ROWS, [("kpi", kpi.name)])
    records = names.selector(metrics.RECORDS, [("contract", kpi.contract or "")])
    events = f"sum without ({PER_TOPIC}, topic) (increase({records}[15m]))"
    share = f"sum without ({WORKERS}, kpi) (increase({late}[15m])) / ({events} > {FEW_RECORDS})"
    labels = [("kpi", kpi.name), ("owner", kpi.owner), ("team", kpi.team)]
    return AgentAlert(
        "KpiEventsLate",
        _above_share(share),
        "5m",
        "warning",
        f"Events arrive too late for {literal(kpi.title)}",
        "{{ $value | humanizePercentage }} of them in 15 minutes arrived after a window of this "
        "KPI had closed, and do not count in it.",
        "late-events",
        tuple((name, literal(value)) for name, value in labels if value),
        kpi_board_uid(kpi.name) if kpi.person is None else STRATEGY_UID,
    )
