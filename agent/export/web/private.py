"""Private pages: one for each person and each owner, at an address with a token.

`GET /private/<token>` is the page, `GET /api/v1/private/<token>` its data:

    who        {person, name} or {owner}
    now_ms     the agent's clock
    kpis       the private KPIs, as on the board, with their series only
    alerts     [{rule, severity, phase, kpi, title, series, since_ms, value, runbook}]

A token is derived from the secret and the person's or owner's name, and opens the page for anyone
who has it; `kpi-agent link` prints it. Private data is not on the board, in metrics or in logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from agent.core.model.kpis import OTHER, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.core.model.text import duration
from agent.core.output.messages import label
from agent.export import svg_chart
from agent.export.agent_state import AgentState, Alert
from agent.export.metrics.kpi_series import group
from agent.export.svg_chart import Scale
from agent.export.web.board_alerts import ACTIVE_PHASES, alert_json, in_order
from agent.export.web.board_cards import MORE_ROWS, card
from agent.export.web.board_sources import data_until_ms
from agent.export.web.identity import digest_of
from agent.export.web.shown import MARKED, Json, html

REFRESH_SECONDS = 30
INDEX_SECONDS = 5.0
MINUTE_MS = 60_000
SPARK_WIDTH, SPARK_HEIGHT = 100, 20


@dataclass(frozen=True, slots=True)
class Scope:
    """The data that a token gives access to: of a person (`name` in dimension `person`), or of an
    owner."""

    person: str | None = None
    name: str = ""
    owner: str | None = None

    @property
    def who(self) -> Json:
        """Whose numbers these are."""
        if self.person is None:
            return {"owner": self.owner}
        return {"person": self.person, "name": self.name}

    def has_kpi(self, kpi: Kpi) -> bool:
        """Whether any series of the KPI may be shown."""
        if kpi.person is None:
            return False
        return kpi.owner == self.owner if self.person is None else kpi.person == self.person

    def has(self, kpi: Kpi, dimensions: Sequence[Any]) -> bool:
        """Whether a series of the KPI may be shown."""
        if not self.has_kpi(kpi) or len(dimensions) != len(kpi.by):
            return False
        if self.person is None:
            return True
        own = dimensions[kpi.by.index(self.person)]
        return own is not None and own != OTHER and label(own) == self.name


@dataclass(frozen=True, slots=True)
class Scopes:
    """All scopes of one name: a person in several dimensions, who may be an owner as well."""

    scopes: tuple[Scope, ...]

    def has_kpi(self, kpi: Kpi) -> bool:
        """Whether any series of the KPI may be shown."""
        return any(scope.has_kpi(kpi) for scope in self.scopes)

    def has(self, kpi: Kpi, dimensions: Sequence[Any]) -> bool:
        """Whether a series of the KPI may be shown."""
        return any(scope.has(kpi, dimensions) for scope in self.scopes)

    @property
    def who(self) -> Json:
        """Whose numbers these are."""
        return self.scopes[0].who


class PrivatePages:
    """The data of private pages, by token, and by the name of somebody who is logged in.

    The tokens of all people are indexed by their digests, so that the time of a look-up does not
    depend on the token. The index is built in a thread, for an unknown token at most every
    `INDEX_SECONDS`: a thousand wrong tokens cost the event loop a thousand look-ups.
    """

    def __init__(self, state: AgentState, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._tokens: dict[Scope, tuple[str, ...]] = {}
        self._index: Mapping[bytes, Scope] = {}
        self._by_name: Mapping[str, Scopes] = {}
        self._indexed_plan: Plan | None = None
        self._indexed_at = -INDEX_SECONDS
        self._indexing = asyncio.Lock()

    async def data(self, token: str, now_ms: int) -> Json | None:
        """The data of a token's page; None: the token is unknown."""
        digest = digest_of(token)
        await self._refresh(digest)
        return await self._read(self._index.get(digest), now_ms)

    async def _read(self, scope: Scope | Scopes | None, now_ms: int) -> Json | None:
        if scope is None:
            return None
        state, views = self._state, tuple(self._state.fleet.all_series())
        alerts = tuple(state.fleet.alerts())
        until_ms = data_until_ms(state, [])
        return await asyncio.to_thread(_data, state.plan, scope, views, alerts, until_ms, now_ms)

    async def data_of(self, name: str, now_ms: int) -> Json | None:
        """The data of the person or the owner of this name; None: there is none."""
        await self._refresh(None)
        return await self._read(self._by_name.get(name), now_ms)

    async def _refresh(self, digest: bytes | None) -> None:
        """Build the index again if the plan is another, or the digest may be of a new person."""
        async with self._indexing:
            plan = self._state.plan
            if plan is self._indexed_plan:
                known = digest is not None and digest in self._index
                if known or self._clock() - self._indexed_at < INDEX_SECONDS:
                    return
            views = tuple(self._state.fleet.all_series())
            self._index, self._by_name = await asyncio.to_thread(self._make_index, plan, views)
            self._indexed_plan, self._indexed_at = plan, self._clock()

    def _make_index(
        self, plan: Plan, views: Sequence[SeriesView]
    ) -> tuple[dict[bytes, Scope], dict[str, Scopes]]:
        by_token: dict[bytes, Scope] = {}
        by_name: dict[str, list[Scope]] = {}
        for scope in self._scopes(plan, views):
            by_token.update((digest_of(token), scope) for token in self._tokens_of(scope))
            by_name.setdefault(scope.owner or scope.name, []).append(scope)
        return by_token, {name: Scopes(tuple(scopes)) for name, scopes in by_name.items()}

    def _scopes(self, plan: Plan, views: Sequence[SeriesView]) -> Iterator[Scope]:
        """The scopes of all people with series, and of all owners of private KPIs."""
        private = {n: k for n, k in plan.kpis.items() if k.person is not None}
        scopes: dict[Scope, None] = {}
        for kpi in private.values():
            if kpi.owner is not None:
                scopes[Scope(owner=kpi.owner)] = None
        for view in views if private else ():
            private_kpi = private.get(view.kpi)
            if (
                private_kpi is None
                or private_kpi.person is None
                or len(view.series) != len(private_kpi.by)
            ):
                continue
            own = view.series[private_kpi.by.index(private_kpi.person)]
            if own is not None and own != OTHER:
                scopes[Scope(private_kpi.person, label(own))] = None
        yield from scopes

    def _tokens_of(self, scope: Scope) -> tuple[str, ...]:
        if scope not in self._tokens:
            privacy = self._state.privacy
            self._tokens[scope] = (
                privacy.owner_tokens(scope.owner or "")
                if scope.person is None
                else privacy.person_tokens(scope.person, scope.name)
            )
        return self._tokens[scope]


def _data(
    plan: Plan,
    scope: Scope | Scopes,
    views: Sequence[SeriesView],
    alerts: Sequence[Alert],
    sources_ms: int | None,
    now_ms: int,
) -> Json:
    """The data of one page, made of copies from the event loop. `sources_ms`: how far event time
    has got in the sources."""
    kpis = {name: kpi for name, kpi in plan.kpis.items() if scope.has_kpi(kpi)}
    series = [v for v in views if v.kpi in kpis and scope.has(kpis[v.kpi], v.series)]
    own_plan = replace(plan, kpis=kpis)
    held = group(own_plan, series)
    ends_ms = (v.closed.end_ms for v in series if v.closed is not None)
    until_ms = max((sources_ms or 0, *ends_ms)) or None
    own = _alerts(plan, scope, alerts)
    return {
        "who": scope.who,
        "now_ms": now_ms,
        "kpis": [card(own_plan, kpi, held[n], until_ms, MORE_ROWS) for n, kpi in kpis.items()],
        "alerts": [_alert(plan, alert) for alert in in_order(own)],
    }


def _alerts(plan: Plan, scope: Scope | Scopes, alerts: Sequence[Alert]) -> list[Alert]:
    return [
        alert
        for alert in alerts
        if alert.phase in ACTIVE_PHASES
        and (kpi := plan.kpis.get(alert.kpi)) is not None
        and scope.has(kpi, alert.dimensions)
    ]


_OF_ALERT = (
    "rule", "severity", "phase", "kpi", "title", "series", "since_ms", "value", "runbook",
)  # fmt: skip


def _alert(plan: Plan, alert: Alert) -> Json:
    shown = alert_json(plan, alert)
    return {key: shown[key] for key in _OF_ALERT}


def page(data: Json) -> str:
    """A private page as HTML, without scripts and without links to other hosts."""
    who = data["who"]
    whose = f"{who['person']}: {who['name']}" if "person" in who else f"owner: {who['owner']}"
    return html(
        "private.html",
        whose=whose,
        refresh_seconds=REFRESH_SECONDS,
        alerts=[_alert_words(alert, data["now_ms"]) for alert in data["alerts"]],
        kpis=data["kpis"],
        words=MARKED,
        spark=_spark,
    )


def _alert_words(alert: Json, now_ms: int) -> Json:
    """An alert with its KPI and series (`about`) and its age (`lasts`) in words."""
    lasts_ms = max(0, now_ms - alert["since_ms"])
    unit_ms = MINUTE_MS if lasts_ms >= MINUTE_MS else 1000
    about = " · ".join(filter(None, (alert["title"], alert["series"])))
    return alert | {"about": about, "lasts": duration(lasts_ms // unit_ms * unit_ms)}


def _spark(row: Json) -> Markup:
    """A sparkline of the last windows."""
    known = [value for _, value in row["history"] if value is not None]
    if not known:
        return Markup("")
    first, last = row["history"][0][0], row["history"][-1][0]
    x = Scale(first, last, 2, SPARK_WIDTH - 2)
    y = Scale(min(known), max(known), SPARK_HEIGHT - 2, 2)
    points = [(x(at), None if value is None else y(value)) for at, value in row["history"]]
    about = f"The last {len(points)} windows, between {row['low']} and {row['high']}"
    return svg_chart.element(
        "svg",
        svg_chart.element("title", about),
        svg_chart.line(points, "line"),
        class_="spark",
        viewBox=f"0 0 {SPARK_WIDTH} {SPARK_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=about,
    )
