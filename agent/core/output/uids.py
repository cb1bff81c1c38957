"""The fixed titles, uids and variables of the generated boards, shared by links, alerts and the
boards' files."""

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


DATA_SOURCE_VARIABLE = "datasource"
"""The boards' variable for the Prometheus that they read."""


def variable_name(dimension: str) -> str:
    """The boards' variable for a dimension: its name, unless that is the data source's variable."""
    reserved = dimension.rstrip("_") == DATA_SOURCE_VARIABLE
    return f"{dimension}_" if reserved else dimension
