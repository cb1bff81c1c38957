"""The chart of a page as SVG, for pages without JavaScript and for printing."""

from __future__ import annotations

from markupsafe import Markup

from agent.export import svg_chart
from agent.export.svg_chart import Scale, element
from agent.export.web.pages import axes
from agent.export.web.shown import Json, clock_text

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 76, 12, 10, 26
CHARACTER_WIDTH = 7  # at most, of digits and words at 12 px
MIN_BAND_WIDTH = 2.0


def chart(data: Json) -> Markup:
    """The chart of a page's data (`kpi_data`)."""
    longest = max((len(text) for _, text in data["ticks"]), default=0)
    left = max(LEFT, round(16 + longest * CHARACTER_WIDTH))
    x = Scale(data["since_ms"], data["until_ms"], left, WIDTH - RIGHT, clamped=True)
    y = Scale(data["low"], data["high"], HEIGHT - BOTTOM, TOP, clamped=True)
    parts = [
        element("title", _title(data)),
        *_grid(data, x, y),
        *_periods(data, x),
        *_bounds(data, x, y),
        *_lines(data, x, y),
    ]
    return element(
        "svg", *parts, class_="chart", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img",
        aria_label=_title(data),
    )  # fmt: skip


def _title(data: Json) -> str:
    since, until = (
        clock_text(data[name], data["until_ms"], data["timezone"])
        for name in ("since_ms", "until_ms")
    )
    what = " · ".join(filter(None, (data["title"], data["series"])))
    return f"{what} from {since} to {until} ({data['timezone']})"


def _grid(data: Json, x: Scale, y: Scale) -> list[Markup]:
    parts = []
    for value, text in data["ticks"]:
        parts.append(svg_chart.level(y(value), x.start, WIDTH - RIGHT, "grid"))
        parts.append(svg_chart.text(x.start - 8, y(value) + 4, text, "tick", "end"))
    for at_ms, text in axes.time_ticks(data["since_ms"], data["until_ms"], data["timezone"]):
        parts.append(svg_chart.text(x(at_ms), HEIGHT - 6, text, "tick", "middle"))
    return parts


def _periods(data: Json, x: Scale) -> list[Markup]:
    height = HEIGHT - TOP - BOTTOM
    parts = [
        svg_chart.band(
            x(m["from_ms"]),
            x(m["until_ms"]),
            TOP,
            height,
            "maintenance",
            m["title"],
            MIN_BAND_WIDTH,
        )
        for m in data["maintenance"]
    ]
    for alert in data["alerts"]:
        until_ms = alert["until_ms"] or data["until_ms"]
        title = f"{alert['rule']} ({alert['severity']}) {alert['series']}".strip()
        kind = f"alert-{alert['severity']}"
        parts.append(
            svg_chart.band(
                x(alert["from_ms"]), x(until_ms), TOP, height, kind, title, MIN_BAND_WIDTH
            )
        )
    for change in data["changes"]:
        title = f"Rules changed: {change['text']}"
        left = x(change["at_ms"])
        parts.append(svg_chart.band(left, left, TOP, height, "change", title, MIN_BAND_WIDTH))
    return parts


def _bounds(data: Json, x: Scale, y: Scale) -> list[Markup]:
    parts = []
    for from_ms, until_ms, bounds in data["bands"]:
        left, right = x(from_ms), x(until_ms)
        for name, bound in bounds.items():
            if not data["low"] <= bound <= data["high"]:
                continue
            if name == "at_most":
                parts.append(svg_chart.band(left, right, TOP, y(bound) - TOP, "zone"))
            elif name == "at_least":
                height = HEIGHT - BOTTOM - y(bound)
                parts.append(svg_chart.band(left, right, y(bound), height, "zone"))
            kind = "warn" if name.startswith("warn") else "bound"
            parts.append(svg_chart.level(y(bound), left, right, kind))
    for rule in data["rules"]:
        if data["low"] <= rule["value"] <= data["high"]:
            kind = f"rule rule-{rule['severity']}"
            parts.append(svg_chart.level(y(rule["value"]), x.start, WIDTH - RIGHT, kind))
    return parts


def _lines(data: Json, x: Scale, y: Scale) -> list[Markup]:
    parts = []
    own = 0
    for line in data["lines"]:
        kind = line["kind"]
        if kind == "value":
            kind = f"value line-{own}"
            own += 1
        points = [(x(at), None if v is None else y(v)) for at, v, _ in line["points"]]
        parts.append(svg_chart.line(points, kind))
    # The previous period is drawn first, so that the present one is above it.
    return sorted(parts, key=lambda part: 'class="previous"' not in part)
