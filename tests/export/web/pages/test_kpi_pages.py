"""The page of a KPI and of a series, over a real socket: HTML, JSON and CSV say the same."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from agent.core.model.kpis import Target
from agent.core.model.plan import Maintenance
from agent.core.model.results import PastWindow
from agent.core.model.rules import Clause
from agent.core.model.schedules import Schedule
from agent.core.output.messages import iso
from agent.export.agent_state import AgentState, RuleChange
from agent.export.web.server import serving
from tests.export.invented import (
    COMPANY,
    MINUTE_MS,
    NOW_MS,
    company_state,
    threshold,
)
from tests.export.many import many_series
from tests.export.web import test_private as private
from tests.export.web.test_alerts import STEPS

END_MS = NOW_MS - 4_000


@asynccontextmanager
async def _client(state: AgentState) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        serving(state, "127.0.0.1", 0, lambda: NOW_MS) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def _of_topic(state: AgentState, **values: list[float | None]) -> None:
    """Give a fleet a past: a window a minute, the last one at END_MS."""
    state.fleet.windows = [
        PastWindow((region,), END_MS - (len(known) - 1 - n) * MINUTE_MS, value, 7, None,
                   Target(at_most=240))
        for region, known in values.items()
        for n, value in enumerate(known)
    ]  # fmt: skip


async def _history(state: AgentState, path: str) -> Any:
    async with _client(state) as client:
        answer = await client.get(f"/api/v1/kpis/{path}")
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_series_is_drawn_with_the_period_before_it() -> None:
    state = company_state()
    _of_topic(state, emea=[float(n) for n in range(90)])
    data = await _history(state, "response_time/history?series=region%3Demea&range=30m")
    value, before = data["lines"]
    assert (value["kind"], before["kind"]) == ("value", "previous")
    assert len(value["points"]) == len(before["points"]) == 30
    first_ms, last_ms = value["points"][0][0], value["points"][-1][0]
    assert (first_ms, last_ms) == (END_MS - 29 * MINUTE_MS, END_MS)
    assert before["points"][-1][0] == END_MS  # moved beside it
    assert state.fleet.asked == [("response_time", ("emea",), END_MS - 60 * MINUTE_MS)]


async def test_a_range_that_is_in_memory_is_not_read_from_the_topic() -> None:
    state = company_state()
    _of_topic(state)
    data = await _history(state, "response_time/history?series=region%3Demea&range=15m")
    assert state.fleet.asked == []
    assert data["is_complete"] is True
    assert [text for _, _, text in data["lines"][0]["points"]][-1] == "7 min 8 s"


async def test_missing_windows_break_the_line() -> None:
    state = company_state()
    values: list[float | None] = [1.0] * 10 + [None] * 3 + [2.0] * 10
    _of_topic(state, emea=values)
    series = company_state().fleet.series
    state.fleet.series = [structs.replace(v, history=v.history[-1:]) for v in series]
    data = await _history(state, "response_time/history?series=region%3Demea&range=30m")
    points = data["lines"][0]["points"]
    assert [value for _, value, _ in points[9:14]] == [1.0, None, None, None, 2.0]


async def test_a_corrected_window_says_what_it_was_corrected_from() -> None:
    state = company_state()
    _of_topic(state, emea=[60.0] * 60)
    state.fleet.windows[50] = structs.replace(state.fleet.windows[50], corrected=(90.0, 6))
    async with _client(state) as client:
        answer = await client.get("/kpis/response_time?series=region%3Demea&range=30m")
        text = await answer.text()
    assert text.count("corrected from") == 1
    assert (
        '<td data-label="Value">1 min</td><td data-label="Events">7</td>'
        '<td class="word" data-label="State">On target, corrected from 1 min 30 s</td>'
    ) in text


async def test_the_bounds_are_those_that_windows_were_evaluated_with() -> None:
    state = company_state()
    _of_topic(state, apac=[100.0] * 60)
    data = await _history(state, "response_time/history?series=region%3Dapac&range=30m")
    # By today's rules, apac's are others.
    assert [band for _, _, band in data["bands"]] == [{"at_most": 240}]


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("response_time?series=region%3Demea", ["target", "warn"]),
        ("revenue?series=country%3DIreland", ["target"]),
    ],
)
async def test_the_legend_names_the_bounds_that_are_drawn(path: str, keys: list[str]) -> None:
    async with _client(company_state()) as client:
        text = await (await client.get(f"/kpis/{path}")).text()
    legend = re.findall(r'<li><span class="key (?:bound|warn)"></span>(.*?)</li>', text)
    assert legend == keys


async def test_alerts_maintenance_and_rule_changes_are_marked() -> None:
    state = company_state()
    schedule = Schedule("UTC", from_ms=END_MS - 9 * MINUTE_MS, until_ms=END_MS - 5 * MINUTE_MS)
    works = Maintenance("works", "Works", "", frozenset({"response_time"}), {}, schedule)
    state.rules.plan = replace(COMPANY, maintenance={"works": works})
    state.fleet.history = STEPS
    at_ms, text = END_MS - 3 * MINUTE_MS, "2 rules changed"
    about = {"response_time": "rule slow, for: 10m → 20m"}
    state.fleet.changes = [
        RuleChange(at_ms, text, about, is_general=False),
        RuleChange(at_ms, text, {"revenue": "rule low added"}, is_general=False),
        RuleChange(at_ms, text, {"revenue": "rule low removed"}, is_general=True),
        RuleChange(END_MS - 61 * MINUTE_MS, text),
        RuleChange(END_MS + 2_000, "since the last window"),
    ]
    data = await _history(state, "response_time/history?series=region%3Demea&range=1h")
    assert [(m["title"], m["until_ms"] - m["from_ms"]) for m in data["maintenance"]] == [
        ("Works", 4 * MINUTE_MS)
    ]
    assert [change["text"] for change in data["changes"]] == [
        about["response_time"], text, "since the last window",
    ]  # fmt: skip
    earlier = f"until={iso(END_MS - 2 * MINUTE_MS)}"
    data = await _history(state, f"response_time/history?series=region%3Demea&range=1h&{earlier}")
    assert [change["text"] for change in data["changes"]] == [about["response_time"], text, text]


async def test_the_objectives_of_a_kpi_have_score_weight_and_owner() -> None:
    state = company_state()
    (served,) = (await _history(state, "response_time/history"))["objectives"]
    assert served == {
        "name": "customer_satisfaction",
        "title": "Customer satisfaction",
        "owner": "head-of-support",
        "text": "83 %",
        "state": "missed",
        "trend_text": "down 4.1 points",
        "weight": "30 %",
        "path": "#objective-customer_satisfaction",
    }
    async with _client(state) as client:
        text = await (await client.get("/kpis/response_time")).text()
    assert '<a href="../#objective-customer_satisfaction">Customer satisfaction</a>' in text


async def test_a_kpi_that_only_names_its_objective_has_no_weight_in_it() -> None:
    state = company_state()
    kpis = COMPANY.kpis | {
        "revenue": replace(COMPANY.kpis["revenue"], objective="customer_satisfaction")
    }
    state.rules.plan = replace(COMPANY, kpis=kpis)
    served = (await _history(state, "revenue/history"))["objectives"]
    assert {o["name"]: o["weight"] for o in served}["customer_satisfaction"] == ""


async def test_a_kpi_of_many_series_shows_the_worst_and_what_moved_it() -> None:
    state = company_state()
    data = await _history(state, "revenue/history")
    assert data["lines"][0]["kind"] == "total"  # the tests' KPIs count
    assert data["rows"][0]["series"] == "Ireland"
    assert data["rows"][0]["path"] == "kpis/revenue?series=country%3DIreland"
    assert len(data["moved"]["changes"]) == 3
    assert data["moved"]["total"]["difference"][0] in "+−"


async def test_a_total_beside_which_the_series_would_be_flat_is_not_drawn() -> None:
    data = await _history(many_series(kpis=2), "kpi_01/history")
    assert {line["kind"] for line in data["lines"]} == {"value"}
    assert data["high"] < 1_000
    assert data["moved"]["total"]["after"] == "27,662 orders"


async def test_the_page_says_the_values_without_a_script() -> None:
    async with _client(company_state()) as client:
        text = await (await client.get("/kpis/response_time?series=region%3Demea")).text()
    shown = html.unescape(re.sub(r"<script.*?</script>|<[^>]+>", " ", text, flags=re.DOTALL))
    for said in ("Average response time to customer inquiries", "7 min 8 s", "Missed",
                 "Target at most 4 min", "UTC", "count(*)"):  # fmt: skip
        assert said in shown
    assert '<svg class="chart"' in text
    assert "onclick" not in text


async def test_what_is_firing_comes_first_with_its_owner_and_runbook() -> None:
    state = company_state()
    async with _client(state) as client:
        pages = [
            await (await client.get(f"/kpis/response_time{query}")).text()
            for query in ("", "?series=region%3Demea", "?series=region%3Damer")
        ]
    actives = [text.partition('id="active"')[2].partition("</section>")[0] for text in pages]
    assert [active.count('<li class="alert"') for active in actives] == [2, 2, 1]
    for text, active in zip(pages[:2], actives, strict=False):
        assert text.index('id="active"') < text.index('id="plot"')
        first, other = active.split("</li>")[:2]
        assert 'data-phase="firing" data-severity="warning"' in first and "firing since" in first
        assert "support-ops, then director" in first and ">Runbook</a>" in first
        assert 'href="../kpis/response_time?series=region%3Demea"' in first
        assert "No ticket answered anywhere" in other  # of the KPI as a whole
    assert "No ticket answered anywhere" in actives[2]


async def test_without_an_alert_the_page_begins_with_the_chart() -> None:
    state = company_state()
    async with _client(state) as client:
        text = await (await client.get("/kpis/revenue")).text()
    assert '<section id="active" data-live aria-label="Active alerts"></section>' in text


async def test_the_data_block_can_not_end_its_element() -> None:
    state = company_state()
    evil = "</script><script>alert(1)</script>"
    series = company_state().fleet.series
    state.fleet.series = [
        structs.replace(v, dimensions=(evil,)) if v.kpi == "revenue" else v for v in series
    ]
    async with _client(state) as client:
        text = await (await client.get("/kpis/revenue")).text()
    assert "<script>alert" not in text
    block = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(block)["lines"][2]["name"] == evil


async def test_csv_has_every_window_of_the_range() -> None:
    state = company_state()
    _of_topic(state, emea=[float(n) for n in range(90)])
    async with _client(state) as client:
        answer = await client.get("/kpis/response_time/values.csv?series=region%3Demea&range=30m")
        assert answer.content_type == "text/csv"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="response_time.csv"'
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert len(rows) == 30
    assert rows[0]["region"] == "emea"
    assert rows[-1]["end"].endswith("Z")
    assert rows[0]["at_most"] == "240"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nothing", "there is no KPI called nothing"),
        ("response_time?series=region%3Dmars", "no series has region=mars"),
        ("response_time?series=planet%3Dmars", "'planet=mars' is no dimension=value"),
        ("response_time?range=2y", "range is one of"),
        ("response_time?until=yesterday", "until is a time"),
    ],
)
async def test_what_is_not_there_is_said_in_words(path: str, said: str) -> None:
    async with _client(company_state()) as client:
        answer = await client.get(f"/kpis/{path}")
        assert answer.status == 404
        text = html.unescape(await answer.text())
    assert f"<p>{said}" in text
    assert ('<a href="../kpis/response_time">' in text) == path.startswith("response_time")


async def test_a_private_kpi_has_no_page() -> None:
    async with _client(private.state()) as client:
        for path in ("", "/values.csv"):
            answer = await client.get(f"/kpis/tasks{path}")
            assert answer.status == 404
            assert "anna" not in await answer.text()


async def test_numbers_that_rules_compare_with_are_lines() -> None:
    state = company_state()
    rule = threshold("slow_support", "response_time", "critical")
    (level,) = rule.levels
    level = replace(level, when_clauses=(Clause("value > 600", level.when),))
    state.rules.plan = replace(COMPANY, rules={"slow_support": replace(rule, levels=(level,))})
    data = await _history(state, "response_time/history?series=region%3Demea")
    (line,) = data["rules"]
    assert (line["value"], line["text"]) == (600, "slow_support, critical: above 10 min")


async def test_the_page_of_alerts_has_what_goes_on_and_what_was() -> None:
    state = company_state()
    state.fleet.history = STEPS
    async with _client(state) as client:
        text = await (await client.get("/alerts")).text()
        assert "emea answers in 7 min 8 s" in text
        assert 'href="kpis/response_time?series=region%3Demea"' in text
        assert text.count("<time") >= len(STEPS)
        filtered = await (await client.get("/alerts?severity=info")).text()
        assert "emea answers" not in filtered
        assert "severity: info" in filtered
        assert (await client.get("/alerts?severity=worst")).status == 400
