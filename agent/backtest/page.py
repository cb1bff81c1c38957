"""A backtest as one self-contained page of HTML: charts as inline SVG, with the episodes shaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup

from agent.backtest.report import (
    MOST_SERIES,
    Comparison,
    by_series,
    duration_text,
    frequency_text,
    time_text,
)
from agent.core.evaluate.targets import overrides_of, target_of
from agent.core.model.kpis import Dimensions
from agent.core.model.rules import Rule, ThresholdRule
from agent.core.model.text import conditions_of
from agent.core.output.episodes import AlertHistory, Episode
from agent.core.output.messages import iso
from agent.export import svg_chart
from agent.export.svg_chart import Point, Scale
from agent.export.templates import html_template
from agent.replay.report import number, outcomes_text, series_text

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 960, 180, 70, 22, 6
ANCHORS = ("start", "middle", "middle", "middle", "end")
MIN_BAND_WIDTH = 1.5
"""The width of the shortest episode, px."""
MOST_POINTS = 2_000
"""Points of a line; of more, the minimum and the maximum of each bucket are drawn."""

_BOUND = re.compile(r"\bvalue\s*(?:<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\b(?!\s*[*/+-])")
"""A plain number that a condition compares the value with: it is drawn as a line."""

_Bound = tuple[int, int, float]
"""From and to (ms), and the level."""

_TEMPLATES = Path(__file__).parent / "templates"


def page(comparison: Comparison) -> Iterator[str]:
    """The page, piece by piece."""
    after = comparison.history
    rules = (name for name in comparison.shown_rules() if name in after.plan.rules)
    yield from html_template(_TEMPLATES, "page.html").generate(
        title=f"Backtest, {time_text(after.since_ms)} to {time_text(after.until_ms)} UTC",
        outcomes=outcomes_text(comparison.after.read),
        change=_change(comparison),
        rules=(_rule(comparison, after.plan.rules[name]) for name in rules),
    )


def _rule(comparison: Comparison, rule: Rule) -> dict[str, object]:
    """The variables of the template for one rule."""
    after = comparison.history
    episodes = after.of_rule(rule.name)
    held_back = after.held_back[rule.name]
    more = f"; {held_back} more began and did not last long enough" if held_back else ""
    groups = by_series((*episodes, *comparison.baseline_episodes(rule.name)))
    figures = (_figure(comparison, rule, dimensions) for dimensions, _ in groups[:MOST_SERIES])
    return {
        "name": rule.name,
        "frequency": frequency_text(len(episodes), after) + more,
        "title": after.plan.subject_of(rule).title,
        "condition": ", ".join(f"{severity}: {text}" for severity, text in conditions_of(rule)),
        "figures": [figure for figure in figures if figure is not None],
        "omitted": max(0, len(groups) - MOST_SERIES),
        "episodes": _rows(after, episodes),
    }


def _rows(history: AlertHistory, episodes: Sequence[Episode]) -> list[tuple[str, ...]]:
    """The cells of a table of episodes."""
    rows: list[tuple[str, ...]] = []
    for episode in episodes:
        kpi = history.plan.subject(episode.kpi)
        ended = episode.resolved_ms
        rows.append(
            (
                episode.severity,
                series_text(kpi.by if kpi else (), episode.dimensions) or "–",
                time_text(episode.began_ms),
                time_text(episode.fired_ms),
                "still fires" if ended is None else time_text(ended),
                duration_text(episode, history),
                number(episode.peak),
            )
        )
    return rows


def _change(comparison: Comparison) -> dict[str, object] | None:
    """The difference from the baseline; None without one."""
    before, after, change = comparison.before, comparison.history, comparison.episode_changes()
    if before is None or change is None:
        return None
    counts = [
        (
            name,
            len(before.history.of_rule(name)),
            len(after.of_rule(name)),
            sum(e.rule == name for e in change.gained),
            sum(e.rule == name for e in change.lost),
        )
        for name in comparison.shown_rules()
    ]
    return {
        "baseline": comparison.baseline_name,
        "counts": counts,
        "gained": _rows(after, change.gained),
        "lost": _rows(before.history, change.lost),
    }


# --- charts -------------------------------------------------------------------------------------


def _figure(comparison: Comparison, rule: Rule, dimensions: Dimensions) -> dict[str, object] | None:
    """The chart of one series; None where there is nothing to draw."""
    after = comparison.history
    episodes = [e for e in after.of_rule(rule.name) if e.dimensions == dimensions]
    baseline = [e for e in comparison.baseline_episodes(rule.name) if e.dimensions == dimensions]
    kpi = after.plan.subject_of(rule)
    span = (after.since_ms, after.until_ms)
    series = after.values.get((rule.kpi, dimensions))
    points = _thinned(series.between(*span) if series else [])
    bounds = _bounds(after, rule, dimensions)
    levels = [value for _, value in points] + [level for _, _, level in bounds]
    if not levels:
        return None
    low = min(0.0, *levels) if min(levels) < 0.7 * max(levels) else min(levels)
    high = max(levels) if max(levels) > low else low + 1
    x = Scale(*span, LEFT, WIDTH, clamped=True)
    y = Scale(low, high, HEIGHT - BOTTOM + TOP, TOP)
    name = series_text(kpi.by, dimensions) or rule.kpi
    chart = svg_chart.element(
        "svg",
        *(_shade(x, episode, after.until_ms) for episode in episodes),
        *(_outline(x, episode, after.until_ms, comparison.baseline_name) for episode in baseline),
        *_axes(x, y),
        *(svg_chart.level(y(level), x(first), x(last), "bound") for first, last, level in bounds),
        svg_chart.line(_broken(x, y, points, kpi.window.step_ms), "value"),
        viewBox=f"0 0 {WIDTH} {HEIGHT + TOP}",
        role="img",
        aria_label=f"{name}: {len(episodes)} episodes",
    )
    return {"name": name, "unit": kpi.unit, "chart": chart}


def _shade(x: Scale, episode: Episode, until_ms: int) -> Markup:
    """An episode as bands over its time: pending, then firing."""
    ended = until_ms if episode.resolved_ms is None else episode.resolved_ms
    bands = Markup("")
    for phase, first, last in (
        ("pending", episode.began_ms, episode.fired_ms),
        ("fires", episode.fired_ms, ended),
    ):
        if x(last) > x(first) or phase == "fires":
            title = f"{episode.severity} {phase}: {iso(first)} to {iso(last)}"
            kind = f"{episode.severity} {phase}"
            bands += svg_chart.band(
                x(first), x(last), TOP, HEIGHT - BOTTOM, kind, title, MIN_BAND_WIDTH
            )
    return bands


def _outline(x: Scale, episode: Episode, until_ms: int, baseline: str) -> Markup:
    """An episode of the baseline: a dashed edge around the time that it fires."""
    ended = until_ms if episode.resolved_ms is None else episode.resolved_ms
    first, last = episode.fired_ms, ended
    title = f"{baseline}: {episode.severity} fires: {iso(first)} to {iso(last)}"
    return svg_chart.band(x(first), x(last), TOP, HEIGHT - BOTTOM, "former", title, MIN_BAND_WIDTH)


def _axes(x: Scale, y: Scale) -> Iterator[Markup]:
    for value in (y.low, (y.low + y.high) / 2, y.high):
        yield svg_chart.level(y(value), LEFT, WIDTH, "grid")
        yield svg_chart.text(LEFT - 6, y(value) + 4, number(value), anchor="end")
    days = x.high - x.low > 3 * 86_400_000
    for share, anchor in zip((0, 0.25, 0.5, 0.75, 1), ANCHORS, strict=True):
        at_ms = x.low + int(share * (x.high - x.low))
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        words = at.strftime("%Y-%m-%d" if days else "%m-%d %H:%M")
        yield svg_chart.text(x(at_ms), HEIGHT, words, anchor=anchor)


def _broken(
    x: Scale, y: Scale, points: Sequence[tuple[int, float]], step_ms: int
) -> Iterator[Point]:
    """The points of the line, with a gap where windows have no value."""
    # Calendar windows differ in length by an hour, months by days.
    gap = max(2.5 * step_ms, 2.5 * (points[-1][0] - points[0][0]) / MOST_POINTS) if points else 0
    before = None
    for at, value in points:
        if before is not None and at - before > gap:
            yield x(at), None
        before = at
        yield x(at), y(value)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most MOST_POINTS points: of each bucket the minimum and the maximum."""
    size = -(-len(points) * 2 // MOST_POINTS)
    if size < 3:
        return points
    out: list[tuple[int, float]] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        extremes = (min(bucket, key=lambda p: p[1]), max(bucket, key=lambda p: p[1]))
        out += sorted(set(extremes))
    return out


def _bounds(history: AlertHistory, rule: Rule, dimensions: Dimensions) -> list[_Bound]:
    """What the rule compares the value with: the numbers in its conditions, and the target's
    bounds, each while it is in force."""
    if not isinstance(rule, ThresholdRule):
        return []
    span = (history.since_ms, history.until_ms)
    texts = [text for level in rule.levels for text in (level.when_sql, level.clear_sql) if text]
    named = [float(bound) for text in texts for bound in _BOUND.findall(text)]
    bounds: list[_Bound] = [(*span, level) for level in sorted(set(named))]
    if any(re.search(r"\btarget\b", text) for text in texts):
        kpi = history.plan.subject_of(rule)
        begins = {o.from_ms for o in overrides_of(kpi, dimensions) if o.from_ms is not None}
        steps = sorted({span[0], *(at for at in begins if span[0] < at < span[1])})
        for first, last in pairwise([*steps, span[1]]):
            target = target_of(kpi, dimensions, first)
            for level in (target.at_least, target.at_most) if target else ():
                bounds += [(first, last, level)] if level is not None else []
    return bounds
