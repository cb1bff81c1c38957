"""The agent's web server: the board, its data, `/metrics`, health and reload.

| path | |
|---|---|
| `/` | the board |
| `/kpis/<name>`, `/kpis/<name>/values.csv` | a KPI or one of its series over time (`pages`) |
| `/api/v1/kpis/<name>/history` | the same as JSON |
| `/alerts` | active alerts and the last transitions, as a page |
| `/producers` | the outcomes of each event's records, for the teams that produce them |
| `/contracts/<event>`, `/asyncapi.json` | the contracts as JSON Schema and AsyncAPI |
| `/api/v1/board`, `/api/v1/kpis/<name>`, `/api/v1/stream` | its data (`board.py` describes it) |
| `/api/v1/alerts` | active alerts and the last transitions (`alerts.py` describes it) |
| `/api/v1/explain?rule=<name>` | the state of a rule, and why; `&series=region=emea` |
| `/api/v1/rules` | the rules in use, as text, and how many series and alerts they have |
| `/private/<token>`, `/api/v1/private/<token>` | people's own numbers (`private.py`) |
| `/private/me`, `/api/v1/private/me` | the same, of the person or owner who is logged in |
| `/metrics` | text 0.0.4 or OpenMetrics 1.0.0, gzip |
| `/-/healthy` | 200 while the event loop runs |
| `/-/ready` | 200, or 503 with the components that are not ready |
| `/-/reload` | POST or PUT: 200, 400 with the problems of the rules, 500 for a bug of the agent |

Pages load nothing from other hosts. With a web configuration file (`web_config.py`), requests need
an identity, except for `middleware.OPEN` and the file's `open_paths`. The address of a private page
is a credential of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from agent import clock
from agent.core.changes.inventory import in_use, to_bytes
from agent.core.output.privacy import public_plan
from agent.errors import EnvironmentFault, InternalError, RulesError
from agent.export.agent_state import AgentState
from agent.export.metrics.exposition import Exposition
from agent.export.web.access import Access
from agent.export.web.alerts import Query, alerts_response
from agent.export.web.board import Board, ready_json
from agent.export.web.board_alerts import public_alerts, public_transitions
from agent.export.web.connections import Connections, Limits
from agent.export.web.middleware import (
    IDENTITY,
    RequestHandler,
    add_headers,
    allowed,
    counted,
    guarded,
    identified,
    refused,
)
from agent.export.web.pages.handlers import PageHandlers
from agent.export.web.private import PrivatePages
from agent.export.web.private import page as private_page
from agent.export.web.selection import NoSuchPage
from agent.export.web.shown import SCRIPT as STATES_SCRIPT
from agent.export.web.shown import Json, html
from agent.export.web.stream import BoardStream
from agent.export.web.tls import HANDSHAKE_SECONDS, ServerTls
from agent.export.web.web_config import WebConfig

log = logging.getLogger(__name__)

BACKLOG = 128
SHUTDOWN_SECONDS = 3.0
_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


_PRIVATE_HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
NOTHING_PRIVATE = "this address opens nothing, or nothing is known of this person yet"


class Pages:
    """The handlers of one agent's web server."""

    def __init__(
        self, state: AgentState, now_ms: Callable[[], int], tick_seconds: float, access: Access
    ) -> None:
        self._state = state
        self._access = access
        self._now_ms = now_ms
        self._board = Board(state, now_ms, min_age_seconds=tick_seconds * 0.9)
        self._pages = PageHandlers(state, now_ms)
        self._private = PrivatePages(state)
        self._exposition = Exposition(state)
        self._reloading = asyncio.Lock()
        self.stream = BoardStream(self._board, tick_seconds)
        self._files = {path.name: path.read_bytes() for path in _STATIC.iterdir()}
        self._files["states.js"] = STATES_SCRIPT.encode()

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/", self.index),
            web.get("/static/{name}", self.static),
            web.get("/favicon.ico", self.favicon),
            web.get("/metrics", self.metrics),
            web.get("/-/healthy", self.healthy),
            web.get("/-/ready", self.ready),
            web.post("/-/reload", self.reload),
            web.put("/-/reload", self.reload),
            web.get("/api/v1/board", self.board),
            web.get("/api/v1/kpis/{name}", self.kpi),
            web.get("/api/v1/alerts", self.alerts),
            web.get("/api/v1/explain", self.explain),
            web.get("/api/v1/rules", self.rules),
            web.get("/api/v1/stream", self.stream.respond),
            web.get("/private/me", self.private),
            web.get("/api/v1/private/me", self.private),
            web.get("/private/{token}", self.private),
            web.get("/api/v1/private/{token}", self.private),
            *self._pages.routes(),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The board's page."""
        page = html("index.html", name=self._state.name)
        return _cached(request, page.encode(), "text/html")

    async def static(self, request: web.Request) -> web.Response:
        """A static file."""
        name = request.match_info["name"]
        content_type = _TYPES.get(Path(name).suffix)
        if content_type is None or name not in self._files:
            raise web.HTTPNotFound
        return _cached(request, self._files[name], content_type)

    async def favicon(self, request: web.Request) -> web.Response:
        """The icon, under the address that browsers try by default."""
        return _cached(request, self._files["icon.svg"], _TYPES[".svg"])

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The response to a scrape."""
        headers = request.headers
        scrape = await self._exposition.scrape(
            headers.get("Accept", ""), headers.get("Accept-Encoding", "")
        )
        response = web.StreamResponse(headers={"Vary": "Accept, Accept-Encoding"})
        response.headers["Content-Type"] = scrape.content_type
        if scrape.gzipped:
            response.headers["Content-Encoding"] = "gzip"
        response.content_length = sum(map(len, scrape.chunks))
        try:
            await response.prepare(request)
            for chunk in scrape.chunks:
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            pass  # the scrape timed out
        return response

    async def healthy(self, _request: web.Request) -> web.Response:
        """200: the event loop runs."""
        return web.Response(text="healthy\n")

    async def ready(self, request: web.Request) -> web.Response:
        """200, or 503 with the components that are not ready; JSON if the client accepts it."""
        readiness = ready_json(self._state.ready)
        status = 200 if readiness["ok"] else 503
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response(readiness, status=status)
        lines = [f"{r['component']}: {r['reason']}\n" for r in readiness["reasons"]]
        text = "ready\n" if readiness["ok"] else "not ready\n" + "".join(lines)
        return web.Response(text=text, status=status)

    async def reload(self, request: web.Request) -> web.Response:
        """Reload the rules: all of them are valid and come into use, or nothing changes."""
        identity = request.get(IDENTITY)
        if (refusal := self._access.refusal_to_reload(request.headers, identity)) is not None:
            raise web.HTTPForbidden(text=refusal)
        if self._reloading.locked():
            headers = {"Retry-After": "5"}
            raise web.HTTPConflict(text="a reload is under way; try again\n", headers=headers)
        async with self._reloading:
            try:
                done, message = await self._state.rules.reload()
            except Exception:
                log.exception("Reloading the rules failed")
                text = "the reload failed, the old rules stay in use; see the agent's log\n"
                return web.Response(text=text, status=500)
        return web.Response(text=message.rstrip("\n") + "\n", status=200 if done else 400)

    async def board(self, request: web.Request) -> web.Response:
        """The board, of a selection."""
        response = _json(await self._board.snapshot(self._board.selection(request.query)))
        response.enable_compression()
        return response

    async def kpi(self, request: web.Request) -> web.Response:
        """One KPI with more of its series."""
        name = request.match_info["name"]
        card = await self._board.kpi(name, self._board.selection(request.query))
        if card is None:
            raise NoSuchPage(f"there is no KPI called {name[:80]}")
        response = _json(card)
        response.enable_compression()
        return response

    async def alerts(self, request: web.Request) -> web.Response:
        """Active alerts, and the last transitions."""
        state = self._state
        query = Query(request.query.items())
        alerts = public_alerts(state.plan, state.fleet.alerts())
        transitions = public_transitions(state.plan, state.fleet.transitions())
        return _json(
            alerts_response(public_plan(state.plan), alerts, transitions, query, self._now_ms())
        )

    async def private(self, request: web.Request) -> web.Response:
        """The private page, or its data, of a token, or of the person or owner who is logged in."""
        token, identity, now_ms = (
            request.match_info.get("token"),
            request.get(IDENTITY),
            self._now_ms(),
        )
        if token is not None:
            data = await self._private.data(token, now_ms)
        else:
            data = identity and await self._private.data_of(identity.name, now_ms)
        if data is None:
            return refused(request, 404, NOTHING_PRIVATE, _PRIVATE_HEADERS)
        if request.path.startswith("/api/"):
            return web.json_response(data, headers=_PRIVATE_HEADERS)
        text = private_page(data)
        return web.Response(text=text, content_type="text/html", headers=_PRIVATE_HEADERS)

    async def explain(self, request: web.Request) -> web.Response:
        """The state of a rule over the series of all workers, and the reasons."""
        query = request.query
        try:
            rule, series = query.get("rule", ""), query.get("series", "")
            return _json(await self._state.fleet.explain(rule, series))
        except RulesError as error:
            return refused(request, 404, str(error))
        except EnvironmentFault as error:
            return refused(request, 503, str(error), {"Retry-After": "5"})

    async def rules(self, _request: web.Request) -> web.Response:
        """The rules in use, and their numbers of series and alerts; private ones as hashes only."""
        plan, ready = self._state.plan, ready_json(self._state.ready)["ok"]
        views = self._state.fleet.all_series() if ready else None
        body = await asyncio.to_thread(lambda: to_bytes(in_use(plan, views)))
        headers = {"Cache-Control": "no-store"}
        return web.Response(body=body, content_type="application/json", headers=headers)


def _json(value: Json) -> web.Response:
    return web.json_response(value, headers={"Cache-Control": "no-store"})


def _cached(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """A response that browsers cache and revalidate each time."""
    tag = hashlib.sha256(body).hexdigest()[:16]
    headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"'}
    if any(known.value == tag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


def make_app(
    state: AgentState,
    now_ms: Callable[[], int] = clock.now_ms,
    tick_seconds: float = 1.0,
    access: Access | None = None,
    connections: Connections | None = None,
    config: WebConfig | None = None,
) -> web.Application:
    """The application of one agent; `tick_seconds` is how often a stream looks for changes."""
    access = access or Access()
    middlewares = [allowed(access)]
    if connections is not None:
        middlewares.insert(0, counted(connections))
    if config is not None and config.is_closed:
        middlewares.append(identified(config))
    app = web.Application(middlewares=[*middlewares, guarded])
    pages = Pages(state, now_ms, tick_seconds, access)
    app.add_routes(pages.routes())
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(pages.stream.close)
    return app


@asynccontextmanager
async def serving(
    state: AgentState,
    host: str,
    port: int,
    now_ms: Callable[[], int] = clock.now_ms,
    tick_seconds: float = 1.0,
    access: Access | None = None,
    limits: Limits | None = None,
    config: WebConfig | None = None,
) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port in use (`port` 0: any free one).

    Raises OSError if the address can't be listened on, and EnvironmentFault if the certificate
    can't be used.
    """
    tls = ServerTls(config.tls_server_config) if config and config.tls_server_config else None
    connections = Connections(limits or Limits())
    runner = web.AppRunner(
        make_app(state, now_ms, tick_seconds, access, connections, config),
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    manager = runner.server
    if manager is None:
        raise InternalError("the web server was set up, and has no protocol")
    server: asyncio.Server | None = None
    try:
        try:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: connections.new(RequestHandler(manager, loop)), host, port, backlog=BACKLOG,
                ssl=tls.context if tls else None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            )  # fmt: skip
        except OSError as error:
            message = f"can't listen on {host}:{port}: {error.strerror or error}"
            raise OSError(
                error.errno, f"{message}. Is another agent running? Choose another port."
            ) from error
        yield int(server.sockets[0].getsockname()[1])
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()
