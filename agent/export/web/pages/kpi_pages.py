"""The page of a KPI and of each of its series: `/kpis/<name>?series=&range=&until=`, as HTML, as
JSON (`/api/v1/kpis/<name>/history`) and its values as CSV (`/kpis/<name>/values.csv`)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import PastWindows
from agent.core.model.rules import is_whole
from agent.core.model.text import seconds_text
from agent.core.output.addresses import dashboard_path, kpi_path, with_query
from agent.core.output.messages import dimensions_json, hidden_text, iso, label
from agent.core.output.privacy import public_plan
from agent.core.output.series_selector import parse_selector, selector_text, selects
from agent.errors import RulesError
from agent.export.agent_state import AgentState, Alert, Links
from agent.export.metrics.closed_samples import BANDS
from agent.export.metrics.kpi_series import group
from agent.export.web.board_alerts import active_alerts, alert_json, by_rule, safe_link
from agent.export.web.board_sources import data_until_ms
from agent.export.web.pages import drawing
from agent.export.web.pages.explained import explanations, in_words
from agent.export.web.pages.kpi_data import (
    Sources,
    Span,
    default_range,
    page_data,
    ranges_of,
)
from agent.export.web.pages.past import PastWindowReader
from agent.export.web.selection import NoSuchPage
from agent.export.web.shown import STATES, Json, clock_text, html, iso_text

MOST_ALERTS = 20
"""Series of a rule that are listed at the top of a KPI's page."""


@dataclass(frozen=True, slots=True)
class Why:
    """Explanations of the rules over a series, and why others are missing."""

    documents: tuple[Mapping[str, Any], ...] = ()
    missing: tuple[str, ...] = ()


class KpiPages:
    """The pages of all KPIs of one agent."""

    def __init__(self, state: AgentState, now_ms: Callable[[], int]) -> None:
        self._state = state
        self._now_ms = now_ms
        self._past = PastWindowReader(state)

    async def html(self, name: str, query: Mapping[str, str]) -> str:
        """A page as HTML. Raises NoSuchPage."""
        sources = await self._read(name, query)
        data = await asyncio.to_thread(page_data, sources)
        why = await self._why(sources)
        alerts = _alerts_of(self._state, sources)
        return await asyncio.to_thread(
            _render, self._state, sources, data, why, alerts, self._now_ms()
        )

    async def _why(self, sources: Sources) -> Why:
        """Explain the rules over the series; empty on the page of a KPI with several series."""
        rules = [
            rule.name for rule in sources.plan.rules_of(sources.kpi.name) if not is_whole(rule)
        ]
        dimensions = () if sources.dimensions is None else sources.dimensions
        if not rules or len(dimensions) != len(sources.kpi.by):
            return Why()
        documents, missing = await explanations(self._state.fleet, rules, sources.kpi, dimensions)
        return Why(tuple(documents), tuple(missing))

    async def json(self, name: str, query: Mapping[str, str]) -> Json:
        """The data of a page. Raises NoSuchPage."""
        return await asyncio.to_thread(page_data, await self._read(name, query))

    async def csv(self, name: str, query: Mapping[str, str]) -> str:
        """All windows of a page's range as CSV. Raises NoSuchPage."""
        return _csv(await self._read(name, query))

    async def _read(self, name: str, query: Mapping[str, str]) -> Sources:
        state = self._state
        plan = public_plan(state.plan)
        kpi = plan.kpis.get(name)
        if kpi is None:
            raise NoSuchPage(f"there is no KPI called {name[:80]}")
        views = group(plan, tuple(state.fleet.all_series()))[name]
        dimensions = _series(kpi, [v.series for v in views], query.get("series", ""))
        newest = max((v.closed.end_ms for v in views if v.closed is not None), default=None)
        until_ms = _until(query.get("until"), newest or self._now_ms())
        span = Span(_range(kpi, query.get("range")), until_ms)
        own = [v for v in views if dimensions in (None, v.dimensions)]
        past = await self._past.windows(kpi, dimensions, span.needed_since_ms, own)
        return Sources(
            plan, kpi, dimensions, span, views, _upto(past, until_ms),
            tuple(state.fleet.transitions()), tuple(state.fleet.rule_changes()),
            dict(state.fleet.scores()), state.timezone, data_until_ms(state, views),
        )  # fmt: skip


def _upto(past: PastWindows, until_ms: int) -> PastWindows:
    return replace(past, windows=tuple(w for w in past.windows if w.end_ms <= until_ms))


def _series(kpi: Kpi, known: list[Dimensions], text: str) -> Dimensions | None:
    """The one series that a selector selects; None: the KPI with all of them."""
    if not text.strip():
        return None
    try:
        selector = parse_selector(text, kpi.by, kpi.name)
    except RulesError as error:
        raise NoSuchPage(str(error)) from error
    selected = [dimensions for dimensions in known if selects(selector, kpi.by, dimensions)]
    if len(selected) != 1:
        what = "no series has" if not selected else f"{len(selected)} series have"
        raise NoSuchPage(f"{what} {text[:200]}; dimensions of {kpi.name}: {', '.join(kpi.by)}")
    return selected[0]


def _range(kpi: Kpi, text: str | None) -> str:
    if text is None:
        return default_range(kpi)
    if text not in ranges_of(kpi):
        raise NoSuchPage(f"range is one of {', '.join(ranges_of(kpi))}")
    return text


def _until(text: str | None, newest_ms: int) -> int:
    if text is None:
        return newest_ms
    try:
        at = datetime.fromisoformat(text)
        return min(round(at.timestamp() * 1000), newest_ms)
    except (ValueError, OverflowError, OSError):
        raise NoSuchPage("until is a time, for example 2025-03-03T10:30:00Z") from None


# --- HTML ----------------------------------------------------------------------------------------


def _alerts_of(state: AgentState, sources: Sources) -> list[Alert]:
    """The active alerts of the KPI, or of one of its series and of the KPI as a whole."""
    kpi, dimensions = sources.kpi, sources.dimensions
    own = (alert for alert in state.fleet.alerts() if alert.kpi == kpi.name)
    return active_alerts(a for a in own if dimensions is None or a.dimensions in (dimensions, ()))


def _render(
    state: AgentState,
    sources: Sources,
    data: Json,
    why: Why,
    alerts: Sequence[Alert],
    now_ms: int,
) -> str:
    until_ms = sources.data_until_ms or now_ms
    has_seconds = sources.kpi.window.step_ms % 60_000 != 0

    def clock(at_ms: float) -> str:
        return clock_text(at_ms, now_ms, sources.timezone, seconds=has_seconds)

    return html(
        "kpi.html",
        board=state.name,
        data=data,
        words=STATES,
        chart=drawing.chart(data) if any(line["points"] for line in data["lines"]) else "",
        json=_data_block({name: data[name] for name in _DRAWN}),
        clock=clock,
        lasts=lambda since_ms: seconds_text(max(0, (until_ms - since_ms) // 1000)),
        active=by_rule([alert_json(sources.plan, alert) for alert in alerts]),
        most_series=MOST_ALERTS,
        why=in_words(why.documents, alerts, sources.kpi, sources.dimensions or (), clock),
        missing=why.missing,
        iso=lambda at_ms: iso_text(at_ms, sources.timezone),
        links=_links(sources, data),
        details=_details(sources.kpi),
        outside=_external_links(state.links, sources),
    )


_DRAWN = (
    "name", "title", "series", "timezone", "since_ms", "until_ms", "lines", "low", "high", "ticks",
    "bands", "rules", "alerts", "maintenance", "changes",
)  # fmt: skip
"""What the script of the page draws: the chart. All else is in the page as it is."""


def _data_block(data: Json) -> Markup:
    """JSON for a `script` element: without `<`, it can't end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  no markup is left in it


def _links(sources: Sources, data: Json) -> Json:
    """Addresses relative to this page: other ranges, the periods before and after, the CSV."""
    base = kpi_path(sources.kpi.name).removeprefix("kpis/")
    own: dict[str, str | None] = {}
    if sources.dimensions:
        own["series"] = selector_text(dimensions_json(sources.kpi, sources.dimensions))
    span = sources.span

    def at(until_ms: int | None, name: str = span.name) -> str:
        until = None if until_ms is None else iso(until_ms)
        return with_query(base, {**own, "range": name, "until": until})

    newest = data["end_ms"] or span.until_ms
    later = span.until_ms + span.length_ms
    is_now = span.until_ms >= newest
    return {
        "kpi": base,
        "ranges": [(name, at(None if is_now else span.until_ms, name)) for name in data["ranges"]],
        "earlier": at(span.since_ms),
        "later": None if is_now else at(later if later < newest else None),
        "now": None if is_now else at(None),
        "csv": f"{base}/values.csv{at(None if is_now else span.until_ms).removeprefix(base)}",
    }


def _external_links(links: Links, sources: Sources) -> list[tuple[str, str]]:
    """Links to other sites: the KPI's board in Grafana, the runbooks of its rules."""
    external = []
    if links.grafana:
        path = dashboard_path(sources.kpi, sources.dimensions)
        external.append(("Board in Grafana", f"{links.grafana}/{path}"))
    for rule in sources.plan.rules_of(sources.kpi.name):
        address = safe_link(rule.runbook)
        if address:
            external.append((f"Runbook of {rule.name}", address))
    return external


def _details(kpi: Kpi) -> list[tuple[str, str]]:
    """The declaration of a KPI, as (term, description)."""
    rows = [("Owner", kpi.owner or ""), ("Team", kpi.team or ""), ("Value", kpi.sql)]
    if kpi.where_sql:
        rows.append(("Where", kpi.where_sql))
    if kpi.by:
        rows.append(("By", ", ".join(kpi.by)))
    return [row for row in rows if row[1]]


# --- CSV -----------------------------------------------------------------------------------------

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _csv(sources: Sources) -> str:
    """The windows of the range, one a line; times in UTC. Texts that a spreadsheet would
    evaluate as a formula begin with an apostrophe."""
    kpi = sources.kpi
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    hidden = ("hidden",) if kpi.minimum_people else ()
    columns = ("start", "end", "value", "unit", "events", *BANDS, *hidden)
    writer.writerow([*map(_cell, kpi.by), *columns])
    for window in sources.past.windows:
        if window.end_ms <= sources.span.since_ms:
            continue
        dimensions = dimensions_json(kpi, window.dimensions).values()
        target = window.target
        writer.writerow(
            [
                *(_cell(label(value)) for value in dimensions),
                iso(kpi.window.start_of(window.end_ms)),
                iso(window.end_ms),
                window.value,
                kpi.unit,
                window.events,
                *(getattr(target, band) if target else None for band in BANDS),
                *(hidden_text(kpi) if window.hidden else None for _ in hidden),
            ]
        )
    return out.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def not_found(state: AgentState, name: str, reason: str) -> str:
    """The page for an address that has none, such as an expired series: links to others."""
    kpi = public_plan(state.plan).kpis.get(name)
    return html(
        "not_found.html",
        board=state.name,
        reason=reason,
        title=kpi.title if kpi else "",
        path=kpi_path(kpi.name) if kpi else "",
    )
