"""What the page of a KPI, or of one of its series, says; also `GET /api/v1/kpis/<name>/history`.

name, title, description, owner, team, unit, better, window, target, sql, where
objectives     those that the KPI serves, as `board_objectives.objectives_of_kpi` gives them
series         the chosen series for people, or ""
timezone       of all texts with times
since_ms, until_ms, range, ranges
is_complete    whether nothing of the range is missing
total          how many series there are
rows           the series, as on the board, the worst first
lines          [{key, name, kind: value, total or previous, points: [[end_ms, value, text]]}]:
               a point without a value breaks the line
low, high      what the axis of values shows;   ticks   [[value, text]] on it
bands          [[from_ms, until_ms, {at_least, at_most, warn_at_least, warn_at_most}]]
rules          [{rule, severity, value, text}]: numbers that values are compared with
alerts, maintenance, changes   what is marked (`marks`)
windows        [{end_ms, text, value, events, state, maintenance, hidden}] of a single series, the
               newest first
moved          which series moved it (`contribution`), or null
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from agent.core.evaluate.objectives import Score
from agent.core.evaluate.targets import assess, common_target, target_of
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.plan import Plan
from agent.core.model.results import PastWindow, PastWindows, SeriesView
from agent.core.model.text import number_text, percent_text, value_text
from agent.core.output.addresses import series_path
from agent.core.output.messages import PublishedTransition, hidden_text
from agent.export.agent_state import RuleChange
from agent.export.metrics.closed_samples import bounds
from agent.export.web.board_cards import badness, card
from agent.export.web.board_objectives import objectives_of_kpi
from agent.export.web.pages import axes
from agent.export.web.pages.contribution import Contribution, contribution, is_additive
from agent.export.web.pages.marks import (
    alert_marks,
    change_marks,
    maintenance_marks,
    rule_lines,
)
from agent.export.web.series_text import series_key, series_text

Json = dict[str, Any]
Point = tuple[int, float | None, str]

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
RANGES = {
    "5m": 5 * _MINUTE_MS, "15m": 15 * _MINUTE_MS, "30m": 30 * _MINUTE_MS,
    "1h": _HOUR_MS, "3h": 3 * _HOUR_MS, "12h": 12 * _HOUR_MS,
    "1d": _DAY_MS, "7d": 7 * _DAY_MS, "30d": 30 * _DAY_MS, "90d": 90 * _DAY_MS, "1y": 365 * _DAY_MS,
}  # fmt: skip
_SHARES = {"ratio": 100.0, "percent": 1.0, "percentage": 1.0}
LEAST_WINDOWS, USUAL_WINDOWS, MOST_WINDOWS = 8, 30, 2_200
"""Windows of a range: fewer are no chart, more no line that anybody reads."""
MOST_LINES = 6
MOST_SERIES = 200
MOST_LISTED = 60
"""Windows in the table of a page; the CSV has all."""


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of event time that a page is about: `(since, until]`, ms."""

    name: str
    until_ms: int

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return RANGES[self.name]

    @property
    def since_ms(self) -> int:
        """Where it begins."""
        return self.until_ms - self.length_ms

    @property
    def needed_since_ms(self) -> int:
        """Where the period before it begins, which is drawn beside it."""
        return self.since_ms - self.length_ms


def ranges_of(kpi: Kpi) -> list[str]:
    """The ranges that suit a KPI's window, the shortest first; there is always one."""
    step = kpi.window.step_ms
    suiting = [n for n, ms in RANGES.items() if LEAST_WINDOWS <= ms // step <= MOST_WINDOWS]
    return suiting or [min(RANGES, key=lambda n: abs(RANGES[n] - USUAL_WINDOWS * step))]


def usual_range(kpi: Kpi) -> str:
    """The range that a page opens with."""
    names = ranges_of(kpi)
    enough = [n for n in names if RANGES[n] >= USUAL_WINDOWS * kpi.window.step_ms]
    return enough[0] if enough else names[-1]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page is made of, read on the event loop. `views`: all series of the KPI."""

    plan: Plan
    kpi: Kpi
    dimensions: Dimensions | None
    span: Span
    views: Sequence[SeriesView]
    past: PastWindows
    transitions: Sequence[PublishedTransition]
    changes: Sequence[RuleChange]
    scores: Mapping[str, Score]
    timezone: str
    data_until_ms: int | None


def page_data(of: Sources) -> Json:
    """The data of a page, as described above."""
    kpi, span, windows = of.kpi, of.span, of.past.windows
    about = card(of.plan, kpi, of.views, of.data_until_ms, MOST_SERIES)
    lines = _lines(of)
    bands = _bands(of)
    rules = rule_lines(of.plan, kpi, of.dimensions)
    values = [value for line in lines for _, value, _ in line["points"] if value is not None]
    bounds = [bound for _, _, band in bands for bound in band.values()]
    low, high = axes.extent(values, [*bounds, *(rule["value"] for rule in rules)])
    until_ms = span.until_ms
    chosen = [w for w in windows if of.dimensions in (None, w.dimensions)]
    moved = contribution(of.plan, kpi, windows, span.length_ms) if of.dimensions is None else None
    return {
        **{name: about[name] for name in _OF_CARD},
        "objectives": objectives_of_kpi(of.plan, of.scores, kpi.name),
        "sql": kpi.sql,
        "where": kpi.where_sql,
        "series": series_text(of.dimensions),
        "timezone": of.timezone,
        "since_ms": span.since_ms,
        "until_ms": until_ms,
        "range": span.name,
        "ranges": ranges_of(kpi),
        "is_complete": of.past.is_complete,
        "rows": _rows(of, about),
        "lines": lines,
        "low": low,
        "high": high,
        "ticks": [list(tick) for tick in axes.value_ticks(low, high, kpi.unit)],
        "bands": [list(band) for band in bands],
        "rules": rules,
        "alerts": alert_marks(kpi, of.dimensions, of.transitions, span.since_ms, until_ms),
        "maintenance": maintenance_marks(of.plan, kpi, of.dimensions, span.since_ms, until_ms),
        "changes": change_marks(of.changes, kpi, span.since_ms, until_ms),
        "windows": _listed(of, chosen) if _is_single(of) else [],
        "moved": None if moved is None or len(moved.changes) < 2 else _moved(kpi, moved),
    }


_OF_CARD = (
    "name", "title", "description", "owner", "team", "unit", "better", "by",
    "window", "target", "state", "counts", "total", "stale", "end_ms",
)  # fmt: skip


def _is_single(of: Sources) -> bool:
    return of.dimensions is not None or not of.kpi.by or len(of.views) == 1


def _rows(of: Sources, about: Json) -> list[Json]:
    """The series that the page is about, as the board has them."""
    rows: list[Json] = about["rows"]
    if of.dimensions is None:
        return rows
    own = [view for view in of.views if view.dimensions == of.dimensions]
    chosen: list[Json] = card(of.plan, of.kpi, own, None, 1)["rows"]
    return chosen


# --- lines ---------------------------------------------------------------------------------------


def _lines(of: Sources) -> list[Json]:
    """The lines of the chart; the first is the one that the others stand beside."""
    kpi, span = of.kpi, of.span
    by_series: dict[Dimensions, list[PastWindow]] = {}
    for window in of.past.windows:
        by_series.setdefault(window.dimensions, []).append(window)
    if _is_single(of):
        dimensions = of.dimensions if of.dimensions is not None else next(iter(by_series), ())
        own = [(w.end_ms, w.value) for w in by_series.get(dimensions, ())]
        return _with_previous(of, "value", series_text(dimensions) or kpi.title, own)
    lines: list[Json] = []
    if is_additive(of.plan, kpi.name):
        lines += _with_previous(of, "total", "All series", _totals(of.past.windows))
    worst = nsmallest(MOST_LINES, of.views, key=lambda view: badness(kpi, view))
    for view in worst:
        windows = by_series.get(view.series, ())
        points = [(w.end_ms, w.value) for w in windows if w.end_ms > span.since_ms]
        name = series_text(view.dimensions)
        lines.append(_line(of, "value", series_key(kpi.by, view.dimensions), name, points))
    return lines


def _totals(windows: Iterable[PastWindow]) -> list[tuple[int, float | None]]:
    totals: dict[int, float] = {}
    for window in windows:
        if window.value is not None:
            totals[window.end_ms] = totals.get(window.end_ms, 0.0) + window.value
    return [(end_ms, total) for end_ms, total in sorted(totals.items())]


def _with_previous(
    of: Sources, kind: str, name: str, points: Sequence[tuple[int, float | None]]
) -> list[Json]:
    """A line, and beside it what it was one range earlier."""
    span = of.span
    own = [p for p in points if span.since_ms < p[0] <= span.until_ms]
    before = [(at + span.length_ms, v) for at, v in points if at <= span.since_ms]
    lines = [_line(of, kind, kind, name, own)]
    if before:
        lines.append(_line(of, "previous", "previous", f"{span.name} earlier", before))
    return lines


def _line(
    of: Sources, kind: str, key: str, name: str, points: Iterable[tuple[int, float | None]]
) -> Json:
    """A line, broken where windows are missing."""
    step_ms = of.kpi.window.span_ms + of.kpi.window.step_ms
    made: list[Point] = []
    for at_ms, value in points:
        if made and at_ms - made[-1][0] > step_ms:
            made.append((made[-1][0] + 1, None, ""))
        shown = None if value is None else float(f"{value:.7g}")
        made.append((at_ms, shown, value_text(value, of.kpi.unit)))
    return {"key": key, "name": name, "kind": kind, "points": made}


# --- bounds and tables ---------------------------------------------------------------------------


def _bands(of: Sources) -> list[tuple[int, int, dict[str, float]]]:
    """The bounds over the range, as they were when windows were evaluated where that is known, else
    as the rules are now; neighbours of the same bounds are one."""
    kpi, span = of.kpi, of.span
    is_one = _is_single(of)
    ends = {w.end_ms: w for w in of.past.windows if w.end_ms > span.since_ms}
    bands: list[tuple[int, int, dict[str, float]]] = []
    for end_ms, window in sorted(ends.items()):
        start_ms = kpi.window.start_of(end_ms)
        if is_one:
            target = window.target or target_of(kpi, window.dimensions, start_ms)
        else:
            target = common_target(kpi, start_ms)
        bounds = _bounds(target)
        if bands and bands[-1][2] == bounds:
            bands[-1] = (bands[-1][0], end_ms, bounds)
        else:
            begin = bands[-1][1] if bands else max(span.since_ms, end_ms - kpi.window.step_ms)
            bands.append((begin, end_ms, bounds))
    return [band for band in bands if band[2]]


def _bounds(target: Target | None) -> dict[str, float]:
    return {} if target is None else dict(bounds(target))


def _listed(of: Sources, windows: Iterable[PastWindow]) -> list[Json]:
    kpi, listed = of.kpi, []
    newest = [w for w in windows if of.span.since_ms < w.end_ms <= of.span.until_ms]
    for window in reversed(newest[-MOST_LISTED:]):
        start_ms = kpi.window.start_of(window.end_ms)
        target = window.target or target_of(kpi, window.dimensions, start_ms)
        value = None if window.value is None else float(window.value)
        state = "none" if target is None else str(assess(target, value)[0])
        maintenance = of.plan.maintenance.get(window.maintenance or "")
        listed.append(
            {
                "end_ms": window.end_ms,
                "value": window.value,
                "text": value_text(window.value, kpi.unit),
                "events": window.events,
                "state": "no_data" if window.maintenance else state,
                "maintenance": maintenance.title if maintenance else window.maintenance,
                "hidden": hidden_text(kpi) if window.hidden else None,
                "corrected": window.corrected and value_text(window.corrected[0], kpi.unit),
            }
        )
    return listed


def _moved(kpi: Kpi, moved: Contribution) -> Json:
    return {
        "before_ms": moved.before_ms,
        "after_ms": moved.after_ms,
        "total": moved.total
        and {
            "before": value_text(moved.total[0], kpi.unit),
            "after": value_text(moved.total[1], kpi.unit),
            "difference": signed(moved.total[1] - moved.total[0], kpi),
        },
        "changes": [
            {
                "series": series_text(change.dimensions),
                "path": series_path(kpi, change.dimensions),
                "before": value_text(change.before, kpi.unit),
                "after": value_text(change.after, kpi.unit),
                "difference": signed(change.difference, kpi),
                "is_worse": (change.difference > 0) == (kpi.better == "lower"),
                "share": None if change.share is None else percent_text(change.share * 100, 0),
            }
            for change in moved.changes
        ],
        "others": {"count": moved.others[0], "difference": signed(moved.others[1], kpi)},
    }


def signed(value: float, kpi: Kpi) -> str:
    """A difference for people: `+3 min 20 s`, `±0`; of shares in points, `−1.2 points`."""
    if value == 0:
        return "±0"
    if kpi.unit in _SHARES:
        points = number_text(abs(value) * _SHARES[kpi.unit])
        return f"{'+' if value > 0 else '−'}{points} points"
    return ("+" if value > 0 else "−") + value_text(abs(value), kpi.unit)
