"""What the board shows, as one JSON object.

`GET /api/v1/board` gives it whole; `/api/v1/stream` sends it whole once (event `board`), then what
changed (event `change`: the same keys, only those that changed, and of `kpis` only the KPIs that
changed). Texts are made here, so that every reader sees the same words; times are ms since the
epoch, and shown in `timezone`.

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
                   `count` series of one rule in one phase are one, with the `others` in few words
    alert_counts   {firing, inhibited, pending}: how many series there are
    sources        [{topic, records, why: [{outcome, records}]}]: what was read of each topic, by
                   outcome or reason, while no event of any has been counted; else []
    steps          [{key, at_ms, rule, severity, state, title, series, because, path}]: the last
                   steps that alerts took, newest first
    objectives     [{name, title, description, owner, score (0 to 1, or null), text, state,
                   trend (up, down, flat, or null), trend_text,
                   objectives, kpis: [{name, title, weight, state}]}], each before its parts
    kpis           [{name, title, description, owner, team, objectives, unit, better, by, window,
                   target, state, counts: {state: series}, total, start_ms, end_ms, stale, path,
                   rows}]; `path` leads to the KPI's page, relative to the board
    kpi_order      [name]

A KPI's `rows` are its worst series, at most ROWS of `total`; `GET /api/v1/kpis/<name>` gives the
same object with more of them. A row:

    key, series    the dimensions, for programs (`region='emea'`) and for people (`emea`)
    value, text    the last closed window's value, as a number and for people
    current        the open window's value for people, or null
    events         in the last closed window
    maintenance    the title of what the last closed window was in, or null
    hidden         why it has no value, where it is of too few people, or null
    state          met, at_risk, missed, no_data, or none (no target)
    attainment     a number or null;   attainment_text   for people
    target         for people;   bounds   {at_least, at_most, warn_at_least, warn_at_most}
    history        [[end_ms, value or null]], oldest first;   low, high   its range for people
    phase          of the gravest alert on it: firing, pending or null
    path           of the series' page, relative to the board
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Any

from agent.core.evaluate.objectives import Score, in_tree_order
from agent.core.evaluate.targets import common_target
from agent.core.model.kpis import Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView, TargetState, finite
from agent.core.model.text import percent_text, target_text, value_text, window_words
from agent.core.output.addresses import kpi_path, series_path
from agent.core.output.messages import hidden_text
from agent.core.output.privacy import private_subjects, shared
from agent.export.agent_state import AgentState
from agent.export.metrics.closed_samples import bounds
from agent.export.metrics.kpi_series import group
from agent.export.web.board_alerts import (
    MOST_STEPS,
    STANDING,
    alerts_json,
    gravest,
    public_alerts,
    public_steps,
    steps_json,
)
from agent.export.web.board_sources import data_until_ms, missed_json, sources_json
from agent.export.web.series_text import series_key, series_text

Json = dict[str, Any]

ROWS = 6
MORE_ROWS = 500
HISTORY_POINTS = 40
STALE_SLACK_MS = 60_000
"""A window may be this late beyond lateness and two hops before the board calls the KPI stale."""

_STATE_ORDER = ("missed", "at_risk", "met", "none", "no_data")
_RANK = {state: rank for rank, state in enumerate(_STATE_ORDER)}


class Board:
    """The board of one agent. A snapshot is made at most every `min_age_seconds`, for all readers.

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
        self._made_at_seconds = 0.0
        self._last: Json | None = None
        self._busy = asyncio.Lock()

    async def snapshot(self) -> Json:
        """The whole board as described above; made in a thread, as there may be many series."""
        async with self._busy:
            at_seconds = self._clock_seconds()
            if self._last is None or at_seconds - self._made_at_seconds >= self._min_age_seconds:
                read = _Read(self._state, self._now_ms())
                self._last = await asyncio.to_thread(_snapshot, read)
                self._made_at_seconds = at_seconds
            return self._last

    async def kpi(self, name: str) -> Json | None:
        """One KPI with up to MORE_ROWS rows; None when it is not declared."""
        read = _Read(self._state, self._now_ms())
        kpi = read.plan.kpis.get(name)
        if kpi is None:
            return None

        def work() -> Json:
            series = group(read.plan, read.series)[name]
            return card(read.plan, kpi, series, read.data_until_ms, MORE_ROWS)

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
        self.steps = tuple(islice(public_steps(state.plan, state.fleet.steps()), MOST_STEPS))
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


def _snapshot(read: _Read) -> Json:
    held = group(read.plan, read.series)
    until_ms = read.data_until_ms
    cards = [card(read.plan, k, held[k.name], until_ms, ROWS) for k in read.plan.kpis.values()]
    states = {card["name"]: card["state"] for card in cards}
    standing = gravest(read.alerts)
    return {
        "name": read.name,
        "version": read.version,
        "config_hash": read.plan.config_hash,
        "timezone": read.timezone,
        "now_ms": read.now_ms,
        "data_until_ms": until_ms,
        "ready": ready_json(read.ready),
        "missed": read.missed,
        "alerts": alerts_json(read.plan, standing, read.alerts, until_ms),
        "alert_counts": {
            str(phase): sum(alert.phase == phase for alert in standing) for phase in STANDING
        },
        "sources": read.sources,
        "steps": steps_json(read.plan, read.steps),
        "objectives": _objectives(read.plan, read.scores, states),
        "kpis": cards,
        "kpi_order": list(read.plan.kpis),
    }


def ready_json(ready: Mapping[str, str | None]) -> Json:
    """Whether every component is ready, and what the others wait for."""
    reasons = [{"component": c, "reason": r} for c, r in ready.items() if r is not None]
    if not ready:
        reasons = [{"component": "agent", "reason": "starting: no part of it has reported yet"}]
    return {"ok": not reasons, "reasons": reasons}


def _objectives(plan: Plan, scores: Mapping[str, Score], states: Mapping[str, str]) -> list[Json]:
    made = []
    for objective in in_tree_order(plan.objectives):
        scored = scores.get(objective.name, Score())
        score = finite(scored.value)
        kpis = [
            {
                "name": name,
                "title": plan.kpis[name].title,
                "weight": percent_text(weight * 100, digits=0),
                "state": states[name],
            }
            for name, weight in objective.kpis.items()
            if name in plan.kpis
        ]
        made.append(
            {
                "name": objective.name,
                "title": objective.title,
                "description": objective.description,
                "owner": objective.owner or "",
                "score": score,
                "text": "–" if score is None else _score_text(score),
                "state": str(scored.state),
                "trend": scored.trend,
                "trend_text": _trend_text(scored),
                "objectives": [
                    {
                        "name": name,
                        "title": plan.objectives[name].title,
                        "weight": percent_text(weight * 100, digits=0),
                        "state": str(scores.get(name, Score()).state),
                    }
                    for name, weight in objective.objectives.items()
                ],
                "kpis": kpis,
            }
        )
    return made


def _trend_text(score: Score) -> str:
    """Where the score is heading, for people: "up 3.2 points"; "" where that is not known."""
    if score.trend is None or score.change is None:
        return ""
    if score.trend == "flat":
        return "steady"
    points = f"{abs(score.change) * 100:.1f}".removesuffix(".0")
    return f"{score.trend} {points} {'point' if points == '1' else 'points'}"


def _score_text(score: float) -> str:
    # Rounded down: 100 % is said only of an objective that is met in full.
    return percent_text(math.floor(score * 1000 + 1e-6) / 10, digits=0 if score >= 1 else 1)


def card(
    plan: Plan, kpi: Kpi, series: Sequence[SeriesView], until_ms: int | None, rows: int
) -> Json:
    """A KPI with its worst series, as described above."""
    states = Counter(_state(view) for view in series)
    worst = nsmallest(rows, series, key=lambda view: badness(kpi, view))
    newest = max((v.closed for v in series if v.closed), key=lambda w: w.end_ms, default=None)
    target = common_target(kpi, newest.start_ms) if newest else kpi.target
    return {
        "name": kpi.name,
        "title": kpi.title,
        "description": kpi.description,
        "owner": kpi.owner or kpi.team or "",
        "team": kpi.team or "",
        "objectives": [plan.objectives[name].title for name in plan.objectives_of(kpi.name)],
        "unit": kpi.unit,
        "better": kpi.better,
        "by": list(kpi.by),
        "window": window_words(kpi.window),
        "target": target_text(target, kpi.unit),
        "state": next((s for s in _STATE_ORDER if states[s]), _state_without_series(kpi)),
        "counts": {s: states[s] for s in _STATE_ORDER if states[s]},
        "total": len(series),
        "start_ms": newest and newest.start_ms,
        "end_ms": newest and newest.end_ms,
        "stale": newest is not None and _is_stale(kpi, newest.end_ms, until_ms),
        "path": kpi_path(kpi.name),
        "rows": [_row(plan, kpi, view) for view in worst],
    }


def _state_without_series(kpi: Kpi) -> str:
    return "none" if kpi.target is None else "no_data"


def _is_stale(kpi: Kpi, end_ms: int, until_ms: int | None) -> bool:
    slack_ms = 2 * kpi.window.step_ms + kpi.lateness_ms + STALE_SLACK_MS
    return until_ms is not None and until_ms - end_ms > slack_ms


def _state(view: SeriesView) -> str:
    if view.status is not None:
        return str(view.status.state)
    if view.target is not None:
        return str(TargetState.NO_DATA)
    return "no_data" if _value(view) is None else "none"


def _phase(view: SeriesView) -> str | None:
    phases = view.phases.values()
    for phase in (AlertPhase.FIRING, AlertPhase.INHIBITED, AlertPhase.PENDING):
        if phase in phases:
            return str(phase)
    return None


def badness(kpi: Kpi, view: SeriesView) -> tuple[int, int, float, float, str]:
    """The order of rows: alerts, then states, then attainment, then the value."""
    attainment, value = _attainment(view), _value(view)
    if value is None:
        value = math.inf
    elif kpi.better == "lower":
        value = -value
    firing = 0 if _phase(view) == "firing" else 1
    reached = math.inf if attainment is None else attainment
    return firing, _RANK[_state(view)], reached, value, str(view.dimensions)


def _value(view: SeriesView) -> float | None:
    return finite(view.closed.value if view.closed else None)


def _attainment(view: SeriesView) -> float | None:
    return finite(view.status.attainment if view.status else None)


def _row(plan: Plan, kpi: Kpi, view: SeriesView) -> Json:
    value, attainment = _value(view), _attainment(view)
    history = [[at, _short(v)] for at, v in view.history[-HISTORY_POINTS:]]
    known = [v for _, v in history if v is not None]
    return {
        "key": series_key(kpi.by, view.dimensions),
        "series": series_text(view.dimensions),
        "value": value,
        "text": value_text(value, kpi.unit),
        "current": _current(kpi, view),
        "events": view.closed.events if view.closed else 0,
        "maintenance": _maintenance(plan, view),
        "hidden": hidden_text(kpi) if view.closed and view.closed.hidden else None,
        "state": _state(view),
        "attainment": attainment,
        "attainment_text": "" if attainment is None else percent_text(attainment * 100, digits=0),
        "target": target_text(view.target, kpi.unit),
        "bounds": _bounds(view.target),
        "history": history,
        "low": value_text(min(known), kpi.unit) if known else "",
        "high": value_text(max(known), kpi.unit) if known else "",
        "phase": _phase(view),
        "path": series_path(kpi, view.dimensions),
    }


def _maintenance(plan: Plan, view: SeriesView) -> str | None:
    name = view.closed.maintenance if view.closed else None
    known = plan.maintenance.get(name) if name is not None else None
    return known.title if known else name


def _current(kpi: Kpi, view: SeriesView) -> str | None:
    if view.current is None or view.current.value is None:
        return None
    return value_text(view.current.value, kpi.unit)


def _bounds(target: Target | None) -> Json:
    return {} if target is None else dict(bounds(target))


def _short(value: float | None) -> float | None:
    """Six digits are more than a sparkline can show."""
    return None if finite(value) is None else float(f"{value:.6g}")
