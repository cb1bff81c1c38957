"""Who is answered: attacks by name (DNS rebinding), by a foreign page, and by a reload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from agent.export.web.access import Access
from agent.export.web.server import serving
from tests.export import invented
from tests.export.invented import NOW_MS, company_state
from tests.export.running_agent import FilledRules


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:9108", True),
        ("[::1]:9108", True),
        ("localhost", True),
        ("agent-1:9108", True),  # of a compose file: nobody can register it
        ("kpi-agent.kpi-agent.svc:80", True),
        ("kpi-agent.shop.svc.cluster.local", True),
        ("KPI.example.org", True),
        ("a.boards.example.org:443", True),
        ("boards.example.org", False),
        ("evil.example.com", False),
        ("kpi.example.org.evil.com", False),
        ("evil.com:9108", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_only_names_that_are_listed_or_local_are_answered(host: str, known: bool) -> None:
    access = Access(hosts=("kpi.example.org", "*.boards.example.org"))
    assert (access.refusal({"Host": host}) is None) == known


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:9108", "127.0.0.1:9108", True),
        ("http://127.0.0.1:8000", "127.0.0.1:9108", False),
        ("https://kpi.example.org", "kpi.example.org", True),
        ("https://kpi.example.org", "agent-1:9108", True),  # a proxy with a name of its own
        ("https://evil.example.org", "agent-1:9108", False),
        ("null", "127.0.0.1:9108", False),
        ("file://", "127.0.0.1:9108", False),
        ("", "127.0.0.1:9108", False),
    ],
)
def test_a_page_of_another_site_is_refused(origin: str, host: str, own: bool) -> None:
    access = Access(hosts=("kpi.example.org",))
    assert (access.refusal({"Host": host, "Origin": origin}) is None) == own


class SlowRules(FilledRules):
    """Rules that take a while to load."""

    async def reload(self) -> tuple[bool, str]:
        await asyncio.sleep(0.2)
        return True, "done"


@asynccontextmanager
async def client(access: Access) -> AsyncIterator[aiohttp.ClientSession]:
    state = replace(company_state(), rules=SlowRules(invented.COMPANY))
    async with (
        serving(state, "127.0.0.1", 0, lambda: NOW_MS, access=access) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def test_a_rebound_name_reads_nothing_and_is_reported_the_setting() -> None:
    async with client(Access()) as session:
        for path in ("/", "/api/v1/board", "/metrics", "/private/x", "/static/board.js"):
            answer = await session.get(path, headers={"Host": "evil.com"})
            assert answer.status == 403, path
            assert "web_hosts" in await answer.text()
        for path in ("/-/healthy", "/-/ready"):  # a load balancer's probe
            assert (await session.get(path, headers={"Host": "x.example.org"})).status != 403


async def test_a_foreign_pages_form_does_not_reload_over_plain_http() -> None:
    async with client(Access(may_reload=True)) as session:
        # As browsers send it to a plain address: with the origin, without Sec-Fetch-Site.
        foreign = await session.post("/-/reload", headers={"Origin": "http://evil.com"})
        assert foreign.status == 403
        sandboxed = await session.post("/-/reload", headers={"Origin": "null"})
        assert sandboxed.status == 403
        assert (await session.post("/-/reload")).status == 200


async def test_reloading_is_off_unless_it_is_allowed() -> None:
    async with client(Access()) as session:
        answer = await session.post("/-/reload")
        assert answer.status == 403
        assert "web_reload" in await answer.text()


async def test_one_reload_runs_at_a_time_and_the_others_are_turned_down_at_once() -> None:
    async with client(Access(may_reload=True)) as session:
        answers = await asyncio.gather(*(session.post("/-/reload") for _ in range(20)))
        statuses = sorted(answer.status for answer in answers)
        assert statuses.count(200) == 1
        assert set(statuses) == {200, 409}
