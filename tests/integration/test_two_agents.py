"""Two agents in one group, on a real Kafka: together they tell exactly what is true, once."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from agent.core.aggregate.sketches import QUANTILE_ERROR
from agent.core.output.messages import iso
from tests.oracle.truth import Truth

from .agents import Agent
from .feeds import read
from .stage import ROOT, Stage, alike
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

RETAIL = ROOT / "examples" / "retail"
RETAIL_COLUMNS = {
    **{"id": "varchar", "type": "varchar", "occurred_at": "timestamp", "customer": "varchar"},
    **{"country": "varchar", "units": "bigint", "mean_unit_price": "double"},
}
RETAIL_CLOSING = {
    **{"id": "closing", "type": "invoice.placed", "occurred_at": "2012-02-15T12:00:00"},
    **{"customer": None, "country": "United Kingdom", "units": 0, "mean_unit_price": 0.0},
}


def test_two_agents_share_the_company_and_one_carries_on_alone(stage: Stage) -> None:
    stage.use_company()
    stage.create_topics()
    history, morning, day = stage.company_parts(3)
    stage.send(history)
    first, second = stage.agent("one"), stage.agent("two")
    first.start()
    second.start()
    for agent in (first, second):
        agent.wait_ready()
    stage.wait_counted()
    before = {agent.name: agent.outcomes() for agent in (first, second)}

    stage.send(morning)
    counted = stage.wait_counted()
    assert counted.total() == stage.sent
    for agent in (first, second):
        assert agent.outcomes() - before[agent.name], f"{agent.name} has no share of the records"
    for agent in (first, second):
        until(lambda: accepted_by(agent) == counted["folded"], 30, stage.words)  # noqa: B023

    one_counted = first.outcomes()
    assert first.terminate() == 0, first.last_words()
    stage.send(day)
    stage.send_closing()
    counted = stage.wait_counted(before=one_counted)

    expected = stage.evaluated()
    assert counted.total() == stage.sent == expected.summary["records"]
    assert counted == expected.outcomes
    assert all(expected.outcomes[o] for o in ("folded", "rejected", "late", "duplicate", "empty"))
    stage.wait_published(expected)
    stage.check_exact(expected)
    assert {"slow_support", "feedback_silent"} <= {t["rule"] for t in expected.transitions}
    check_set_aside(stage, expected.outcomes)
    assert second.terminate() == 0, second.last_words()


def accepted_by(agent: Agent) -> int:
    """The accepted records of all events on an agent's page for producers."""
    rows = agent.get("/producers")[1].split('id="rejected"')[0].split("<tr>")[2:]
    return sum(int(re.findall(r"<td[^>]*>([\d,]+)</td>", row)[0].replace(",", "")) for row in rows)


def check_set_aside(stage: Stage, outcomes: Counter[str]) -> None:
    """The dead-letter and late topics hold each bad record as it came, and where it came from."""
    address, prefix = stage.broker.address, f"{stage.prefix}agent"
    came = {record.place: record for record in read(address, stage.topics)}
    for topic, outcome in ((f"{prefix}-dead-letters", "rejected"), (f"{prefix}-late", "late")):
        places = set()
        for record in read(address, [topic]):
            published = {k.removeprefix("kpi-agent-"): v for k, v in record.headers.items()}
            origin = came[published["topic"], int(published["partition"]), int(published["offset"])]
            assert (record.key, record.value) == (origin.key, origin.value)
            assert published["detail"]
            assert (published["reason"] == "late") == (outcome == "late")
            places.add(origin.place)
        assert len(places) == outcomes[outcome]


def test_two_agents_tell_what_duckdb_says_of_the_retailers_year(stage: Stage) -> None:
    stage.use_retail()
    stage.create_topics()
    file = RETAIL / "retail-invoices.ndjson.gz"
    lines = gzip.decompress(file.read_bytes()).splitlines()
    invoices = [json.loads(line) for line in lines]
    keys = [(i["customer"] or i["id"]).encode() for i in invoices]
    topic = stage.topics[0]
    stage.send([(topic, key, line) for key, line in zip(keys, lines, strict=True)])
    stage.send_closing({"retail": json.dumps(RETAIL_CLOSING).encode()})
    # A year at once is seconds of work; on a busy machine they must not cost a membership.
    agents = [stage.agent(name, session_timeout=60) for name in ("one", "two")]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_ready()
    assert stage.wait_counted() == Counter(folded=stage.sent)

    expected = stage.evaluated()
    stage.wait_published(expected)
    stage.check_exact(expected)
    assert expected.transitions
    check_against_duckdb(stage, file)
    check_every_board_shows_the_whole_company(stage)


def check_against_duckdb(stage: Stage, file: Path) -> None:
    """Every closed window of every KPI has DuckDB's value."""
    declared = yaml.safe_load((RETAIL / "rules" / "retail.yaml").read_text())
    truth = Truth(file, "epoch_ms(timezone('Europe/London', occurred_at))", RETAIL_COLUMNS)
    windows = stage.published_windows()
    for name, kpi in declared["kpis"].items():
        everything = declared["events"][kpi["from"]].get("type_field") == "none"
        figures = truth.figures(kpi, None if everything else kpi["from"], "Europe/London")
        assert figures
        tolerance = QUANTILE_ERROR * 1.0001 if "quantile" in kpi["value"] else 1e-9
        for (dimensions, start_ms, end_ms), figure in figures.items():
            by = dict(zip(kpi.get("by", ()), dimensions, strict=True))
            written = json.dumps(by, separators=(",", ":"), ensure_ascii=False)
            line = windows[name, written, iso(start_ms), iso(end_ms)]
            # The closing events are in no window that DuckDB's file knows, but for their own.
            assert line["events"] == figure.events
            assert alike(line["value"], figure.value, tolerance), (name, line, figure)


def check_every_board_shows_the_whole_company(stage: Stage) -> None:
    """Whichever agent is asked, the board has every series."""

    def series(agent: Agent) -> list[str]:
        return sorted(row["key"] for row in agent.json("/api/v1/kpis/units_sold")["rows"])

    first, second = stage.agents
    until(
        lambda: len(series(first)) == len(series(second)) == 38,
        120,
        "both boards show all countries",
    )
    assert series(first) == series(second)
