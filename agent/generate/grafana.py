"""Grafana boards and provisioning, from the plan."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from agent.core.model.plan import Plan
from agent.core.output.privacy import public_plan
from agent.generate.board_agent import agent_board
from agent.generate.board_kpi import kpi_board
from agent.generate.board_strategy import strategy_board
from agent.generate.files import mark
from agent.generate.layout import WHAT

DATASOURCE_UID = "prometheus"
DASHBOARDS_PATH = "/var/lib/grafana/dashboards"
"""Where deploy/compose.yaml mounts the generated dashboards."""


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


def provisioning(prometheus_url: str = "$PROMETHEUS_URL") -> dict[str, str]:
    """Texts by path, relative to Grafana's provisioning folder. `prometheus_url`: the address for
    Grafana's server; `$PROMETHEUS_URL` is read from its environment."""
    datasource = {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": DATASOURCE_UID,
                "type": "prometheus",
                "access": "proxy",
                "url": prometheus_url,
                "isDefault": True,
                "editable": False,
                "jsonData": {"httpMethod": "POST", "timeInterval": "5s"},
            }
        ],
    }
    provider = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "kpi-agent",
                "folder": "KPIs",
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 10,
                "options": {"path": DASHBOARDS_PATH},
            }
        ],
    }
    return {
        "datasources/kpi-agent.yaml": _document(datasource),
        "dashboards/kpi-agent.yaml": _document(provider),
    }


def _document(content: dict[str, object]) -> str:
    return f"# {mark(WHAT)}\n" + yaml.safe_dump(content, sort_keys=False, default_flow_style=False)
