"""Restatements on the embedded broker, compared with DuckDB over all events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.core.model.plan import Plan
from agent.core.model.results import Outcome
from agent.core.output.value_messages import PublishedWindows
from agent.core.restatement import Period
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.value_log import published_windows
from agent.language.load import load
from agent.restate.runner import apply, restate
from agent.settings import Settings, load_settings
from tests.oracle.truth import Figure, Key, Truth
from tests.restate.shop import (
    BASKET,
    KPIS,
    MINUTE_MS,
    START_MS,
    Sent,
    publish_live,
    rules,
    send,
    traffic,
)

UNTIL_MS = START_MS + 150 * MINUTE_MS
ALL = Period(START_MS - 86_400_000, START_MS + 86_400_000)
COLUMNS = {
    "type": "varchar", "at": "bigint", "id": "varchar", "region": "varchar", "amount": "double",
    "customer": "varchar",
}  # fmt: skip


@pytest.fixture
def settings(broker: EmbeddedBroker) -> Settings:
    return load_settings(brokers=broker.address)


def plan_of(text: str, path: Path) -> Plan:
    path.write_text(text)
    return load(path)


def truth(records: list[Sent], path: Path) -> dict[str, dict[Key, Figure]]:
    """DuckDB's figures of all KPIs, every event counted once."""
    events = {record.event["id"]: record.event for record in records}
    path.write_text("".join(json.dumps(event) + "\n" for event in events.values()))
    asked = Truth(path, '"at"', COLUMNS)
    figures = {name: asked.figures(kpi, "order") for name, kpi in KPIS.items()}
    return figures | {"basket": asked.derived(BASKET, figures_of(figures, BASKET["from"]))}


def figures_of(
    figures: dict[str, dict[Key, Figure]], names: object
) -> dict[str, dict[Key, Figure]]:
    assert isinstance(names, list)
    return {name: figures[name] for name in names}


def figures(published: PublishedWindows, kpi: str) -> dict[Key, Figure]:
    return {
        (w.dimensions, w.start_ms, w.end_ms): Figure(w.value, w.events)
        for w in published.windows(kpi).values()
        if w.events
    }


def closed(wanted: dict[Key, Figure], published: PublishedWindows, kpi: str) -> dict[Key, Figure]:
    """Those windows that were closed when they were restated."""
    newest_ms = published.newest_end_ms(kpi)
    return {key: figure for key, figure in wanted.items() if key[-1] <= newest_ms}


async def read(settings: Settings, plan: Plan) -> PublishedWindows:
    return await published_windows(settings, "kpi-values", plan.kpis.values(), 0)


async def test_restated_windows_hold_every_event_once_as_duckdb_counts_them(
    settings: Settings, tmp_path: Path
) -> None:
    records = traffic(7)
    await send(settings, records)
    before = plan_of(rules(", minimum: 0"), tmp_path / "before.yaml")
    await publish_live(settings, before, UNTIL_MS)
    plan = plan_of(rules(), tmp_path / "after.yaml")
    wanted = truth(records, tmp_path / "events.ndjson")
    published = await read(settings, plan)
    assert figures(published, "revenue") != closed(wanted["revenue"], published, "revenue")

    for kpi in ("revenue", "customers"):
        restated = await restate(settings, plan, kpi, ALL)
        assert restated.read.outcomes[Outcome.LATE] == restated.read.outcomes[Outcome.REJECTED] == 0
        assert restated.read.outcomes[Outcome.FOLDED] == len({r.event["id"] for r in records})
        assert restated.corrections
        await apply(settings, plan, restated.corrections, 1_800_000_000_000)

    assert restated.kpis == ("customers",)
    published = await read(settings, plan)
    for kpi in ("revenue", "orders", "basket", "customers"):
        expected = closed(wanted[kpi], published, kpi)
        assert len(expected) > 20
        got = figures(published, kpi)
        assert got.keys() == expected.keys()
        for key, figure in expected.items():
            assert got[key].events == figure.events
            assert got[key].value == pytest.approx(figure.value, rel=1e-9)


async def test_a_second_restatement_finds_nothing(settings: Settings, tmp_path: Path) -> None:
    await send(settings, traffic(7))
    plan = plan_of(rules(), tmp_path / "shop.yaml")
    await publish_live(settings, plan, UNTIL_MS)
    first = await restate(settings, plan, "basket", ALL)
    assert first.corrections
    await apply(settings, plan, first.corrections, 1_800_000_000_000)

    restated = await restate(settings, plan, "basket", ALL)
    assert restated.kpis == ("revenue", "orders", "basket")
    assert restated.windows > 60
    assert restated.corrections == []
