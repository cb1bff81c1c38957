"""The queries of dashboards, as Grafana sends them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_VARIABLE = re.compile(r'(=~"(?:\(\.\*,\)\?)?)\$\w+')


def queries(dashboard_json: str) -> list[str]:
    """The PromQL of a dashboard with its variables filled in: `All` for every dimension, one minute
    for rates, and a range of an hour in steps that a short history has, too."""
    panels = json.loads(dashboard_json)["panels"]
    return [fill(expr, interval="5s") for expr in _expressions(panels)]


def fill(expr: str, span: str = "1h", interval: str = "1m") -> str:
    """An expression with Grafana's variables at their defaults, for a time range of `span` and
    points at `interval`."""
    own = {"$__rate_interval": "1m", "$__interval": interval, "$__range": span}
    filled = _VARIABLE.sub(r"\1.*", expr)
    for variable, value in own.items():
        filled = filled.replace(variable, value)
    return filled


def _expressions(panels: list[dict[str, object]]) -> Iterator[str]:
    for panel in panels:
        for target in panel.get("targets") or []:  # type: ignore[attr-defined]
            yield target["expr"]
