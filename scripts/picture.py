"""A series over time as SVG, for light and dark: lines, bounds, targets, and what alerts did.

Pure: a `Picture` in, text out. Times are ms since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from markupsafe import Markup

from agent.core.model.results import AlertPhase, TargetState
from agent.export import svg_chart
from agent.export.svg_chart import Scale, band, element, level, text

WIDTH, LEFT, RIGHT, TOP = 720, 64, 12, 34
UPPER, LOWER, BETWEEN = 150, 80, 30
STRIP, LETTER = 22, 7
"""Heights of a strip with its gap, and the width of a letter: px."""
MOST_WINDOWS = 48
"""Only the last ones are drawn."""
MOST_STEPS = 5
"""A target of more steps is published by no numbers."""

Line = list[tuple[int, float | None]]
"""(end of a window in ms, its value)"""

_STYLE = """
svg { --ground: #fff; --ink: #1c1f24; --soft: #5b616b; --line: #0072b2; --bound: #a84600;
  --fire: #d55e0033; --rest: #8a8f9833; --met: #009e73; --at_risk: #e69f00; --missed: #d55e00;
  font: 12px system-ui, sans-serif }
@media (prefers-color-scheme: dark) { svg { --ground: #121418; --ink: #eceef1; --soft: #a0a7b3;
  --line: #56b4e9; --bound: #ff9a66; --fire: #f0783a44; --rest: #8d94a033; --met: #1fb88a;
  --at_risk: #e9ab1f; --missed: #f0783a } }
.ground { fill: var(--ground) } text { fill: var(--soft) } .name { fill: var(--ink) }
.over { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; stroke-linejoin: round }
.fires { fill: var(--bound); font-weight: 600 } .fire { fill: var(--fire) }
path { fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round }
circle { fill: var(--line) } .other { stroke: var(--soft); stroke-width: 1; opacity: .6 }
.bound, .step { stroke: var(--bound); stroke-width: 1.5; stroke-dasharray: 6 4 }
.warn { stroke: var(--at_risk); stroke-width: 1.5; stroke-dasharray: 1 4; stroke-linecap: round }
.at { stroke: var(--bound); stroke-width: 1.5 } .begins { stroke: var(--bound); stroke-width: 1;
  opacity: .5 }
.rest { fill: var(--rest) } .track { stroke: var(--rest); stroke-width: 1 }
.pending { fill: var(--fire) } .firing { fill: var(--missed); opacity: .8 }
.inhibited { fill: var(--rest); stroke: var(--soft); stroke-dasharray: 3 3 }
.met { fill: var(--met); stroke: none } .missed { fill: var(--missed); stroke: none }
.at_risk { fill: var(--at_risk); stroke: none } .no_data { fill: none; stroke: var(--soft) }
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, and what it is: a phase of an alert, or a maintenance's name."""

    from_ms: int
    to_ms: int
    what: str


@dataclass
class Panel:
    """Lines over time with bounds; `answers` of a rule's call, or the values themselves.

    `targets` are bounds that change with the windows, by their name; `states` where each window
    stands against its target, by its end.
    """

    name: str
    line: Line = field(default_factory=list)
    others: list[Line] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    targets: dict[str, Line] = field(default_factory=dict)
    states: dict[int, TargetState] = field(default_factory=dict)
    maintenance: list[Span] = field(default_factory=list)
    percent: bool = False


@dataclass
class Strip:
    """One alert's phases over time."""

    name: str
    spans: list[Span]


@dataclass
class Picture:
    """What is drawn, from top to bottom. `fired`: one alert's time of firing, over all panels."""

    title: str
    zone: str
    panels: list[Panel]
    strips: list[Strip] = field(default_factory=list)
    fired: Span | None = None


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where a time is, and how it is written."""

    from_ms: int
    to_ms: int
    zone: ZoneInfo

    def x(self, at_ms: int) -> float:
        at = min(max(at_ms, self.from_ms), self.to_ms)
        return LEFT + (at - self.from_ms) / (self.to_ms - self.from_ms) * (WIDTH - LEFT - RIGHT)

    def clock(self, at_ms: int) -> str:
        at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone)
        return f"{at:%Y-%m-%d}" if at.hour == at.minute == 0 else f"{at:%H:%M}"


def svg(picture: Picture) -> str:
    """The picture as a document of its own."""
    ends = sorted({end for panel in picture.panels for end, _ in panel.line})
    shown = ends[-MOST_WINDOWS:]
    first = 2 * shown[0] - shown[1]
    last = max([ends[-1], *([picture.fired.from_ms] if picture.fired else [])])
    axis = _Axis(first, last, ZoneInfo(picture.zone))
    heights = [UPPER, *[LOWER] * (len(picture.panels) - 1)]
    charted = TOP + sum(heights) + BETWEEN * (len(heights) - 1)
    height = charted + STRIP * len(picture.strips) + BETWEEN
    out = [
        element("title", _title(picture, axis)),
        element("style", Markup(_STYLE)),  # noqa: S704  our own, without values
        element("rect", class_="ground", width=WIDTH, height=height),
    ]
    if picture.fired:
        out += _fired(picture.fired, axis, charted)
    out += _begins(picture.strips, axis, charted)
    top = TOP
    for panel, tall in zip(picture.panels, heights, strict=True):
        out += _panel(panel, axis, top, tall)
        top += tall + BETWEEN
    for place, strip in enumerate(picture.strips):
        out += _strip(strip, axis, charted + 8 + STRIP * place)
    for end, anchor in ((first, "start"), (last, "end")):
        out.append(text(axis.x(end), height - 8, axis.clock(end), anchor=anchor))
    drawn = element(
        "svg", *out, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img"
    )
    return f"{drawn}\n".replace("><", ">\n<")


def _title(picture: Picture, axis: _Axis) -> str:
    return (
        f"{picture.title}: fires {axis.clock(picture.fired.from_ms)}"
        if picture.fired
        else picture.title
    )


def _fired(fired: Span, axis: _Axis, bottom: float) -> Iterator[Markup]:
    begins, ends = axis.x(fired.from_ms), axis.x(fired.to_ms)
    yield band(begins, ends, TOP, bottom - TOP, "fire", min_width=1)
    yield element("path", class_="at", d=f"M{begins:.1f} {TOP - 6}V{bottom}")
    anchor = "end" if begins > WIDTH / 2 else "start"
    yield text(begins, TOP - 12, f"fires {axis.clock(fired.from_ms)}", "fires", anchor)


def _begins(strips: Sequence[Strip], axis: _Axis, bottom: float) -> Iterator[Markup]:
    """A thin line through all panels, from where an alert's calling begins, or is inhibited."""
    telling = {AlertPhase.FIRING, AlertPhase.INHIBITED}
    for place, strip in enumerate(strips):
        for span in strip.spans:
            if span.what in telling:
                at = axis.x(span.from_ms)
                yield element(
                    "path", class_="begins", d=f"M{at:.1f} {TOP}V{bottom + 8 + STRIP * place}"
                )


def _panel(panel: Panel, axis: _Axis, top: float, tall: float) -> Iterator[Markup]:
    shown = [
        [(at, v) for at, v in line if at >= axis.from_ms] for line in (panel.line, *panel.others)
    ]
    steps = [
        (kind, [p for p in line if p[0] >= axis.from_ms]) for kind, line in panel.targets.items()
    ]
    every = [*shown, *(line for _, line in steps)]
    values = [v for line in every for _, v in line if v is not None] + panel.bounds
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or 1.0
    low, high = low - room, high + room
    y = Scale(low, high, top + tall, top)

    for span in panel.maintenance:
        begins, ends = axis.x(span.from_ms), axis.x(span.to_ms)
        yield band(begins, ends, top, tall, "rest")
        yield text((begins + ends) / 2, top + tall - 6, span.what, anchor="middle")
    yield text(LEFT, top - 4, panel.name, "name")
    for bound in panel.bounds:
        yield level(y(bound), LEFT, WIDTH - RIGHT, "bound")
        yield text(LEFT - 6, y(bound) + 4, _number(bound, panel.percent), "fires", "end")
    for value in (low + room, high - room):
        if all(abs(y(value) - y(bound)) > 14 for bound in panel.bounds):
            yield text(LEFT - 6, y(value) + 4, _number(value, panel.percent), anchor="end")
    numbers = []
    for kind, line in steps:
        points = [(axis.x(at), v, None if v is None else y(v)) for at, v in line]
        drawn, said = _steps(points)
        yield element("path", class_="step" if kind == "target" else "warn", d=drawn)
        numbers += said if kind == "target" and len(said) <= MOST_STEPS else []
    for place, line in reversed(list(enumerate(shown))):
        placed = [(axis.x(at), None if v is None else y(v)) for at, v in line]
        yield svg_chart.line(placed, "other" if place else "own")
    for at, known in shown[0]:
        if known is not None:
            yield _mark(axis.x(at), y(known), panel.states.get(at))
    yield from numbers
    if panel.states and top == TOP:
        yield from _legend(top - 4)


def _steps(points: Sequence[tuple[float, float | None, float | None]]) -> tuple[str, list[Markup]]:
    """A target's bound, level from the end of the window before to the end of its own, and a
    number where it changes."""
    drawn, numbers, said = [], [], None
    for (before, _, _), (x, value, y) in pairwise([(LEFT, None, None), *points]):
        if y is None or value is None:
            continue
        drawn.append(f"M{before:.1f} {y:.1f}H{x:.1f}")
        if value != said:
            numbers.append(text(before + 2, y + 15, _number(value), "fires over"))
            said = value
    return "".join(drawn), numbers


def _mark(x: float, y: float, state: TargetState | None) -> Markup:
    """A window's value, in the shape of its state: those of the board."""
    if state is TargetState.MISSED:
        return element("rect", class_="missed", x=x - 4, y=y - 4, width=8, height=8)
    if state is TargetState.AT_RISK:
        return element("path", class_="at_risk", d=f"M{x:.1f} {y - 5:.1f}l5 9h-10z")
    if state is None:
        return element("circle", cx=x, cy=y, r=2.5)
    return element("circle", class_=state, cx=x, cy=y, r=4)


def _legend(y: float) -> Iterator[Markup]:
    at = WIDTH - RIGHT
    for state in (TargetState.MISSED, TargetState.AT_RISK, TargetState.MET):
        words = state.replace("_", " ")
        at -= round(len(words) * LETTER) + 4
        yield text(at, y, words)
        yield _mark(at - 9, y - 4, state)
        at -= 22


def _strip(strip: Strip, axis: _Axis, top: float) -> Iterator[Markup]:
    tall = STRIP - 6
    yield level(top + tall / 2, LEFT, WIDTH - RIGHT, "track")
    for span in strip.spans:
        begins, ends = axis.x(span.from_ms), axis.x(span.to_ms)
        yield band(begins, ends, top, tall, span.what, min_width=2)
    yield text(LEFT, top + tall - 4, strip.name, "name over")
    for span, after in zip(strip.spans, [*strip.spans[1:], None], strict=True):
        begins, ends = axis.x(span.from_ms), axis.x(span.to_ms)
        words = f"{span.what} {axis.clock(span.from_ms)}"
        room = (axis.x(after.from_ms) if after else WIDTH) - ends
        if len(words) * LETTER < ends - begins:
            yield text(begins + 5, top + tall - 4, words, "name")
        elif len(words) * LETTER < room:
            yield text(ends + 5, top + tall - 4, words, "name over")
        elif ends - begins > 5 * LETTER:
            yield text(begins + 5, top + tall - 4, axis.clock(span.from_ms), "name")


def _number(value: float, percent: bool = False) -> str:
    if percent:
        return f"{value * 100:.2g} %"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"
