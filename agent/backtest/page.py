"""A backtest as one page of HTML that needs nothing else: charts as inline SVG, episodes shaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise

from agent.backtest.report import MOST_SERIES, Tested, by_series, clock, lasted, often
from agent.core.evaluate.targets import overrides_of, target_of
from agent.core.model.plan import Dimensions, Rule, ThresholdRule
from agent.core.model.text import conditions_of
from agent.core.output.episodes import Episode, Found, Versus
from agent.core.output.messages import iso
from agent.replay.report import number, outcomes_text, series_text

WIDTH, HEIGHT, LEFT, BOTTOM = 960, 180, 70, 22
MOST_POINTS = 2_000
"""Points of a line; of more, the least and the greatest of each stretch are drawn."""

_BOUND = re.compile(r"\bvalue\s*(?:<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\b(?!\s*[*/+-])")
"""A plain number that a condition holds the value against: it is drawn as a line."""

_Bound = tuple[int, int, float]
"""From and to (ms), and the level."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #66727f; --paper: #fff; --edge: #d5dbe1;
  --line: #1f6feb; --bound: #8a5a00; --warning: #e3a008; --critical: #d1242f; --info: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #97a3af; --paper: #11161c;
  --edge: #30363d; --line: #58a6ff; --bound: #d4a72c; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem } p { margin: .3rem 0 }
.soft, figcaption { color: var(--soft) } figure { margin: 1rem 0 } svg { width: 100%; height: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--edge) }
th:last-child, td:last-child { text-align: right }
.grid { stroke: var(--edge) } .value { stroke: var(--line); fill: none; stroke-width: 1.5 }
.dot { fill: var(--line) } .bound { stroke: var(--bound); stroke-dasharray: 5 4 }
.warning { fill: var(--warning) } .critical, .page { fill: var(--critical) }
.info { fill: var(--info) }
.former { fill: none; stroke: var(--soft); stroke-dasharray: 3 3 }
.pending { opacity: .18 } .fires { opacity: .38 }
text { fill: var(--soft); font: 11px system-ui, sans-serif }
"""


def page(tested: Tested) -> Iterator[str]:
    """The page, piece by piece."""
    found = tested.found
    title = f"Backtest, {clock(found.since_ms)} to {clock(found.until_ms)} UTC"
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="soft">{escape(outcomes_text(tested.after.read))}</p>\n'
    )
    change = tested.versus()
    if change is not None:
        yield from _change(tested, change)
    for name in tested.shown_rules():
        if name in found.plan.rules:
            yield from _rule(tested, found.plan.rules[name])
    yield "</body></html>\n"


def _rule(tested: Tested, rule: Rule) -> Iterator[str]:
    found = tested.found
    episodes = found.of_rule(rule.name)
    kpi = found.plan.subject_of(rule)
    held = found.held_back[rule.name]
    more = f"; {held} more began and did not last for long enough" if held else ""
    yield f"<section><h2>{escape(rule.name)}</h2>\n"
    yield f"<p>{escape(often(len(episodes), found) + more)}.</p>\n"
    yield f'<p class="soft">{escape(kpi.title)} · {escape(_condition(rule))}</p>\n'
    groups = by_series((*episodes, *tested.former_episodes(rule.name)))
    for dimensions, _ in groups[:MOST_SERIES]:
        yield from _figure(tested, rule, dimensions)
    if len(groups) > MOST_SERIES:
        yield f"<p>Charts of {len(groups) - MOST_SERIES} more series are left out.</p>\n"
    yield from _table(found, episodes)
    yield "</section>\n"


def _condition(rule: Rule) -> str:
    return ", ".join(f"{severity}: {text}" for severity, text in conditions_of(rule))


def _table(found: Found, episodes: Sequence[Episode]) -> Iterator[str]:
    if not episodes:
        return
    heads = ("severity", "series", "began", "fired", "resolved", "lasted", "peak")
    yield f"<table><thead><tr>{''.join(f'<th>{h}</th>' for h in heads)}</tr></thead><tbody>\n"
    for episode in episodes:
        kpi = found.plan.subject(episode.kpi)
        ended = episode.resolved_ms
        cells = (
            episode.severity,
            series_text(kpi.by if kpi else (), episode.dimensions) or "–",
            clock(episode.began_ms),
            clock(episode.fired_ms),
            "still fires" if ended is None else clock(ended),
            lasted(episode, found),
            number(episode.peak),
        )
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>\n"
    yield "</tbody></table>\n"


def _change(tested: Tested, change: Versus) -> Iterator[str]:
    before, found = tested.before, tested.found
    if before is None:
        return
    yield f"<section><h2>Against {escape(tested.former)}</h2>\n"
    yield f"<p>{len(change.gained)} gained, {len(change.lost)} lost.</p>\n<table><thead><tr>"
    heads = ("rule", "before", "now", "gained", "lost")
    yield f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>\n"
    for name in tested.shown_rules():
        counts = (
            len(before.found.of_rule(name)),
            len(found.of_rule(name)),
            sum(e.rule == name for e in change.gained),
            sum(e.rule == name for e in change.lost),
        )
        cells = "".join(f"<td>{count}</td>" for count in counts)
        yield f"<tr><td>{escape(name)}</td>{cells}</tr>\n"
    yield "</tbody></table>\n"
    for title, episodes, of in (
        ("Gained", change.gained, found),
        ("Lost", change.lost, before.found),
    ):
        if episodes:
            yield f"<h3>{title}</h3>\n"
            yield from _table(of, episodes)
    yield "</section>\n"


# --- charts -------------------------------------------------------------------------------------


class _Frame:
    """Where instants and values stand in a chart."""

    def __init__(self, span: tuple[int, int], low: float, high: float) -> None:
        self.span, self.low, self.high = span, low, high if high > low else low + 1

    def x(self, at_ms: float) -> float:
        start, end = self.span
        share = (min(max(at_ms, start), end) - start) / max(end - start, 1)
        return round(LEFT + share * (WIDTH - LEFT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round((HEIGHT - BOTTOM) * (1 - share) + 6, 1)


def _figure(tested: Tested, rule: Rule, dimensions: Dimensions) -> Iterator[str]:
    found = tested.found
    episodes = [e for e in found.of_rule(rule.name) if e.dimensions == dimensions]
    former = [e for e in tested.former_episodes(rule.name) if e.dimensions == dimensions]
    kpi = found.plan.subject_of(rule)
    span = (found.since_ms, found.until_ms)
    series = found.values.get((rule.kpi, dimensions))
    points = _thinned(series.between(*span) if series else [])
    bounds = _bounds(found, rule, dimensions)
    levels = [value for _, value in points] + [level for _, _, level in bounds]
    if not levels:
        return
    low = min(0.0, *levels) if min(levels) < 0.7 * max(levels) else min(levels)
    frame = _Frame(span, low, max(levels))
    name = series_text(kpi.by, dimensions) or rule.kpi
    yield f"<figure><figcaption>{escape(name)}{f', in {escape(kpi.unit)}' if kpi.unit else ''}"
    yield f'</figcaption>\n<svg viewBox="0 0 {WIDTH} {HEIGHT + 6}" role="img" '
    yield f'aria-label="{escape(name, quote=True)}: {len(episodes)} episodes">\n'
    for episode in episodes:
        yield _shade(frame, episode, found.until_ms)
    for episode in former:
        yield _outline(frame, episode, found.until_ms, tested.former)
    yield from _axes(frame)
    for first, last, level in bounds:
        left, right, at = frame.x(first), frame.x(last), frame.y(level)
        yield f'<line class="bound" x1="{left}" x2="{right}" y1="{at}" y2="{at}"/>\n'
    yield from _line(frame, points, kpi.window.step_ms)
    yield "</svg></figure>\n"


def _shade(frame: _Frame, episode: Episode, until_ms: int) -> str:
    ended = until_ms if episode.resolved_ms is None else episode.resolved_ms
    out = ""
    for phase, first, last in (
        ("pending", episode.began_ms, episode.fired_ms),
        ("fires", episode.fired_ms, ended),
    ):
        left, right = frame.x(first), frame.x(last)
        if right > left or phase == "fires":
            out += (
                f'<rect class="{episode.severity} {phase}" x="{left}" y="6" '
                f'width="{max(round(right - left, 1), 1.5)}" height="{HEIGHT - BOTTOM}">'
                f"<title>{episode.severity} {phase}: {iso(first)} to {iso(last)}</title></rect>\n"
            )
    return out


def _outline(frame: _Frame, episode: Episode, until_ms: int, former: str) -> str:
    """An episode by the other rules: a dashed edge around the time that it fires."""
    ended = until_ms if episode.resolved_ms is None else episode.resolved_ms
    left, right = frame.x(episode.fired_ms), frame.x(ended)
    return (
        f'<rect class="former" x="{left}" y="6" width="{max(round(right - left, 1), 1.5)}" '
        f'height="{HEIGHT - BOTTOM}"><title>{escape(former)}: {episode.severity} fires: '
        f"{iso(episode.fired_ms)} to {iso(ended)}</title></rect>\n"
    )


def _axes(frame: _Frame) -> Iterator[str]:
    for value in (frame.low, (frame.low + frame.high) / 2, frame.high):
        at = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{at}" y2="{at}"/>\n'
        yield f'<text x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{number(value)}</text>\n'
    start, end = frame.span
    days = end - start > 3 * 86_400_000
    for share, anchor in (
        (0, "start"),
        (0.25, "middle"),
        (0.5, "middle"),
        (0.75, "middle"),
        (1, "end"),
    ):
        at_ms = start + int(share * (end - start))
        told = datetime.fromtimestamp(at_ms / 1000, UTC).strftime(
            "%Y-%m-%d" if days else "%m-%d %H:%M"
        )
        yield f'<text x="{frame.x(at_ms)}" y="{HEIGHT}" text-anchor="{anchor}">{told}</text>\n'


def _line(frame: _Frame, points: Sequence[tuple[int, float]], step_ms: int) -> Iterator[str]:
    """The values, broken where windows have none; a lone value is a dot."""
    runs: list[list[tuple[int, float]]] = []
    # Calendar windows differ in length by an hour, months by days.
    gap = max(2.5 * step_ms, 2.5 * (points[-1][0] - points[0][0]) / MOST_POINTS) if points else 0
    for at, value in points:
        if not runs or at - runs[-1][-1][0] > gap:
            runs.append([])
        runs[-1].append((at, value))
    for run in runs:
        if len(run) == 1:
            at, value = run[0]
            yield f'<circle class="dot" cx="{frame.x(at)}" cy="{frame.y(value)}" r="1.5"/>\n'
        else:
            path = " ".join(f"{frame.x(at)},{frame.y(value)}" for at, value in run)
            yield f'<polyline class="value" points="{path}"/>\n'


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    size = -(-len(points) * 2 // MOST_POINTS)
    if size < 3:
        return points
    out: list[tuple[int, float]] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        ends = (min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1]))
        out += sorted(set(ends))
    return out


def _bounds(found: Found, rule: Rule, dimensions: Dimensions) -> list[_Bound]:
    """What the rule holds the value against: the numbers that it names, and the target's bounds for
    as long as each holds."""
    if not isinstance(rule, ThresholdRule):
        return []
    span = (found.since_ms, found.until_ms)
    texts = [text for level in rule.levels for text in (level.when_sql, level.clear_sql) if text]
    named = [float(bound) for text in texts for bound in _BOUND.findall(text)]
    bounds: list[_Bound] = [(*span, level) for level in sorted(set(named))]
    if any(re.search(r"\btarget\b", text) for text in texts):
        kpi = found.plan.subject_of(rule)
        begins = {o.from_ms for o in overrides_of(kpi, dimensions) if o.from_ms is not None}
        steps = sorted({span[0], *(at for at in begins if span[0] < at < span[1])})
        for first, last in pairwise([*steps, span[1]]):
            target = target_of(kpi, dimensions, first)
            for level in (target.at_least, target.at_most) if target else ():
                bounds += [(first, last, level)] if level is not None else []
    return bounds
