"""A series over time in a few lines of text: blocks for the values, a line below for the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

Point = tuple[int, float]
"""(time in ms, value)"""

Span = tuple[int, int]
"""From and to, ms."""

WIDTH, HEIGHT = 96, 4
_BLOCKS = " ▁▂▃▄▅▆▇█"


def columns(points: Sequence[Point], span: Span, width: int = WIDTH) -> list[float | None]:
    """The values by column: of the points that fall in one, that which is farthest from the median
    of all, so that no peak is lost; None where there is none."""
    usual = median(value for _, value in points) if points else 0.0
    out: list[float | None] = [None] * width
    for at_ms, value in points:
        column = column_of(at_ms, span, width)
        known = out[column]
        if known is None or abs(value - usual) > abs(known - usual):
            out[column] = value
    return out


def column_of(at_ms: int, span: Span, width: int = WIDTH) -> int:
    """The column of an instant, the nearest one where it is outside."""
    start, end = span
    return min(max((at_ms - start) * width // max(end - start, 1), 0), width - 1)


def bars(
    values: Sequence[float | None], low: float, high: float, height: int = HEIGHT
) -> list[str]:
    """Values as bars from `low` to `high`, from the top line to the bottom one."""
    steps = height * 8
    scale = steps / (high - low) if high > low else 0.0
    # A value that is there shows, were it the lowest.
    filled = [
        0 if value is None else min(max(round((value - low) * scale), 1), steps) for value in values
    ]
    return [
        "".join(_BLOCKS[min(max(level - row * 8, 0), 8)] for level in filled).rstrip()
        for row in reversed(range(height))
    ]


def marks(spans: Sequence[tuple[Span, str]], whole: Span, width: int = WIDTH) -> str:
    """A line with a mark in every column that a span touches; later spans over earlier ones."""
    line = [" "] * width
    for (first, last), mark in spans:
        for column in range(column_of(first, whole, width), column_of(last, whole, width) + 1):
            line[column] = mark
    return "".join(line).rstrip()
