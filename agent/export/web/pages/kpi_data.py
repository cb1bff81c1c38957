"""The data of the page of a KPI or of one of its series: `GET /api/v1/kpis/<name>/history`.

name, title, description, owner, team, unit, better, window, target, sql, where
objectives     those that the KPI serves, as `board_objectives.objectives_of_kpi` gives them
series         the series of the page for people, or ""
timezone       of all times in texts
since_ms, until_ms, range, ranges
is_complete    whether all windows of the range are known
total          how many series there are
rows           the series, as on the board, the worst first
lines          [{key, name, kind: value, total or previous, points: [[end_ms, value, text]]}]:
               a point without a value breaks the line
low, high      the range of the axis of values;   ticks   [[value, text]] on it
bands          [[from_ms, until_ms, {at_least, at_most, warn_at_least, warn_at_most}]]
rules          [{rule, severity, value, text}]: numbers that values are compared with
alerts, maintenance, changes   the marks (`marks`)
windows        [{end_ms, text, value, events, state, maintenance, hidden}] of a single series, the
               newest first
moved          which series changed it (`contribution`), or null
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from agent.core.evaluate.objectives import Score
from agent.core.evaluate.targets import assess, common_target, target_of
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import PastWindow, PastWindows, SeriesView
from agent.core.model.text import number_text, percent_text, value_text
from agent.core.output.addresses import series_path
from agent.core.output.messages import PublishedTransition, hidden_text
from agent.export.agent_state import RuleChange
from agent.export.metrics.closed_samples import bounds
from agent.export.web.board_cards import card, urgency
from agent.export.web.board_objectives import objectives_of_kpi
from agent.export.web.pages import axes
from agent.export.web.pages.contribution import Contribution, contribution, is_additive
from agent.export.web.pages.marks import (
    alert_marks,
    change_marks,
    maintenance_marks,
    rule_lines,
)
from agent.export.web.shown import Json, series_key, series_text

Point = tuple[int, float | None, str]

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
RANGES = {
    "5m": 5 * _MINUTE_MS, "15m": 15 * _MINUTE_MS, "30m": 30 * _MINUTE_MS,
    "1h": _HOUR_MS, "3h": 3 * _HOUR_MS, "12h": 12 * _HOUR_MS,
    "1d": _DAY_MS, "7d": 7 * _DAY_MS, "30d": 30 * _DAY_MS, "90d": 90 * _DAY_MS, "1y": 365 * _DAY_MS,
}  # fmt: skip
_SHARES = {"ratio": 100.0, "percent": 1.0, "percentage": 1.0}
LEAST_WINDOWS, USUAL_WINDOWS, MOST_WINDOWS = 8, 30, 2_200
"""The least, usual and largest number of windows in a range."""
MOST_LINES = 6
MOST_TIMES = 10
"""A total higher than this many times the series is not drawn: they would be flat beside it."""
MOST_SERIES = 200
MOST_LISTED = 60
"""Windows in the table of a page; the CSV has all."""


@dataclass(frozen=True, slots=True)
class Span:
    """The period of event time that a page shows: `(since, until]`, ms."""

    name: str
    until_ms: int

    @property
    def length_ms(self) -> int:
        """Its length in ms."""
        return RANGES[self.name]

    @property
    def since_ms(self) -> int:
        """Its beginning."""
        return self.until_ms - self.length_ms

    @property
    def needed_since_ms(self) -> int:
        """The beginning of the previous period, which is drawn, too."""
        return self.since_ms - self.length_ms


def ranges_of(kpi: Kpi) -> list[str]:
    """The ranges offered for a KPI, by its window, the shortest first; at least one."""
    step = kpi.window.step_ms
    suiting = [n for n, ms in RANGES.items() if LEAST_WINDOWS <= ms // step <= MOST_WINDOWS]
    return suiting or [min(RANGES, key=lambda n: abs(RANGES[n] - USUAL_WINDOWS * step))]


def default_range(kpi: Kpi) -> str:
    """The default range of a KPI's page."""
    names = ranges_of(kpi)
    enough = [n for n in names if RANGES[n] >= USUAL_WINDOWS * kpi.window.step_ms]
    return enough[0] if enough else names[-1]


@dataclass(frozen=True, slots=True)
class Sources:
    """The state that a page is made of, read on the event loop. `views`: all series of the KPI."""

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


def page_data(sources: Sources) -> Json:
    """The data of a page, as described above."""
    kpi, span, windows = sources.kpi, sources.span, sources.past.windows
    about = card(sources.plan, kpi, sources.views, sources.data_until_ms, MOST_SERIES)
    lines = _lines(sources)
    bands = _bands(sources)
    rules = rule_lines(sources.plan, kpi, sources.dimensions)
    values = [value for line in lines for _, value, _ in line["points"] if value is not None]
    limits = [bound for _, _, band in bands for bound in band.values()]
    low, high = axes.extent(values, [*limits, *(rule["value"] for rule in rules)])
    until_ms = span.until_ms
    # The newest range also has the rule changes since its last window.
    is_newest = until_ms >= (about["end_ms"] or until_ms)
    changed_until_ms = math.inf if is_newest else until_ms
    own = [w for w in windows if sources.dimensions in (None, w.dimensions)]
    moved = (
        contribution(sources.plan, kpi, windows, span.length_ms)
        if sources.dimensions is None
        else None
    )
    return {
        **{name: about[name] for name in _OF_CARD},
        "objectives": objectives_of_kpi(sources.plan, sources.scores, kpi.name),
        "sql": kpi.sql,
        "where": kpi.where_sql,
        "series": series_text(sources.dimensions),
        "timezone": sources.timezone,
        "since_ms": span.since_ms,
        "until_ms": until_ms,
        "range": span.name,
        "ranges": ranges_of(kpi),
        "is_complete": sources.past.is_complete,
        "rows": _rows(sources, about),
        "lines": lines,
        "low": low,
        "high": high,
        "ticks": [list(tick) for tick in axes.value_ticks(low, high, kpi.unit)],
        "bands": [list(band) for band in bands],
        "rules": rules,
        "alerts": alert_marks(
            kpi, sources.dimensions, sources.transitions, span.since_ms, until_ms
        ),
        "maintenance": maintenance_marks(
            sources.plan, kpi, sources.dimensions, span.since_ms, until_ms
        ),
        "changes": change_marks(sources.changes, kpi, span.since_ms, changed_until_ms),
        "windows": _window_rows(sources, own) if _is_single(sources) else [],
        "moved": None if moved is None or len(moved.changes) < 2 else _moved(kpi, moved),
    }


_OF_CARD = (
    "name", "title", "description", "owner", "team", "unit", "better", "by",
    "window", "target", "state", "counts", "total", "stale", "end_ms",
)  # fmt: skip


def _is_single(sources: Sources) -> bool:
    return sources.dimensions is not None or not sources.kpi.by or len(sources.views) == 1


def _rows(sources: Sources, about: Json) -> list[Json]:
    """The series of the page, as the board shows them."""
    rows: list[Json] = about["rows"]
    if sources.dimensions is None:
        return rows
    own = [view for view in sources.views if view.dimensions == sources.dimensions]
    own_rows: list[Json] = card(sources.plan, sources.kpi, own, None, 1)["rows"]
    return own_rows


# --- lines ---------------------------------------------------------------------------------------


def _lines(sources: Sources) -> list[Json]:
    """The lines of the chart, the most important one first."""
    kpi, span = sources.kpi, sources.span
    by_series: dict[Dimensions, list[PastWindow]] = {}
    for window in sources.past.windows:
        by_series.setdefault(window.dimensions, []).append(window)
    if _is_single(sources):
        dimensions = (
            sources.dimensions if sources.dimensions is not None else next(iter(by_series), ())
        )
        own = [(w.end_ms, w.value) for w in by_series.get(dimensions, ())]
        return _with_previous(sources, "value", series_text(dimensions) or kpi.title, own)
    lines: list[Json] = []
    worst = nsmallest(MOST_LINES, sources.views, key=lambda view: urgency(kpi, view))
    for view in worst:
        windows = by_series.get(view.series, ())
        points = [(w.end_ms, w.value) for w in windows if w.end_ms > span.since_ms]
        name = series_text(view.dimensions)
        lines.append(_line(sources, "value", series_key(kpi.by, view.dimensions), name, points))
    if is_additive(sources.plan, kpi.name):
        total = _with_previous(sources, "total", "All series", _totals(sources.past.windows))
        if not lines or _height(total) <= MOST_TIMES * _height(lines):
            return total + lines
    return lines


def _height(lines: Iterable[Json]) -> float:
    values = (value for line in lines for _, value, _ in line["points"] if value is not None)
    return max(map(abs, values), default=0.0)


def _totals(windows: Iterable[PastWindow]) -> list[tuple[int, float | None]]:
    totals: dict[int, float] = {}
    for window in windows:
        if window.value is not None:
            totals[window.end_ms] = totals.get(window.end_ms, 0.0) + window.value
    return [(end_ms, total) for end_ms, total in sorted(totals.items())]


def _with_previous(
    sources: Sources, kind: str, name: str, points: Sequence[tuple[int, float | None]]
) -> list[Json]:
    """A line, and a line of the previous period, shifted to this one."""
    span = sources.span
    own = [p for p in points if span.since_ms < p[0] <= span.until_ms]
    before = [(at + span.length_ms, v) for at, v in points if at <= span.since_ms]
    lines = [_line(sources, kind, kind, name, own)]
    if before:
        lines.append(_line(sources, "previous", "previous", f"{span.name} earlier", before))
    return lines


def _line(
    sources: Sources, kind: str, key: str, name: str, points: Iterable[tuple[int, float | None]]
) -> Json:
    """A line, broken where windows are missing."""
    step_ms = sources.kpi.window.span_ms + sources.kpi.window.step_ms
    line: list[Point] = []
    for at_ms, value in points:
        if line and at_ms - line[-1][0] > step_ms:
            line.append((line[-1][0] + 1, None, ""))
        rounded = None if value is None else float(f"{value:.7g}")
        line.append((at_ms, rounded, value_text(value, sources.kpi.unit)))
    return {"key": key, "name": name, "kind": kind, "points": line}


# --- bounds and tables ---------------------------------------------------------------------------


def _bands(sources: Sources) -> list[tuple[int, int, dict[str, float]]]:
    """The bounds over the range, joined where they do not change: those that windows were evaluated
    by where these are known, else those of the present rules."""
    kpi, span = sources.kpi, sources.span
    is_one = _is_single(sources)
    ends = {w.end_ms: w for w in sources.past.windows if w.end_ms > span.since_ms}
    bands: list[tuple[int, int, dict[str, float]]] = []
    for end_ms, window in sorted(ends.items()):
        start_ms = kpi.window.start_of(end_ms)
        if is_one:
            target = window.target or target_of(kpi, window.dimensions, start_ms)
        else:
            target = common_target(kpi, start_ms)
        band = bounds(target)
        if bands and bands[-1][2] == band:
            bands[-1] = (bands[-1][0], end_ms, band)
        else:
            begin = bands[-1][1] if bands else max(span.since_ms, end_ms - kpi.window.step_ms)
            bands.append((begin, end_ms, band))
    return [band for band in bands if band[2]]


def _window_rows(sources: Sources, windows: Iterable[PastWindow]) -> list[Json]:
    """The newest windows, as rows of a table."""
    kpi, rows = sources.kpi, []
    newest = [w for w in windows if sources.span.since_ms < w.end_ms <= sources.span.until_ms]
    for window in reversed(newest[-MOST_LISTED:]):
        start_ms = kpi.window.start_of(window.end_ms)
        target = window.target or target_of(kpi, window.dimensions, start_ms)
        value = None if window.value is None else float(window.value)
        state = "none" if target is None else str(assess(target, value)[0])
        maintenance = sources.plan.maintenance.get(window.maintenance or "")
        rows.append(
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
    return rows


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
    """A difference for people: `+3 min 20 s`, `±0`; of ratios in points, `−1.2 points`."""
    if value == 0:
        return "±0"
    if kpi.unit in _SHARES:
        points = number_text(abs(value) * _SHARES[kpi.unit])
        return f"{'+' if value > 0 else '−'}{points} points"
    return ("+" if value > 0 else "−") + value_text(abs(value), kpi.unit)
