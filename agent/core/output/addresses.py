"""The paths of the agent's own pages and of the generated Grafana boards, relative to the addresses
of the board and of Grafana; the titles, uids and variables of the boards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.output.messages import dimensions_json, label
from agent.core.output.series_selector import selector_text

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


ALERTS = "alerts"


def kpi_path(kpi: str) -> str:
    """The page of a KPI: `kpis/response_time`."""
    return f"kpis/{quote(kpi, safe='')}"


def series_path(kpi: Kpi, dimensions: Dimensions | None) -> str:
    """The page of a series: `kpis/response_time?series=region%3Demea`; without dimensions, that of
    its KPI."""
    if not dimensions or len(dimensions) != len(kpi.by):
        return kpi_path(kpi.name)
    series = selector_text(dimensions_json(kpi, dimensions))
    return with_query(kpi_path(kpi.name), {"series": series})


def alert_path(rule: str, kpi: Kpi | None, dimensions: Dimensions | None) -> str:
    """The page that an alert links to: that of its series. An alert of a composite rule, which is
    about no single KPI, or of a rule that is no longer declared links to its history."""
    if kpi is None or not kpi.name:
        return with_query(ALERTS, {"rule": rule})
    return series_path(kpi, dimensions)


def dashboard_path(kpi: Kpi, dimensions: Dimensions | None) -> str:
    """The generated Grafana board of a KPI, with the series selected. KPIs without a board of their
    own are on the strategy board."""
    if not kpi.name or kpi.person is not None:
        return f"d/{STRATEGY_UID}"
    values = dimensions if dimensions and len(dimensions) == len(kpi.by) else ()
    chosen = {f"var-{variable_name(n)}": label(v) for n, v in zip(kpi.by, values, strict=False)}
    return with_query(f"d/{kpi_board_uid(kpi.name)}", chosen)


def runbook_address(runbooks: str, name: str) -> str:
    """The address of one of the agent's own runbooks; "" if no address of runbooks is set."""
    if "{name}" in runbooks:
        return runbooks.replace("{name}", name)
    return f"{runbooks}/{name}" if runbooks else ""


def with_query(path: str, query: Mapping[str, str | None]) -> str:
    """A path with those of the parameters that are not None."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path
