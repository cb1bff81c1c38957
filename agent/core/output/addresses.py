"""The paths of the agent's own pages, relative to the address of its board."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.output.messages import dimensions_json
from agent.core.output.series_selector import selector_text

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
    """Where an alert leads: to the page of its series; of a composite rule, which is about no
    single KPI, and of one that is no longer declared, to its history."""
    if kpi is None or not kpi.name:
        return with_query(ALERTS, {"rule": rule})
    return series_path(kpi, dimensions)


def with_query(path: str, query: Mapping[str, str | None]) -> str:
    """A path with those of the parameters that are not None."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path
