"""What every request of the web server goes through: connection limits, access, errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from agent.export.web.access import Access
from agent.export.web.connections import Connections

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBES = frozenset({"/-/healthy", "/-/ready"})


def allowed(access: Access) -> Middleware:
    """Refuses what is called by a foreign name, or asked by a foreign page. Probes are answered
    whatever they call the agent; they say nothing but that it runs."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PROBES and (refusal := access.refusal(request.headers)) is not None:
            raise web.HTTPForbidden(text=refusal)
        return await handler(request)

    return check


def counted(connections: Callable[[], Connections | None]) -> Middleware:
    """Notes when a connection's request has come whole, and when it is answered."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        known = connections()
        if known is None:
            return await handler(request)
        known.begin(request.protocol)
        try:
            return await handler(request)
        finally:
            known.end(request.protocol)

    return note


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No exception leaves as a page, and each is logged."""
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return web.Response(text="the agent failed to answer; its log says why\n", status=500)
