"""The boards' fixed titles and addresses: links, alerts and provisioning agree on them."""

from __future__ import annotations

import hashlib

STRATEGY_UID = "kpis-strategy"
STRATEGY_TITLE = "Strategy"
AGENT_UID = "kpis-agent"
AGENT_TITLE = "KPI agent"
MAX_UID = 40
"""Grafana's limit of a dashboard uid."""


def kpi_board_uid(kpi: str) -> str:
    """The uid of a KPI's board: `kpi-<name>`, shortened with a hash where it is too long."""
    uid = f"kpi-{kpi}"
    if len(uid) <= MAX_UID:
        return uid
    digest = hashlib.sha256(kpi.encode()).hexdigest()[:8]
    return f"{uid[: MAX_UID - 9]}-{digest}"
