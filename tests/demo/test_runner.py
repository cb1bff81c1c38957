"""The demo as a person sees it: the whole agent on the embedded broker, over HTTP."""

from __future__ import annotations

import asyncio
import io
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from agent.demo import runner, shipped
from agent.demo.screen import Screen
from agent.errors import EnvironmentFault
from agent.service.supervisor import Service

GUARD_SECONDS = 120.0  # against hanging


@asynccontextmanager
async def playing(
    retail: bool, rules: Path | None = None
) -> AsyncIterator[tuple[str, io.StringIO]]:
    """A running demo: its address and what it prints."""
    out, port = io.StringIO(), runner.free_port(29_108)
    screen = Screen(Console(file=out, width=120))
    services: list[Service] = []
    task = asyncio.create_task(
        runner.demo(
            retail=retail, port=port, rules=rules, screen=screen, on_service=services.append
        )
    )
    try:
        yield f"http://localhost:{port}", out
    finally:
        for service in services:
            service.stop()
        await asyncio.wait_for(task, GUARD_SECONDS)


async def fetched(url: str, path: str) -> str:
    """What a page says; nothing where there is none."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as answer:
            return await answer.text() if answer.ok else ""
    except aiohttp.ClientError:
        return ""


async def until(url: str, pattern: str, seconds: float) -> str:
    """The first line of /metrics that matches, waited for."""
    deadline = time.monotonic() + seconds
    while True:
        match = re.search(pattern, await fetched(url, "/metrics"), re.MULTILINE)
        if match:
            return match[0]
        assert time.monotonic() < deadline, f"no {pattern!r} within {seconds:.0f} s"
        await asyncio.sleep(0.5)


async def said(out: io.StringIO, words: str, seconds: float) -> None:
    """Wait until the terminal says something."""
    deadline = time.monotonic() + seconds
    while words not in out.getvalue():
        assert time.monotonic() < deadline, f"the terminal does not say {words!r}"
        await asyncio.sleep(0.2)


async def test_windows_close_and_an_alert_fires() -> None:
    async with playing(retail=False) as (url, out):
        await until(url, r'^kpi_response_time_seconds\{.*region="emea".*\} \d', GUARD_SECONDS)
        await until(url, r"^kpi_conversion_ratio\{.*\} 0\.\d+", GUARD_SECONDS)
        await until(url, r'^kpi_objective_score_ratio\{objective="growth"\} \d', GUARD_SECONDS)
        firing = r'^kpi_rule_state\{.*rule="slow_support".*\} 2'
        await until(url, firing, GUARD_SECONDS)
        text = await fetched(url, "/metrics")
        assert re.search(r'^kpi_agent_records_total\{.*outcome="rejected".*\} [1-9]', text, re.M)
        assert re.search(r'^kpi_agent_records_total\{.*outcome="late".*\} [1-9]', text, re.M)
        assert re.search(r'^kpi_agent_records_total\{.*outcome="duplicate".*\} [1-9]', text, re.M)
        await said(out, "firing", GUARD_SECONDS)
        # The owner's page names people; what everybody can see has hashes.
        assert re.search(r'^kpi_employee_tasks\{employee="p-[0-9a-f]{16}"\} \d', text, re.M)
        assert "warehouse-0" not in text
        page = re.search(rf"{url}(/private/\w+)", out.getvalue())
        assert page is not None
        assert "warehouse-0" in await fetched(url, page[1])
        assert await fetched(url, "/private/" + "0" * 32) == ""
    assert f"{url}/metrics" in out.getvalue()


async def test_the_retailers_year_closes_its_first_weeks() -> None:
    async with playing(retail=True) as (url, out):
        line = await until(url, r"^kpi_daily_invoices(\{\})? 1\d\d", GUARD_SECONDS)
        assert float(line.split()[-1]) in {137.0, 143.0, 108.0, 133.0, 123.0, 132.0}
    assert "1 day a second" in out.getvalue()
    assert "CC BY 4.0" in out.getvalue()


async def test_a_copy_of_the_rules_is_changed_while_the_demo_runs(tmp_path: Path) -> None:
    shipped.copy(False, tmp_path)
    async with playing(retail=False, rules=tmp_path / "rules") as (url, out):
        await until(url, r'^kpi_info\{kpi="revenue",title="Revenue"', GUARD_SECONDS)
        file = tmp_path / "rules" / "sales.yaml"
        file.write_text(file.read_text().replace("title: Revenue\n", "title: Turnover\n"))
        command = re.search(r"curl -X POST (\S+)", out.getvalue())
        assert command is not None
        async with aiohttp.ClientSession() as session, session.post(command[1]) as answer:
            assert answer.status == 200, await answer.text()
        await until(url, r'^kpi_info\{kpi="revenue",title="Turnover"', GUARD_SECONDS)


async def test_it_ends_by_itself_after_the_seconds_it_was_given() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=120))
    started = time.monotonic()
    await runner.demo(port=runner.free_port(29_208), seconds=3, screen=screen)
    assert time.monotonic() - started >= 3


def test_a_taken_port_gives_way_to_the_next() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert port < runner.free_port(port) <= port + runner.PORTS_TRIED


def test_ports_that_are_all_taken_are_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "PORTS_TRIED", 1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(EnvironmentFault, match="--port"):
            runner.free_port(listener.getsockname()[1])
