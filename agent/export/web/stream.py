"""`/api/v1/stream`: the board as server-sent events, first whole, then its changes.

Each event has few KPIs: a browser that renders many at once is unresponsive meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator

from aiohttp import web

from agent.export.web.board import Board, change
from agent.export.web.selection import Selection
from agent.export.web.shown import Json

FAST, GZIP = 1, 31
"""zlib's level, and its code for the gzip format with the largest window."""
KPIS_PER_EVENT = 3
HEARTBEAT_SECONDS = 15.0
MAX_STREAMS = 200


class BoardStream:
    """The streams of one board; `tick_seconds` is how often they look for changes."""

    def __init__(self, board: Board, tick_seconds: float) -> None:
        self._board = board
        self._tick_seconds = tick_seconds
        self._closing = asyncio.Event()
        self._streams = 0

    async def close(self, _app: web.Application) -> None:
        """End the streams, so that a shutdown does not wait for their clients."""
        self._closing.set()

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the board, then its changes, until the client or the agent is
        gone."""
        if self._streams >= MAX_STREAMS:
            text = f"{MAX_STREAMS} boards are open already; close one, or read /api/v1/board\n"
            return web.Response(text=text, status=503, headers={"Retry-After": "30"})
        selection = self._board.selection(request.query)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "Vary": "Accept-Encoding",
                "X-Accel-Buffering": "no",  # or nginx buffers the events
            }
        )
        compressor = None
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            compressor = zlib.compressobj(FAST, wbits=GZIP)
            response.headers["Content-Encoding"] = "gzip"
        self._streams += 1
        try:
            await response.prepare(request)
            await response.write(_compressed(compressor, b"retry: 2000\n\n"))
            async for event in self._events(selection):
                await response.write(_compressed(compressor, event))
        except ConnectionError:
            pass  # the client is gone
        finally:
            self._streams -= 1
        return response

    async def _events(self, selection: Selection) -> AsyncIterator[bytes]:
        last = await self._board.snapshot(selection)
        for event in _events_of("board", last):
            yield event
        idle_seconds = 0.0
        while not await self._is_closing():
            idle_seconds += self._tick_seconds
            new = await self._board.snapshot(selection)
            if changed := change(last, new):
                for event in _events_of("change", changed):
                    yield event
            elif idle_seconds >= HEARTBEAT_SECONDS:
                yield _event("beat", {"now_ms": new["now_ms"]})
            else:
                continue
            last, idle_seconds = new, 0.0

    async def _is_closing(self) -> bool:
        """Wait for the next tick; True: the streams are being closed."""
        try:
            await asyncio.wait_for(self._closing.wait(), self._tick_seconds)
        except TimeoutError:
            return False
        return True


def _compressed(compressor: zlib._Compress | None, event: bytes) -> bytes:
    """The bytes of an event, flushed so that the client has it at once."""
    if compressor is None:
        return event
    return compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _events_of(name: str, value: Json) -> Iterator[bytes]:
    """A board or a change of it as events, KPIS_PER_EVENT in each; all but the first are
    changes."""
    kpis, now_ms = value.get("kpis", []), value["now_ms"]
    few = {"kpis": kpis[:KPIS_PER_EVENT]} if kpis else {}
    yield _event(name, value | few)
    for start in range(KPIS_PER_EVENT, len(kpis), KPIS_PER_EVENT):
        more = kpis[start : start + KPIS_PER_EVENT]
        yield _event("change", {"now_ms": now_ms, "kpis": more})


def _event(name: str, value: Json) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
