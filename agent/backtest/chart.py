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
    """One value for each column, so that no peak is lost: among the column's points, the one
    farthest from the median of all points; None if it has no point."""
    middle = median(value for _, value in points) if points else 0.0
    out: list[float | None] = [None] * width
    for at_ms, value in points:
        column = column_of(at_ms, span, width)
        known = out[column]
        if known is None or abs(value - middle) > abs(known - middle):
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
    # Even the lowest value shows, as one step.
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
