"""The handlers of the pages of KPIs, series, alerts and producers, as HTML, JSON or CSV."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from agent.core.output.privacy import public_plan
from agent.export.agent_state import AgentState
from agent.export.web.alerts import Query
from agent.export.web.board_alerts import (
    active_alerts,
    alert_json,
    public_alerts,
    public_transitions,
    transition_json,
)
from agent.export.web.board_sources import data_until_ms
from agent.export.web.pages.alert_pages import alerts_page
from agent.export.web.pages.kpi_pages import KpiPages, not_found
from agent.export.web.pages.producer_pages import producers_page
from agent.export.web.selection import NoSuchPage

_FRESH = {"Cache-Control": "no-store"}


class PageHandlers:
    """The pages of one agent."""

    def __init__(self, state: AgentState, now_ms: Callable[[], int]) -> None:
        self._state = state
        self._now_ms = now_ms
        self._kpis = KpiPages(state, now_ms)

    def routes(self) -> list[web.RouteDef]:
        """The routes of all handlers."""
        return [
            web.get("/kpis/{name}", self.kpi_page),
            web.get("/kpis/{name}/values.csv", self.kpi_csv),
            web.get("/api/v1/kpis/{name}/history", self.kpi_history),
            web.get("/alerts", self.alerts_page),
            web.get("/producers", self.producers_page),
            web.get("/contracts/{event}", self.contract),
            web.get("/asyncapi.json", self.asyncapi),
        ]

    async def kpi_page(self, request: web.Request) -> web.Response:
        """The page of a KPI, or of one of its series."""
        name, status = request.match_info["name"], 200
        try:
            page = await self._kpis.html(name, request.query)
        except NoSuchPage as error:
            page, status = not_found(self._state, name, str(error)), 404
        response = web.Response(text=page, status=status, content_type="text/html", headers=_FRESH)
        return _compressed(response)

    async def kpi_history(self, request: web.Request) -> web.Response:
        """The data of that page as JSON."""
        data = await self._kpis.json(request.match_info["name"], request.query)
        return _compressed(web.json_response(data, headers=_FRESH))

    async def kpi_csv(self, request: web.Request) -> web.Response:
        """The values of that page as CSV, one window a line."""
        name = request.match_info["name"]
        text = await self._kpis.csv(name, request.query)
        headers = {**_FRESH, "Content-Disposition": f'attachment; filename="{name}.csv"'}
        return _compressed(web.Response(text=text, content_type="text/csv", headers=headers))

    async def alerts_page(self, request: web.Request) -> web.Response:
        """The page of active alerts and the last transitions."""
        state, plan = self._state, public_plan(self._state.plan)
        query = Query(request.query.items())
        parameters = dict(request.query)
        transitions = tuple(public_transitions(state.plan, state.fleet.transitions()))
        alerts = active_alerts(public_alerts(state.plan, state.fleet.alerts()))
        until_ms = data_until_ms(state, state.fleet.all_series())
        now_ms = self._now_ms()

        def work() -> str:
            active = [alert_json(plan, alert) for alert in alerts]
            return alerts_page(
                state.name, plan,
                [alert for alert in active if query.matches(alert | {"state": alert["phase"]})],
                [transition_json(plan, t) for t in transitions if query.matches(t)],
                parameters, now_ms, until_ms, state.timezone,
            )  # fmt: skip

        text = await asyncio.to_thread(work)
        return _compressed(web.Response(text=text, content_type="text/html", headers=_FRESH))

    async def producers_page(self, request: web.Request) -> web.Response:
        """The page of the events' outcomes, for producers."""
        text = producers_page(self._state, self._now_ms())
        return _compressed(web.Response(text=text, content_type="text/html", headers=_FRESH))

    async def contract(self, request: web.Request) -> web.Response:
        """What the rules expect of an event, as JSON Schema."""
        documents, name = self._state.documents, request.match_info["event"]
        contract = self._state.plan.contracts.get(name)
        if documents is None or contract is None:
            raise NoSuchPage(f"no event is called {name}")
        return _document(documents.schema(contract), "application/schema+json")

    async def asyncapi(self, request: web.Request) -> web.Response:
        """What the rules expect from each topic, as an AsyncAPI document."""
        if self._state.documents is None:
            raise web.HTTPNotFound
        return _document(self._state.documents.asyncapi(self._state.plan), "application/json")


def _document(document: Mapping[str, Any], content_type: str) -> web.Response:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return _compressed(web.Response(text=text, content_type=content_type, headers=_FRESH))


def _compressed(response: web.Response) -> web.Response:
    response.enable_compression()
    return response
