"""The KPIs of the board as cards: a KPI's state and its worst series.

    kpis           [{name, title, description, owner, team, objectives, unit, better, by, window,
                   target, state, counts: {state: series}, total, sum, start_ms, end_ms, stale,
                   path, rows}]; `path` leads to the KPI's page, relative to the board; `sum` is the
                   value over all series for people, or "" where that is not the sum of theirs

A KPI's `rows` are its worst series, at most ROWS of `total`; `GET /api/v1/kpis/<name>` gives the
same object with more of them. A row:

    key, series    the dimensions, for programs (`region='emea'`) and for people (`emea`)
    value, text    the last closed window's value, as a number and for people
    current        the open window's value for people, or null
    events         in the last closed window
    maintenance    the title of the maintenance that the last closed window was in, or null
    hidden         why the value is hidden (too few people), or null
    state          met, at_risk, missed, no_data, or none (no target)
    attainment     a number or null;   attainment_text   for people
    target         for people;   bounds   {at_least, at_most, warn_at_least, warn_at_most}
    history        [[end_ms, value or null]], oldest first;   low, high   its range for people
    phase          of its most urgent alert: firing, inhibited, pending or null
    path           of the series' page, relative to the board
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import nsmallest

from agent.core.evaluate.targets import common_target
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView, TargetState, finite
from agent.core.model.text import percent_text, target_text, value_text, window_words
from agent.core.output.addresses import kpi_path, series_path
from agent.core.output.messages import hidden_text
from agent.export.metrics.closed_samples import bounds
from agent.export.web.shown import Json, series_key, series_text

MORE_ROWS = 500
HISTORY_POINTS = 40
STALE_SLACK_MS = 60_000
"""Tolerance beyond the KPI's lateness and two windows before the board shows it as stale."""

_STATE_ORDER = ("missed", "at_risk", "met", "none", "no_data")
_RANK = {state: rank for rank, state in enumerate(_STATE_ORDER)}


def card(
    plan: Plan, kpi: Kpi, series: Sequence[SeriesView], until_ms: int | None, rows: int
) -> Json:
    """A KPI with its worst series, as described above."""
    states = Counter(_state(view) for view in series)
    worst = nsmallest(rows, series, key=lambda view: urgency(kpi, view))
    newest = max((v.closed for v in series if v.closed), key=lambda w: w.end_ms, default=None)
    target = common_target(kpi, newest.start_ms) if newest else kpi.target
    return {
        "name": kpi.name,
        "title": kpi.title,
        "description": kpi.description,
        "owner": kpi.owner or kpi.team or "",
        "team": kpi.team or "",
        "objectives": plan.objective_titles(kpi.name),
        "unit": kpi.unit,
        "better": kpi.better,
        "by": list(kpi.by),
        "window": window_words(kpi.window),
        "target": target_text(target, kpi.unit),
        "state": worst_state(kpi, series),
        "counts": {s: states[s] for s in _STATE_ORDER if states[s]},
        "total": len(series),
        "start_ms": newest and newest.start_ms,
        "end_ms": newest and newest.end_ms,
        "stale": newest is not None and _is_stale(kpi, newest.end_ms, until_ms),
        "path": kpi_path(kpi.name),
        "rows": [_row(plan, kpi, view) for view in worst],
    }


def worst_state(kpi: Kpi, series: Iterable[SeriesView]) -> str:
    """A KPI's state: the worst of its series'."""
    without_series = "none" if kpi.target is None else "no_data"
    return min((_state(view) for view in series), key=_RANK.__getitem__, default=without_series)


def missed_share(series: Sequence[SeriesView]) -> float:
    """The share of series that miss their target: 0 to 1, 0 without series."""
    return sum(_state(view) == "missed" for view in series) / (len(series) or 1)


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


def urgency(kpi: Kpi, view: SeriesView) -> tuple[int, int, float, float, str]:
    """The sort key of rows, the worst first: firing, then state, attainment and value."""
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
    history = [[at, _rounded(v)] for at, v in view.history[-HISTORY_POINTS:]]
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
        "bounds": bounds(view.target),
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


def _rounded(value: float | None) -> float | None:
    """A value to six digits, more than a sparkline can show."""
    return None if finite(value) is None else float(f"{value:.6g}")
