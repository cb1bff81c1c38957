"""Alerts for the teams that produce events: the agent rejects more of their records than usual."""

from __future__ import annotations

from agent.core.model import metrics
from agent.core.model.events import Contract
from agent.core.model.plan import Plan
from agent.generate import names
from agent.generate.agent_alerts import WORKERS, AgentAlert
from agent.generate.data_alerts import FEW_RECORDS, SHARE_OF_BAD_RECORDS
from agent.generate.templates import literal

REJECTED = "KpiEventsRejected"
_WITHOUT = f"{WORKERS}, topic, outcome, reason"


def rejected_alerts(plan: Plan) -> tuple[AgentAlert, ...]:
    """One alert for each event with an owner: the agent rejects a share of its records."""
    contracts = (contract for _, contract in sorted(plan.contracts.items()))
    return tuple(_rejected(contract) for contract in contracts if contract.team or contract.owner)


def _rejected(contract: Contract) -> AgentAlert:
    labels = [("contract", contract.name), ("owner", contract.owner), ("team", contract.team)]
    share = f"{_increase(contract, outcome='rejected')} / ({_increase(contract)} > {FEW_RECORDS})"
    return AgentAlert(
        REJECTED,
        f"{share} > {SHARE_OF_BAD_RECORDS}",
        "5m",
        "warning",
        f"Events {literal(contract.name)} break their contract",
        "{{ $value | humanizePercentage }} of them were rejected in 15 minutes and count in no "
        "KPI. They are in the dead-letter topic, each with its reason.",
        "dead-letters",
        tuple((name, literal(value)) for name, value in labels if value),
    )


def _increase(contract: Contract, **more: str) -> str:
    chosen = names.selector(metrics.RECORDS, [("contract", contract.name), *more.items()])
    return f"sum without ({_WITHOUT}) (increase({chosen}[15m]))"
