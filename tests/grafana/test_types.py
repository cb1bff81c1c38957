"""Every generated board is a value of Grafana's own types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.generate.grafana import dashboards
from tests.generate.plans import company

from .node import Workspace

pytestmark = pytest.mark.needs_node

SHIPPED = Path(__file__).parents[2] / "grafana" / "dashboards"


def bad_boards() -> dict[str, str]:
    """A board with a value, a key and an override that Grafana does not know."""
    board = json.loads((SHIPPED / "kpi-response_time.json").read_text())
    lines = next(p for p in board["panels"] if p["type"] == "timeseries")
    legend, overrides = lines["options"]["legend"], lines["fieldConfig"]["overrides"]
    legend["displayMode"] = "columns"
    value = json.dumps(board)
    legend |= {"displayMode": "table", "sorted": "Last *"}
    key = json.dumps(board)
    del legend["sorted"]
    overrides[0]["properties"][0] = {"id": "custom.lineWidth", "value": "2"}
    return {"bad-value": value, "bad-key": key, "bad-override": json.dumps(board)}


@pytest.fixture(scope="module")
def said(node: Workspace) -> str:
    """What TypeScript says of the generated boards, and of bad ones, as values of `Board`."""
    boards = {path.stem: path.read_text() for path in SHIPPED.glob("*.json")}
    linked = dashboards(company(), ["environment"], "https://kpis.example.org")
    boards |= {f"linked-{name.removesuffix('.json')}": text for name, text in linked.items()}
    assert len(boards) > 20
    for name, text in (boards | bad_boards()).items():
        typed = "import type { Board } from './board_types';\nexport const board: Board ="
        (node.folder / "src" / f"{name}.ts").write_text(f"{typed} {text};\n")
    return node.types()


def test_every_board_is_a_value_of_grafanas_types(said: str) -> None:
    errors = [line for line in said.splitlines() if ": error TS" in line]
    assert [error for error in errors if not error.startswith("src/bad-")] == []


def test_what_grafana_does_not_know_is_no_board(said: str) -> None:
    assert "Type '\"columns\"' is not assignable" in said
    assert "'\"sorted\"' does not exist" in said
    assert "src/bad-override.ts" in said
