"""`kpi-agent restate`, as a person calls it, on the embedded broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.value_log import published_windows
from agent.language.load import load
from agent.settings import load_settings
from tests.restate.shop import MINUTE_MS, START_MS, Sent, publish_live, send

RULES = """\
version: 1
defaults: {lateness: 10s, idle_after: 1h}
events:
  order: {topic: orders, time: at, id: id, fields: {amount: {type: float}, region: string}}
kpis:
  revenue: {unit: eur, from: order, value: sum(amount), by: [region], window: 5m}
  orders: {unit: orders, from: order, value: count(*), by: [region], window: 5m}
"""


def order(number: int, minute: float, written: float | None = None, region: str = "a") -> Sent:
    at = START_MS + round(minute * MINUTE_MS)
    event = {"type": "order", "at": at, "id": str(number), "amount": 10.0, "region": region}
    written_ms = at if written is None else START_MS + round(written * MINUTE_MS)
    return Sent(0, written_ms, event)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One order a minute; one came ten minutes late. The address of the broker."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yaml").write_text(RULES)
    records = [order(number, number + 0.5) for number in range(30)]
    records.insert(14, order(90, 2.5, written=13.9))
    records.insert(14, order(91, 2.5, written=13.9, region="b"))
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address)

        async def fill() -> None:
            await send(settings, records)
            await publish_live(settings, load("rules"), START_MS + 25 * MINUTE_MS)

        asyncio.run(fill())
        monkeypatch.setenv("KPI_AGENT_BROKERS", broker.address)
        yield broker.address


def restate(
    *arguments: str, since: str = "2025-03-03T11:00", until: str = "2025-03-03T12:00"
) -> int:
    return main(["restate", *arguments, "--since", since, "--until", until])


def test_it_shows_what_differs_and_publishes_nothing(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert restate("revenue") == 0
        said = capsys.readouterr()
        rows = [line.split() for line in said.out.splitlines()]
        window = ["2025-03-03T11:00:00Z", "–", "2025-03-03T11:05:00Z"]
        assert ["revenue", "region=a", *window, "€50", "€60", "5", "→", "6"] in rows
        assert ["revenue", "region=b", *window, "–", "€10", "0", "→", "1"] in rows
        assert "revenue: 5 published windows; 1 to correct, 1 to add" in said.out
        assert "Nothing was published" in said.err


def test_applied_corrections_say_what_they_replace(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restate("revenue", "--apply", "--format", "json") == 0
    said = capsys.readouterr()
    [first, second] = map(json.loads, said.out.splitlines())
    assert (first["value"], first["previous_value"], first["previous_events"]) == (60.0, 50.0, 5)
    assert (second["value"], second["previous_value"], second["previous_events"]) == (
        10.0,
        None,
        None,
    )
    assert first["corrected_at"] == second["corrected_at"] > "2026"
    assert said.err.endswith("2 windows are corrected.\n")
    assert restate("revenue") == 0
    assert "6 published windows; 0 to correct, 0 to add" in capsys.readouterr().out
    assert restate("revenue", "--format", "json") == 0
    assert capsys.readouterr().out == ""


def test_windows_are_not_corrected_to_fewer_events_unless_that_is_meant(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rules/shop.yaml").write_text(
        RULES.replace("amount: {type: float}", "amount: {type: float, minimum: 11}")
    )
    assert restate("orders", "--apply") == 1
    said = capsys.readouterr()
    assert "fewer events than published: 5" in said.out
    assert "records deleted from the source topics?" in said.err
    assert restate("orders", "--apply", "--allow-fewer-events") == 0
    settings = load_settings(brokers=shop)
    published = asyncio.run(
        published_windows(settings, "kpi-values", load("rules").kpis.values(), 0)
    )
    assert {(w.value, w.events) for w in published.windows("orders").values()} == {(0, 0)}


def test_a_period_the_wrong_way_round_and_an_unknown_kpi_are_reported(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restate("revenue", since="2025-03-03T12:00", until="2025-03-03T11:00") == 2
    assert "--since must be before --until" in capsys.readouterr().err
    assert restate("revenu") == 1
    assert "no KPI is called revenu" in capsys.readouterr().err
