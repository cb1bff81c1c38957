"""The data of the board, as one JSON object.

`GET /api/v1/board` returns it. `/api/v1/stream` sends an event `board` with the first KPIs, then
events `change` with the changed keys, and of `kpis` the KPIs that are new or changed. Both have the
parameters of `selection.py`; by default they return the `selection.KPIS` KPIs that need attention
most. Texts are made here, so that every client shows the same; times are ms since the epoch, to be
shown in `timezone`.

    name           the board's heading
    version        of the agent
    config_hash    of the rules
    timezone       IANA name of the zone of all times that are shown
    now_ms         the agent's clock
    data_until_ms  how far event time has got, or null
    ready          {ok, reasons: [{component, reason}]}
    missed         [{topic, records}]: records deleted before this worker read them, for an hour
    alerts         [{key, rule, severity, phase, kpi, title, series, since_ms, value, summary,
                   description, owner, team, escalation, runbook, path, count,
                   others: [{key, series, severity, since_ms, value, summary, path}]}], firing
                   first, then the most severe; at most MOST_RESOLVED resolved recently, and
                   MOST_ALERTS in all.
                   Many series of one rule and phase are one entry: `count` of the KPI's `total`
                   series, with the `others` in short
    alert_counts   {firing, inhibited, pending}: numbers of series
    elsewhere      how many series fire that are not selected
    sources        [{topic, records, why: [{outcome, records}]}]: the records read of each topic, by
                   outcome or reason, while no event at all has been counted; else []
    transitions    [{key, at_ms, rule, severity, state, title, series, because, path}]: the last
                   ones of all alerts, newest first
    objectives     [{name, title, description, owner, score (0 to 1, or null), text, state,
                   trend (up, down, flat, or null), trend_text,
                   objectives, kpis: [{name, title, weight, state, path}]}], each before its parts
    kpis           [card], as `board_cards.py` describes them
    kpi_order      [name]: those of `kpis`, in the order in which to show them, missed first
    declared       how many KPIs there are
    found          how many of them are selected; `found_by_state` {state: how many, regardless of
                   the parameter `state`}
    choices        the values for parameters, as `selection.choices_json` describes them
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView, finite
from agent.core.model.text import value_text
from agent.core.output.privacy import private_subjects, public_plan
from agent.export.agent_state import AgentState
from agent.export.metrics.kpi_series import group
from agent.export.web.board_alerts import (
    ACTIVE_PHASES,
    MOST_TRANSITIONS,
    active_alerts,
    alerts_json,
    public_alerts,
    public_transitions,
    transitions_json,
)
from agent.export.web.board_cards import MORE_ROWS, card, missed_share, worst_state
from agent.export.web.board_objectives import objectives_json
from agent.export.web.board_sources import data_until_ms, missed_json, sources_json
from agent.export.web.pages.contribution import is_additive
from agent.export.web.selection import Selection, choices_json
from agent.export.web.shown import STATES, Json

EVERYTHING = Selection()
MOST_CACHED = 32
"""Selections whose boards are cached."""
ROWS = 6

_STATE_RANK = {state: rank for rank, state in enumerate(STATES)}


class Board:
    """The board of one agent. For each selection it is made at most every `min_age_seconds`, for
    all clients, and takes at most a quarter of a core.

    `now_ms` is the wall clock that the board shows, `clock_seconds` a monotonic clock.
    """

    def __init__(
        self,
        state: AgentState,
        now_ms: Callable[[], int],
        min_age_seconds: float = 0.9,
        clock_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._now_ms = now_ms
        self._min_age_seconds = min_age_seconds
        self._clock_seconds = clock_seconds
        self._cache: OrderedDict[Selection, tuple[float, Json]] = OrderedDict()
        self._free_at_seconds = 0.0
        self._totals = Totals()
        self._lock = asyncio.Lock()

    def selection(self, query: Mapping[str, str]) -> Selection:
        """The selection of query parameters. Raises BadQuery."""
        return Selection.parse(query, public_plan(self._state.plan))

    async def snapshot(self, selection: Selection = EVERYTHING) -> Json:
        """The board as described above; made in a thread, as there may be many series."""
        async with self._lock:
            began = self._clock_seconds()
            made_at, board = self._cache.get(selection, (-math.inf, {}))
            if began - made_at < self._min_age_seconds:
                return board
            await asyncio.sleep(self._free_at_seconds - time.monotonic())
            copy = _StateCopy(self._state, self._now_ms())
            board, cost_seconds = await asyncio.to_thread(self._timed, copy, selection)
            self._free_at_seconds = time.monotonic() + 3 * cost_seconds
            self._cache[selection] = began, board
            self._cache.move_to_end(selection)
            if len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
            return board

    def _timed(self, copy: _StateCopy, selection: Selection) -> tuple[Json, float]:
        """A board, and the CPU time that it took."""
        began = time.thread_time()
        return _snapshot(copy, selection, self._totals), time.thread_time() - began

    async def kpi(self, name: str, selection: Selection = EVERYTHING) -> Json | None:
        """One KPI with up to MORE_ROWS rows, of the selected series; None if it is not declared."""
        copy = _StateCopy(self._state, self._now_ms())
        kpi = copy.plan.kpis.get(name)
        if kpi is None:
            return None

        def work() -> Json:
            series = group(copy.plan, copy.series)[name]
            selected = selection.series_of(copy.plan, kpi, series) or ()
            return card(copy.plan, kpi, selected, copy.data_until_ms, MORE_ROWS)

        return await asyncio.to_thread(work)


class _StateCopy:
    """A copy of the agent's state for a thread, made at once on the event loop."""

    def __init__(self, state: AgentState, now_ms: int) -> None:
        self.now_ms = now_ms
        self.plan = public_plan(state.plan)
        private = private_subjects(state.plan)
        views = tuple(state.fleet.all_series())
        self.series = tuple(v for v in views if v.kpi not in private) if private else views
        self.alerts = tuple(public_alerts(state.plan, state.fleet.alerts()))
        self.transitions = tuple(
            islice(public_transitions(state.plan, state.fleet.transitions()), MOST_TRANSITIONS)
        )
        self.scores = dict(state.fleet.scores())
        self.ready = dict(state.ready)
        self.missed = missed_json(state, now_ms)
        self.sources = sources_json(state)
        self.data_until_ms = data_until_ms(state, self.series)
        self.name, self.version, self.timezone = state.name, state.version, state.timezone


def change(old: Json, new: Json) -> Json:
    """The difference that makes `new` of `old`; empty if only the clock differs."""
    changed = {k: v for k, v in new.items() if k not in ("kpis", "now_ms") and old.get(k) != v}
    before = {kpi["name"]: kpi for kpi in old["kpis"]}
    kpis = [kpi for kpi in new["kpis"] if before.get(kpi["name"]) != kpi]
    if kpis:
        changed["kpis"] = kpis
    if changed:
        changed["now_ms"] = new["now_ms"]
    return changed


def _snapshot(copy: _StateCopy, selection: Selection, totals: Totals) -> Json:
    plan, until_ms = copy.plan, copy.data_until_ms
    held = group(plan, copy.series)
    states = {name: worst_state(plan.kpis[name], series) for name, series in held.items()}
    selected = [alert for alert in copy.alerts if selection.has_alert(plan, alert)]
    active = active_alerts(selected)
    counts = Counter(str(alert.phase) for alert in active)
    firing = sum(alert.phase == AlertPhase.FIRING for alert in active_alerts(copy.alerts))
    sizes = {name: len(series) for name, series in held.items()}
    return {
        "name": copy.name,
        "version": copy.version,
        "config_hash": plan.config_hash,
        "timezone": copy.timezone,
        "now_ms": copy.now_ms,
        "data_until_ms": until_ms,
        "ready": ready_json(copy.ready),
        "missed": copy.missed,
        "alerts": alerts_json(plan, active, selected, until_ms, sizes),
        "alert_counts": {str(phase): counts[str(phase)] for phase in ACTIVE_PHASES},
        "elsewhere": firing - counts[str(AlertPhase.FIRING)],
        "sources": copy.sources,
        "transitions": transitions_json(plan, copy.transitions),
        "objectives": objectives_json(plan, copy.scores, states),
        "declared": len(plan.kpis),
        "choices": choices_json(plan, held, selection),
        **_selected_kpis(copy, held, states, selection, totals),
    }


def _selected_kpis(
    copy: _StateCopy,
    held: Mapping[str, Sequence[SeriesView]],
    states: Mapping[str, str],
    selection: Selection,
    totals: Totals,
) -> Json:
    """The selected KPIs with their selected series, `limit` of them as cards."""
    plan = copy.plan
    selected = {}
    for name, kpi in plan.kpis.items():
        series = selection.series_of(plan, kpi, held[name])
        if series is not None:
            is_whole = series is held[name]
            selected[name] = series, states[name] if is_whole else worst_state(kpi, series)
    names = [name for name, (_, state) in selected.items() if selection.state in ("", state)]
    names.sort(key=lambda name: (_STATE_RANK[selected[name][1]], -missed_share(selected[name][0])))
    cards = []
    for name in names[: selection.limit]:
        kpi, (series, _) = plan.kpis[name], selected[name]
        of_kpi = card(plan, kpi, series, copy.data_until_ms, ROWS)
        cards.append(of_kpi | {"sum": totals.text(plan, kpi, series)})
    return {
        "found": len(names),
        "found_by_state": dict(Counter(state for _, state in selected.values())),
        "kpis": cards,
        "kpi_order": [card["name"] for card in cards],
    }


def ready_json(ready: Mapping[str, str | None]) -> Json:
    """Whether all components are ready, and why others are not."""
    reasons = [{"component": c, "reason": r} for c, r in ready.items() if r is not None]
    if not ready:
        reasons = [{"component": "agent", "reason": "starting: no part of it has reported yet"}]
    return {"ok": not reasons, "reasons": reasons}


class Totals:
    """Totals of the KPIs of one board. Whether a KPI is additive is computed once."""

    def __init__(self) -> None:
        self._additive: dict[str, tuple[Kpi, bool]] = {}

    def text(self, plan: Plan, kpi: Kpi, views: Sequence[SeriesView]) -> str:
        """The total of the last window that all series have closed, for people; "" if a KPI is not
        additive, has one series, or hides small groups, whose values would be missing."""
        if len(views) < 2 or kpi.minimum_people or not self._is_additive(plan, kpi):
            return ""
        values = _values(kpi, views)
        return value_text(sum(values), kpi.unit) if values else ""

    def _is_additive(self, plan: Plan, kpi: Kpi) -> bool:
        known = self._additive.get(kpi.name)
        if known is None or known[0] is not kpi:
            known = self._additive[kpi.name] = kpi, is_additive(plan, kpi.name)
        return known[1]


def _values(kpi: Kpi, views: Sequence[SeriesView]) -> list[float]:
    """The series' values in the newest window that all active series have closed.

    State partitions close a window one after the other: for a moment, some series are one window
    behind. Series that are further behind have no events any more.
    """
    ends = {view.closed.end_ms for view in views if view.closed is not None}
    newest = max(ends, default=0)
    common = min((end for end in ends if newest - end <= kpi.window.step_ms), default=0)
    at_end = (value for view in views for end, value in view.history[-3:] if end == common)
    return [value for value in map(finite, at_end) if value is not None]
