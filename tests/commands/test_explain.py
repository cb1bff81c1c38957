"""`kpi-agent explain`, as a person or a program calls it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main

RULES = """\
version: 1
events:
  order: {topic: orders, time: at, id: id, lateness: 1m, fields: {amount: float, region: string}}
kpis:
  revenue:
    {unit: eur, from: order, where: amount > 0, value: sum(amount), by: [region], window: 10m}
rules:
  low: {kpi: revenue, when: value < 50, owner: sales}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules and half an hour of orders, with one that comes twice, one that comes too late, and one
    that does not count."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(RULES)
    orders = [(m, f"o{m}", 3 + (m == 14) * 9 - (m == 17) * 2, "emea") for m in range(30)]
    orders[16:16] = [(12, "o12", 3, "emea"), (15, "free", 0, "emea"), (15, "a", 99, "apac")]
    orders[26:26] = [(11, "late", 77, "emea")]  # its window closed at 09:21
    with (tmp_path / "orders.ndjson").open("w") as out:
        for minute, number, amount, region in orders:
            at = f"2025-03-10T09:{minute:02}:00Z"
            event = {"type": "order", "at": at, "id": number, "amount": amount, "region": region}
            out.write(json.dumps(event) + "\n")
    return tmp_path


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", "low", "--rules", "shop.yaml", *arguments]) == 0
    return capsys.readouterr().out


def test_the_events_are_those_that_the_value_is_made_of(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("orders.ndjson", "--series", "region=emea", "--at", "2025-03-10T09:20")
    document: Any = json.loads(explain(capsys, *arguments, "--format", "json"))
    assert document["window"]["value"] == 37.0
    assert document["window"]["events"] == 10
    assert {name: event["id"] for name, event in document["events"].items()} == {
        "first": "o10", "last": "o19", "least": "o17", "most": "o14",
    }  # fmt: skip
    assert document["events"]["most"] == {
        "time": "2025-03-10T09:14:00Z", "id": "o14", "amount": 12.0, "region": "emea",
    }  # fmt: skip


def test_people_read_it_from_top_to_bottom(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = explain(
        capsys, "orders.ndjson", "--series", "region=emea", "--at", "2025-03-10T09:20"
    )
    assert document == (
        "low (region=emea), at 2025-03-10 09:20 UTC\n"
        "  warning: firing in an episode since 2025-03-10 09:10\n"
        "\n"
        "  Revenue: 37 eur\n"
        "  of 10 events, 2025-03-10 09:10 to 2025-03-10 09:20 (10m)\n"
        "  when, warning: value < 50 → 37 < 50: true\n"
        "\n"
        "  events\n"
        "    first  2025-03-10 09:10  id=o10, amount=3, region=emea\n"
        "    last   2025-03-10 09:19  id=o19, amount=3, region=emea\n"
        "    least  2025-03-10 09:17  id=o17, amount=1, region=emea\n"
        "    most   2025-03-10 09:14  id=o14, amount=12, region=emea\n"
        "\n"
        "  owner     sales\n"
        '  value     kpi_revenue_eur{region="emea"}\n'
        '  state     kpi_rule_state{rule="low",kpi="revenue",region="emea"}\n'
    )


def test_all_series_are_reported_the_most_urgent_first(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = explain(capsys, "orders.ndjson", "--format", "json").splitlines()
    assert [json.loads(line)["dimensions"]["region"] for line in lines] == ["emea", "apac"]


@pytest.fixture
def agent() -> Iterator[str]:
    """A server that answers as an agent does, for one rule."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = "rule=low" in self.path
            body = {"count": 0, "series": []} if known else {"error": "no rule is called that"}
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["low"], 2, "name files of events, or --agent"),
        (["low", "orders.ndjson", "--agent", "http://x"], 2, "name files of events, or --agent"),
        (["low", "--agent", "http://x", "--at", "2025-03-10"], 2, "leave --at out"),
        (["lo", "orders.ndjson"], 1, "no rule is called lo"),
        (["low", "orders.ndjson", "--series", "region=latam"], 1, "no series of low is known with"),
        (["low", "--agent", "http://127.0.0.1:1"], 3, "does not answer as an agent"),
        (["low", "--agent", "file:///etc/hosts"], 3, "is no address"),
    ],
)
def test_what_can_not_be_explained_is_reported(
    shop: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    assert main(["explain", *arguments, "--rules", "shop.yaml"]) == code
    assert said in capsys.readouterr().err


def test_what_an_agent_answers_is_reported(agent: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "low", "--agent", agent]) == 1
    assert "no series of low is known" in capsys.readouterr().err
    assert main(["explain", "high", "--agent", agent]) == 1
    assert "no rule is called that" in capsys.readouterr().err
