"""Limits on connections, compared with a real socket: slow clients and floods."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from agent.export.web import stream
from agent.export.web.connections import Limits
from agent.export.web.server import serving
from tests.export.invented import NOW_MS, company_state

HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@asynccontextmanager
async def port(limits: Limits) -> AsyncIterator[int]:
    async with serving(company_state(), "127.0.0.1", 0, lambda: NOW_MS, limits=limits) as bound:
        yield bound


async def half_request(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(HALF)
    await writer.drain()
    return reader, writer


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection before long."""
    try:
        return await asyncio.wait_for(reader.read(), 60) == b""
    except ConnectionError:
        return True


async def test_a_half_request_is_closed_in_time_also_when_bytes_trickle_in() -> None:
    async with port(Limits(head_seconds=0.3)) as number:
        reader, writer = await half_request(number)

        async def trickle() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(trickle())
        assert await closed(reader)
        task.cancel()


async def test_a_connection_that_says_nothing_is_closed_and_one_that_was_answered_too() -> None:
    async with port(Limits(head_seconds=0.3)) as number:
        reader, _ = await asyncio.open_connection("127.0.0.1", number)
        assert await closed(reader)
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 60)  # to its end
        assert answer.startswith(b"HTTP/1.1 200")


async def test_endless_headers_are_cut_off() -> None:
    async with port(Limits(pending_bytes=20_000)) as number:
        reader, writer = await half_request(number)
        for n in range(200):
            writer.write(b"a\r\nX-%d: " % n + b"y" * 200)
        assert await closed(reader)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /private/0123456789abcdef?" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /private/0123456789abcdef HTTP/1.1\r\n\r\n",
        b"GET /private/0123456789abcdef HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET /private/0123456789abcdef HTTP/9\r\n\r\n",
    ],
)
async def test_a_malformed_request_is_answered_and_fills_no_log(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with port(Limits()) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(request_bytes)
        answer = await asyncio.wait_for(reader.read(), 60)
    assert answer.startswith(b"HTTP/1.0 400")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
    assert b"\r\nContent-Security-Policy: default-src 'none'" in answer
    assert b"\r\nServer: kpi-agent\r\n" in answer
    assert not [record for record in caplog.records if record.name.startswith(("agent", "aiohttp"))]


async def test_a_body_that_can_not_be_read_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    head = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n"
    )
    async with port(Limits()) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(head + b"abc")
        assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 200")
    assert not [record for record in caplog.records if record.name.startswith(("agent", "aiohttp"))]


async def test_a_flood_of_half_requests_ends_itself_and_scrapes_go_on() -> None:
    limits = Limits(connections=50, head_seconds=600)
    async with port(limits) as number:
        flood = [await half_request(number) for _ in range(1_000)]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{number}") as session:
            for path in ("/metrics", "/-/healthy", "/api/v1/board"):
                async with asyncio.timeout(60):
                    assert (await session.get(path)).status == 200
        first, _ = flood[0]
        assert await closed(first)
        for _, writer in flood:
            writer.close()


async def test_an_answer_in_progress_is_not_cut_off_by_a_flood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.1)
    async with (
        port(Limits(connections=20)) as number,
        aiohttp.ClientSession(f"http://127.0.0.1:{number}") as session,
        session.get("/api/v1/stream") as board,
    ):
        assert (await board.content.readline()).startswith(b"retry")
        flood = [await half_request(number) for _ in range(200)]
        for _ in range(20):  # it goes on: the board, and what changes
            event = await asyncio.wait_for(board.content.readuntil(b"\n\n"), 60)
            if b"event: beat" in event or b"event: change" in event:
                break
        assert board.status == 200
        for _, writer in flood:
            writer.close()


async def test_a_reader_that_does_not_read_is_closed() -> None:
    async with port(Limits(stall_seconds=0.3)) as number:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", number))
        request = b"GET /static/board.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(1_000):  # of answers enough that no buffer takes them
            try:
                await asyncio.wait_for(loop.sock_sendall(raw, request), 1)
            except (ConnectionError, TimeoutError):
                break
        await asyncio.sleep(1)
        received = 0
        try:
            while part := await asyncio.wait_for(loop.sock_recv(raw, 1 << 16), 60):
                received += len(part)
        except ConnectionError:
            pass
        raw.close()
        assert received < 8_000_000
