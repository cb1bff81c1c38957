"""The agent's web server over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from msgspec import structs

from agent.errors import EnvironmentFault
from agent.export.agent_state import AgentState
from agent.export.web.access import Access
from agent.export.web.server import serving
from tests.export import invented
from tests.export.invented import NOW_MS, company_state
from tests.export.running_agent import running_agent


@asynccontextmanager
async def _client(state: AgentState) -> AsyncIterator[aiohttp.ClientSession]:
    access = Access(may_reload=True)
    async with (
        serving(state, "127.0.0.1", 0, lambda: NOW_MS, tick_seconds=0.05, access=access) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        yield client


async def test_every_page_forbids_other_hosts_and_guessed_types() -> None:
    async with _client(company_state()) as client:
        for path in (
            "/",
            "/metrics",
            "/-/healthy",
            "/api/v1/board",
            "/static/board.js",
            "/nothing",
        ):
            answer = await client.get(path)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "http" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "kpi-agent"  # no versions


async def test_the_page_escapes_its_name_and_names_no_other_host() -> None:
    state = replace(company_state(), name='<script>alert("x")</script>')
    async with _client(state) as client:
        page = await (await client.get("/")).text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in page
    assert "http://" not in page
    assert "https://" not in page


async def test_static_files_are_cached_by_their_content_and_nothing_else_is_served() -> None:
    async with _client(company_state()) as client:
        first = await client.get("/static/board.css")
        assert (first.status, first.content_type) == (200, "text/css")
        again = await client.get(
            "/static/board.css", headers={"If-None-Match": first.headers["ETag"]}
        )
        assert again.status == 304
        for path in ("/static/index.html", "/static/..%2Fserver.py", "/static/no.js", "/static/"):
            assert (await client.get(path)).status == 404


async def test_metrics_speak_the_format_that_is_asked_for() -> None:
    async with _client(company_state()) as client:
        old = await client.get("/metrics", headers={"Accept": "text/plain"})
        assert old.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        accept = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
        new = await client.get("/metrics", headers=accept)
        expected = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert new.headers["Content-Type"] == expected
        assert new.headers["Content-Encoding"] == "gzip"
        assert (await new.text()).endswith("# EOF\n")


async def test_healthy_and_ready_are_two_things() -> None:
    state = company_state()
    state.ready["source topics"] = "waiting for topic support"
    async with _client(state) as client:
        assert (await client.get("/-/healthy")).status == 200
        waiting = await client.get("/-/ready")
        assert waiting.status == 503
        assert await waiting.text() == "not ready\nsource topics: waiting for topic support\n"
        state.ready["source topics"] = None
        ready = await client.get("/-/ready", headers={"Accept": "application/json"})
        assert (ready.status, await ready.json()) == (200, {"ok": True, "reasons": []})


async def test_an_agent_of_which_nothing_has_reported_is_not_ready() -> None:
    async with _client(running_agent(invented.COMPANY)) as client:
        assert (await client.get("/-/ready")).status == 503


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_reload_answers_with_what_happened(method: str) -> None:
    state = company_state()
    state.rules.reloads = [(True, "loaded 7 KPIs"), (False, "rules/a.yaml:3:5: no such field")]
    async with _client(state) as client:
        good = await client.request(method, "/-/reload")
        assert (good.status, await good.text()) == (200, "loaded 7 KPIs\n")
        bad = await client.request(method, "/-/reload")
        assert (bad.status, await bad.text()) == (400, "rules/a.yaml:3:5: no such field\n")


async def test_a_reload_that_breaks_is_our_fault_and_says_no_secrets() -> None:
    state = company_state()
    state.rules.reloads = [RuntimeError("password=hunter2")]
    async with _client(state) as client:
        answer = await client.post("/-/reload")
        assert answer.status == 500
        assert "hunter2" not in await answer.text()


async def test_a_reload_is_no_link_and_not_for_other_sites() -> None:
    async with _client(company_state()) as client:
        assert (await client.get("/-/reload")).status == 405
        foreign = await client.post("/-/reload", headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status == 403


async def test_a_stream_sends_the_board_then_what_changes() -> None:
    state = company_state()
    async with _client(state) as client, client.get("/api/v1/stream") as answer:
        assert answer.content_type == "text/event-stream"
        name, board = await _next_event(answer)
        assert name == "board"
        assert board["name"] == "Brightwater Trading"
        for _ in range(2):  # the other KPIs, three at a time
            await _next_event(answer)
        resolved = company_state(firing=False).fleet
        state.fleet.series, state.fleet.active = resolved.series, resolved.active
        state.metrics.watermark.labels("support", "0").inc(1)
        async with asyncio.timeout(60):
            name, changed = await _next_event(answer)
        assert name == "change"
        assert [kpi["name"] for kpi in changed["kpis"]] == ["response_time"]
        assert [alert["phase"] for alert in changed["alerts"]] == ["resolved"]


async def test_an_open_stream_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(60):
        async with _client(company_state()) as client:
            answer = await client.get("/api/v1/stream")
            await _next_event(answer)


async def test_a_kpi_that_is_not_declared_is_not_found() -> None:
    async with _client(company_state()) as client:
        answer = await client.get("/api/v1/kpis/unheard_of")
        assert (answer.status, await answer.json()) == (
            404,
            {"error": "there is no KPI called unheard_of"},
        )
        known = await (await client.get("/api/v1/kpis/tasks_per_employee")).json()
        assert len(known["rows"]) == 8


async def test_a_port_in_use_is_said_in_words() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"can't listen on 127.0.0.1:{port}.*another port"):
            async with serving(company_state(), "127.0.0.1", port):
                pass


async def _next_event(answer: aiohttp.ClientResponse) -> tuple[str, dict]:
    name = ""
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            return name, json.loads(text.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def test_a_scraper_that_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    series = [
        structs.replace(invented.view(invented.RESPONSE, ("",), 1.0), dimensions=(f"r{i}",))
        for i in range(9_000)
    ]
    state = running_agent(invented.COMPANY, series)
    async with serving(state, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readexactly(100)
        writer.transport.abort()
        await asyncio.sleep(0.3)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_rule_is_explained_and_what_is_not_known_is_reported() -> None:
    async with _client(company_state()) as client:
        answer = await client.get(
            "/api/v1/explain", params={"rule": "slow_support", "series": "region=emea"}
        )
        published = {
            "count": 1,
            "series": [{"rule": "slow_support", "asked": "region=emea", "alerts": []}],
        }
        assert (answer.status, await answer.json()) == (200, published)
        answer = await client.get("/api/v1/explain", params={"rule": "lo"})
        assert answer.status == 404
        assert await answer.json() == {"error": "no rule is called lo\nKnown are: slow_support"}


async def test_while_no_worker_holds_a_series_its_explanation_is_asked_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = company_state()

    async def explain(_name: str, _series: str) -> dict[str, object]:
        raise EnvironmentFault("no worker explains the series of state partition 3 within 3 s")

    monkeypatch.setattr(state.fleet, "explain", explain)
    async with _client(state) as client:
        answer = await client.get("/api/v1/explain", params={"rule": "slow_support"})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert "state partition 3" in (await answer.json())["error"]
        page = await client.get("/kpis/response_time?series=region%3Demea")
        text = await page.text()
        assert page.status == 200
        assert text.count("no worker explains the series of state partition 3") == 1
