"""Grafana boards and provisioning, from the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from agent.core.model.plan import Plan
from agent.core.output.privacy import public_plan
from agent.generate.board_agent import agent_board
from agent.generate.board_kpi import kpi_board
from agent.generate.board_strategy import strategy_board
from agent.generate.provisioning import provisioning

_VARIABLE = re.compile(r'(=~"(?:\(\.\*,\)\?)?)\$\w+')


def grafana_files(plan: Plan, external: Sequence[str] = (), address: str = "") -> dict[str, str]:
    """The generated files by path, relative to the output directory."""
    by_name = dashboards(plan, external, address)
    boards = {f"dashboards/{name}": text for name, text in by_name.items()}
    return boards | {f"provisioning/{name}": text for name, text in provisioning().items()}


def dashboards(plan: Plan, external: Sequence[str] = (), address: str = "") -> dict[str, str]:
    """The dashboards' JSON by file name: strategy, agent, and one for each KPI that is not private.

    `external`: the names of the labels that distinguish environments; each board shows one
    environment. `address`: of the agent's own board, which these link to.
    """
    boards = {
        "strategy.json": strategy_board(plan, external, address),
        "agent.json": agent_board(external),
    }
    public = public_plan(plan)
    boards |= {
        f"kpi-{name}.json": kpi_board(plan, kpi, external, address)
        for name, kpi in sorted(public.kpis.items())
    }
    return {name: board.json_text() for name, board in boards.items()}


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
