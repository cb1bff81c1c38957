"""A series as text: its dimension values for people, and as a key for programs."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions
from agent.core.output.messages import label


def dimension_text(value: Scalar) -> str:
    """A dimension's value for people."""
    if value is None:
        return "none"
    if value == "__other__":
        return "all others"
    return "(empty)" if value == "" else label(value)


def series_text(dimensions: Dimensions | None) -> str:
    """A series for people: its dimension values; "" for the only series of a KPI."""
    return " · ".join(dimension_text(d) for d in dimensions or ())


def series_key(by: Sequence[str], dimensions: Dimensions | None) -> str:
    """A series for programs. Python's spelling keeps null and "None" apart."""
    return ",".join(f"{name}={value!r}" for name, value in zip(by, dimensions or (), strict=False))
