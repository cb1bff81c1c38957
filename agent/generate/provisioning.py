"""Grafana's provisioning files: the data source, and the folder of dashboards."""

from __future__ import annotations

import yaml

from agent.generate.files import mark
from agent.generate.layout import WHAT

DATASOURCE_UID = "prometheus"
DASHBOARDS_PATH = "/var/lib/grafana/dashboards"
"""Where deploy/compose.yaml mounts the generated dashboards."""


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
