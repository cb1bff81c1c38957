"""What the board shows, as one JSON object.

`GET /api/v1/board` gives it, `/api/v1/stream` sends it once, then what changed: an event `board`
with the first KPIs, then events `change` with those keys that changed, and of `kpis` the KPIs that
are new or changed. Both take the parameters of `selection.py`; without any, the KPIs that need
attention most, `selection.KPIS` of them. Texts are made here, so that every reader sees the same
words; times are ms since the epoch, and shown in `timezone`.

    name           the board's heading
    version        of the agent
    config_hash    of the rules
    timezone       IANA name of the zone of all times that are shown
    now_ms         the agent's clock
    data_until_ms  how far event time has got, or null
    ready          {ok, reasons: [{component, reason}]}
    missed         [{topic, records}]: what this worker found gone before it read it, for an hour
    alerts         [{key, rule, severity, phase, kpi, title, series, since_ms, value, summary,
                   description, owner, team, escalation, runbook, path, count,
                   others: [{key, series, severity, since_ms, value, summary, path}]}], firing
                   first, the gravest first; few of those resolved a short while ago, and
                   MOST_ALERTS in all.
                   `count` series of one rule in one phase, of `total` of the KPI, are one, with the
                   `others` in few words
    alert_counts   {firing, inhibited, pending}: how many series there are
    elsewhere      how many series fire beside those that are asked for
    sources        [{topic, records, why: [{outcome, records}]}]: what was read of each topic, by
                   outcome or reason, while no event of any has been counted; else []
    transitions    [{key, at_ms, rule, severity, state, title, series, because, path}]: the last
                   ones of alerts, newest first
    objectives     [{name, title, description, owner, score (0 to 1, or null), text, state,
                   trend (up, down, flat, or null), trend_text,
                   objectives, kpis: [{name, title, weight, state, path}]}], each before its parts
    kpis           [card], as `board_cards.py` describes them
    kpi_order      [name]: those of `kpis`, in the order in which to show them, missed first
    declared       how many KPIs there are
    found          how many are asked for; `found_by_state` {state: how many, whatever `state` asks}
    choices        what can be asked for, as `selection.choices_json` says
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from agent.core.model.results import AlertPhase, SeriesView
from agent.core.output.privacy import private_subjects, shared
from agent.export.agent_state import AgentState
from agent.export.metrics.kpi_series import group
from agent.export.web.board_alerts import (
    MOST_TRANSITIONS,
    STANDING,
    alerts_json,
    gravest,
    public_alerts,
    public_transitions,
    transitions_json,
)
from agent.export.web.board_cards import MORE_ROWS, card, worst_state
from agent.export.web.board_objectives import objectives_json
from agent.export.web.board_sources import data_until_ms, missed_json, sources_json
from agent.export.web.selection import Selection, choices_json
from agent.export.web.states import STATES
from agent.export.web.totals import Totals

Json = dict[str, Any]

EVERYTHING = Selection()
MOST_KEPT = 32
"""Selections whose boards are kept."""
ROWS = 6

_SHOWN_RANK = {state: rank for rank, state in enumerate(STATES)}


class Board:
    """The board of one agent. What one selection gives is made at most every `min_age_seconds`, for
    all readers, and takes at most a quarter of a core.

    `now_ms` is the wall clock that the board shows, `clock_seconds` the one that never jumps.
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
        self._made: OrderedDict[Selection, tuple[float, Json]] = OrderedDict()
        self._free_at_seconds = 0.0
        self._totals = Totals()
        self._busy = asyncio.Lock()

    def selection(self, query: Mapping[str, str]) -> Selection:
        """What the parameters of an address ask for. Raises BadSelection."""
        return Selection.parse(query, shared(self._state.plan))

    async def snapshot(self, selection: Selection = EVERYTHING) -> Json:
        """The board as described above; made in a thread, as there may be many series."""
        async with self._busy:
            began = self._clock_seconds()
            made_at, made = self._made.get(selection, (-math.inf, {}))
            if began - made_at < self._min_age_seconds:
                return made
            await asyncio.sleep(self._free_at_seconds - time.monotonic())
            read = _Read(self._state, self._now_ms())
            made, cost_seconds = await asyncio.to_thread(self._timed, read, selection)
            self._free_at_seconds = time.monotonic() + 3 * cost_seconds
            self._made[selection] = began, made
            self._made.move_to_end(selection)
            if len(self._made) > MOST_KEPT:
                self._made.popitem(last=False)
            return made

    def _timed(self, read: _Read, selection: Selection) -> tuple[Json, float]:
        """A board, and the CPU time that it took."""
        began = time.thread_time()
        return _snapshot(read, selection, self._totals), time.thread_time() - began

    async def kpi(self, name: str, selection: Selection = EVERYTHING) -> Json | None:
        """One KPI with up to MORE_ROWS rows, of the series that are asked for; None when it is not
        declared."""
        read = _Read(self._state, self._now_ms())
        kpi = read.plan.kpis.get(name)
        if kpi is None:
            return None

        def work() -> Json:
            series = group(read.plan, read.series)[name]
            chosen = selection.series_of(read.plan, kpi, series) or ()
            return card(read.plan, kpi, chosen, read.data_until_ms, MORE_ROWS)

        return await asyncio.to_thread(work)


class _Read:
    """What a snapshot needs of a running agent, read in one go on its loop."""

    def __init__(self, state: AgentState, now_ms: int) -> None:
        self.now_ms = now_ms
        self.plan = shared(state.plan)
        private = private_subjects(state.plan)
        # A copy, as the work is done in a thread.
        everyone = tuple(state.fleet.all_series())
        self.series = tuple(v for v in everyone if v.kpi not in private) if private else everyone
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
    """What a reader of `old` needs to have `new`; empty when nothing but the clock has moved."""
    changed = {k: v for k, v in new.items() if k not in ("kpis", "now_ms") and old.get(k) != v}
    before = {kpi["name"]: kpi for kpi in old["kpis"]}
    kpis = [kpi for kpi in new["kpis"] if before.get(kpi["name"]) != kpi]
    if kpis:
        changed["kpis"] = kpis
    if changed:
        changed["now_ms"] = new["now_ms"]
    return changed


def _snapshot(read: _Read, selection: Selection, totals: Totals) -> Json:
    plan, until_ms = read.plan, read.data_until_ms
    held = group(plan, read.series)
    states = {name: worst_state(plan.kpis[name], series) for name, series in held.items()}
    asked = [alert for alert in read.alerts if selection.has_alert(plan, alert)]
    standing = gravest(asked)
    counts = Counter(str(alert.phase) for alert in standing)
    firing = sum(alert.phase == AlertPhase.FIRING for alert in gravest(read.alerts))
    sizes = {name: len(series) for name, series in held.items()}
    return {
        "name": read.name,
        "version": read.version,
        "config_hash": plan.config_hash,
        "timezone": read.timezone,
        "now_ms": read.now_ms,
        "data_until_ms": until_ms,
        "ready": ready_json(read.ready),
        "missed": read.missed,
        "alerts": alerts_json(plan, standing, asked, until_ms, sizes),
        "alert_counts": {str(phase): counts[str(phase)] for phase in STANDING},
        "elsewhere": firing - counts[str(AlertPhase.FIRING)],
        "sources": read.sources,
        "transitions": transitions_json(plan, read.transitions),
        "objectives": objectives_json(plan, read.scores, states),
        "declared": len(plan.kpis),
        "choices": choices_json(plan, held, selection),
        **_found(read, held, states, selection, totals),
    }


def _found(
    read: _Read,
    held: Mapping[str, Sequence[SeriesView]],
    states: Mapping[str, str],
    selection: Selection,
    totals: Totals,
) -> Json:
    """The KPIs that are asked for, of the series that are: `limit` of them as cards."""
    plan = read.plan
    asked = {}
    for name, kpi in plan.kpis.items():
        series = selection.series_of(plan, kpi, held[name])
        if series is not None:
            is_whole = series is held[name]
            asked[name] = series, states[name] if is_whole else worst_state(kpi, series)
    listed = [name for name, (_, state) in asked.items() if selection.state in ("", state)]
    listed.sort(key=lambda name: _SHOWN_RANK[asked[name][1]])
    cards = []
    for name in listed[: selection.limit]:
        kpi, (series, _) = plan.kpis[name], asked[name]
        made = card(plan, kpi, series, read.data_until_ms, ROWS)
        cards.append(made | {"sum": totals.text(plan, kpi, series)})
    return {
        "found": len(listed),
        "found_by_state": dict(Counter(state for _, state in asked.values())),
        "kpis": cards,
        "kpi_order": [card["name"] for card in cards],
    }


def ready_json(ready: Mapping[str, str | None]) -> Json:
    """Whether every component is ready, and what the others wait for."""
    reasons = [{"component": c, "reason": r} for c, r in ready.items() if r is not None]
    if not ready:
        reasons = [{"component": "agent", "reason": "starting: no part of it has reported yet"}]
    return {"ok": not reasons, "reasons": reasons}
