"""What every request goes through before its handler: counted, allowed, identified, guarded."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from agent.export.web.access import Access
from agent.export.web.connections import Connections
from agent.export.web.identity import Caller, Identities, Identity, TooManyLogins
from agent.export.web.web_config import WebConfig

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBES = frozenset({"/-/healthy", "/-/ready"})
IDENTITY = web.RequestKey("identity", Identity)
OPEN = frozenset({"/static/{name}", "/favicon.ico", "/private/{token}", "/api/v1/private/{token}"})
"""Routes that need no identity: files that everybody has, and pages that a token opens."""
WHO_IS_IT = "say who you are: a user and password, a bearer token, a certificate, or by the proxy\n"
TOO_MANY_LOGINS = "too many passwords are being compared; try again\n"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def allowed(access: Access) -> Middleware:
    """Refuses what is called by a foreign name, or asked by a foreign page. Probes are answered
    whatever they call the agent; they say nothing but that it runs."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PROBES and (refusal := access.refusal(request.headers)) is not None:
            raise web.HTTPForbidden(text=refusal)
        return await handler(request)

    return check


def identified(config: WebConfig) -> Middleware:
    """Finds out who sends a request, and refuses those of whom nothing is known."""
    identities, open_routes = Identities(config), OPEN | config.open_paths

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in open_routes:
            return await handler(request)
        transport = request.transport
        peer = transport.get_extra_info("peercert") if transport is not None else None
        try:
            identity = await identities.identify(Caller(request.remote, peer), request.headers)
        except TooManyLogins:
            headers = {"Retry-After": "5"}
            raise web.HTTPTooManyRequests(text=TOO_MANY_LOGINS, headers=headers) from None
        if identity is None:
            headers = {"WWW-Authenticate": identities.challenge, "Cache-Control": "no-store"}
            raise web.HTTPUnauthorized(text=WHO_IS_IT, headers=headers)
        request[IDENTITY] = identity
        return await handler(request)

    return check


def counted(connections: Connections) -> Middleware:
    """Notes when a connection's request has come whole, and when it is answered."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        connections.begin(request.protocol)
        try:
            return await handler(request)
        finally:
            connections.end(request.protocol)

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
        return web.Response(text="internal error; see the agent's log\n", status=500)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Say to browsers what pages of this server may do."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
