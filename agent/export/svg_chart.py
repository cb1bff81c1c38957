"""Charts over time as SVG: elements, scales, and lines that break where windows have no value.

Pure: numbers in, markup out. All text and attributes are escaped here. The users (private pages,
the page of a backtest, the pictures of the documentation) decide what is drawn, and style it by
CSS.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float | None]
"""(x, y) in pixels; y None (or NaN) breaks the line."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps the values from `low` to `high` to the pixels from `start` to `end`.

    `clamped`: a value outside is drawn at the edge.
    """

    low: float
    high: float
    start: float
    end: float
    clamped: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        if self.clamped:
            value = min(max(value, self.low), self.high)
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return self.start + share * (self.end - self.start)


def element(name: str, *content: str, **attributes: str | float | None) -> Markup:
    """One element. Numbers are written to a tenth of a pixel; an attribute that is None is left
    out; `class_` is `class`, and other underscores are hyphens."""
    written = Markup("").join(
        Markup(' {}="{}"').format(_attribute(key), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    if not content:
        return Markup("<{}{}/>").format(name, written)
    inside = Markup("").join(escape(part) for part in content)
    return Markup("<{}{}>{}</{}>").format(name, written, inside, name)


def text(x: float, y: float, words: str, css_class: str = "", anchor: str = "start") -> Markup:
    """A text at a position."""
    return element("text", words, class_=css_class or None, x=x, y=y, text_anchor=anchor)


def band(
    left: float, right: float, top: float, height: float, css_class: str, title: str = "",
    min_width: float = 0.0,
) -> Markup:  # fmt: skip
    """A period as a rectangle; `title` is its tooltip."""
    content = (element("title", title),) if title else ()
    width = max(right - left, min_width)
    return element("rect", *content, class_=css_class, x=left, y=top, width=width, height=height)


def level(y: float, left: float, right: float, css_class: str) -> Markup:
    """A horizontal line: a bound, or a line of the grid."""
    return element("line", class_=css_class, x1=left, x2=right, y1=y, y2=y)


def runs(points: Iterable[Point]) -> list[list[tuple[float, float]]]:
    """The points, split where a value is missing."""
    unbroken: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or math.isnan(y):
            if unbroken[-1]:
                unbroken.append([])
        else:
            unbroken[-1].append((x, y))
    return [run for run in unbroken if run]


def path(run: Sequence[tuple[float, float]]) -> str:
    """The path through points. A single point gets a tiny length, so that lines with round caps
    draw it."""
    joined = "L".join(f"{_number(x)} {_number(y)}" for x, y in run)
    return f"M{joined}" + ("h.01" if len(run) == 1 else "")


def line(points: Iterable[Point], css_class: str) -> Markup:
    """A line over time, broken where a value is missing."""
    return Markup("").join(element("path", class_=css_class, d=path(run)) for run in runs(points))


def _attribute(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
