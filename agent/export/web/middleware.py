"""The middlewares of all requests (counted, allowed, identified, guarded), the headers of all
responses, and what is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from agent.export.web.access import Access
from agent.export.web.connections import Connections
from agent.export.web.identity import Identities, Identity, Peer, TooManyLogins
from agent.export.web.selection import BadQuery
from agent.export.web.web_config import WebConfig

log = logging.getLogger(__name__)
PROTOCOL_LOG = logging.getLogger("agent.export.web.protocol")
"""aiohttp's errors, without malformed requests."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBES = frozenset({"/-/healthy", "/-/ready"})
IDENTITY = web.RequestKey("identity", Identity)
OPEN = frozenset({"/static/{name}", "/favicon.ico", "/private/{token}", "/api/v1/private/{token}"})
"""Routes that need no identity: static files, and pages whose address has a token."""
UNIDENTIFIED = (
    "say who you are: a user and password, a bearer token, a certificate, or by the proxy\n"
)
TOO_MANY_LOGINS = "too many passwords are being compared; try again\n"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "kpi-agent",  # aiohttp's own value names the versions of Python and of itself
}


def allowed(access: Access) -> Middleware:
    """Refuses requests with a foreign `Host` or `Origin` (`access`). Probes are always answered."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in PROBES and (refusal := access.refusal(request.headers)) is not None:
            raise web.HTTPForbidden(text=refusal)
        return await handler(request)

    return check


def identified(config: WebConfig) -> Middleware:
    """Identifies the senders of requests, and refuses unknown ones."""
    identities, open_routes = Identities(config), OPEN | config.open_paths

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in open_routes:
            return await handler(request)
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        try:
            identity = await identities.identify(Peer(request.remote, certificate), request.headers)
        except TooManyLogins:
            headers = {"Retry-After": "5"}
            raise web.HTTPTooManyRequests(text=TOO_MANY_LOGINS, headers=headers) from None
        if identity is None:
            headers = {"WWW-Authenticate": identities.challenge, "Cache-Control": "no-store"}
            raise web.HTTPUnauthorized(text=UNIDENTIFIED, headers=headers)
        request[IDENTITY] = identity
        return await handler(request)

    return check


def counted(connections: Connections) -> Middleware:
    """Notes when a whole request has arrived on a connection, and when it is answered."""

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
    """Responds to bad queries with their text. Logs other exceptions, and responds with 500 without
    theirs."""
    try:
        return await handler(request)
    except BadQuery as error:
        return refused(request, error.status, str(error))
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:
        resource = request.match_info.route.resource  # its pattern: a path can be a credential
        log.exception("%s %s failed", request.method, resource.canonical if resource else "?")
        return web.Response(text="internal error; see the agent's log\n", status=500)


def refused(
    request: web.Request, status: int, text: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A response that says what is wrong, in the format of the address."""
    if request.path.startswith("/api/"):
        return web.json_response({"error": text}, status=status, headers=headers)
    return web.Response(text=f"{text}\n", status=status, headers=headers)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is the agent's. A malformed request is not: anybody could fill the log, and
    the exception quotes the request, which may name a private page."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


PROTOCOL_LOG.addFilter(_is_ours)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers."""
    response.headers.update(_HEADERS)


class RequestHandler(web.RequestHandler):
    """aiohttp's protocol of a connection. Malformed requests reach no middleware and no signal:
    their responses get the security headers here."""

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, logger=PROTOCOL_LOG, access_log=None)  # type: ignore[arg-type]  # None is no access log

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a request that could not be read or handled."""
        response = super().handle_error(request, status, exc, message)
        response.headers.update(_HEADERS)
        return response
