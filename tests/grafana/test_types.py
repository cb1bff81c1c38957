"""Every generated board is a value of Grafana's own types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.generate.grafana import dashboards
from tests.generate.plans import company

from .node import workspace

pytestmark = pytest.mark.needs_node

SHIPPED = Path(__file__).parents[2] / "grafana" / "dashboards"


def complaints(boards: Mapping[str, str]) -> str:
    """What TypeScript says of boards as values of `Board`, by their names."""
    with workspace() as node:
        for name, text in boards.items():
            typed = "import type { Board } from './board_types';\nexport const board: Board ="
            (node.folder / "src" / f"{name}.ts").write_text(f"{typed} {text};\n")
        return node.types()


def test_every_board_is_a_value_of_grafanas_types() -> None:
    boards = {path.stem: path.read_text() for path in SHIPPED.glob("*.json")}
    linked = dashboards(company(), ["environment"], "https://kpis.example.org")
    boards |= {f"linked-{name.removesuffix('.json')}": text for name, text in linked.items()}
    assert len(boards) > 20
    assert complaints(boards) == ""


def test_what_grafana_does_not_know_is_no_board() -> None:
    board = json.loads((SHIPPED / "kpi-response_time.json").read_text())
    lines = next(p for p in board["panels"] if p["type"] == "timeseries")
    lines["options"]["legend"]["displayMode"] = "columns"
    unknown = json.dumps(board)
    lines["options"]["legend"] |= {"displayMode": "table", "sorted": "Last *"}
    excess = json.dumps(board)
    lines["options"]["legend"].pop("sorted")
    lines["fieldConfig"]["overrides"][0]["properties"][0] = {"id": "custom.lineWidth", "value": "2"}
    said = complaints({"unknown": unknown, "excess": excess, "override": json.dumps(board)})
    assert "Type '\"columns\"' is not assignable" in said
    assert "'\"sorted\"' does not exist" in said
    assert "src/override.ts" in said
