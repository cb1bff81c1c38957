"""What is shown: its type, its templates, and the words that the board and all pages share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions
from agent.core.output.messages import label
from agent.export.templates import html_template

Json = dict[str, Any]
"""Data for browsers and programs."""

STATES = {
    "missed": "Missed",
    "at_risk": "At risk",
    "no_data": "No data",
    "met": "On target",
    "none": "No target",
}
"""The words of each state of KPIs and objectives; the worst first."""

_MARKS = {"missed": "✕ ", "at_risk": "▲ ", "no_data": "○ ", "met": "✓ ", "none": ""}

MARKED = {state: f"{_MARKS[state]}{words.lower()}" for state, words in STATES.items()}
"""The same with a mark, for people who can't tell colours apart."""

SCRIPT = f"export const STATES = {json.dumps(STATES)};\n"
"""`/static/states.js`, a JavaScript module: the same words for the board's scripts."""

_TEMPLATES = Path(__file__).parent / "templates"


def html(template: str, **values: Any) -> str:
    """A page by a template of `templates/`."""
    return html_template(_TEMPLATES, template).render(**values)


def clock_text(at_ms: float, now_ms: float, timezone: str, *, seconds: bool = False) -> str:
    """`14:32` on the day of `now_ms`, else `28 Nov 2026, 14:32`; with `seconds`, or if
    they are not 0, with seconds."""
    zone = ZoneInfo(timezone)
    at, now = (datetime.fromtimestamp(ms / 1000, zone) for ms in (at_ms, now_ms))
    time = at.strftime("%H:%M:%S" if seconds or at.second else "%H:%M")
    return time if at.date() == now.date() else f"{at.day} {at:%b %Y}, {time}"


def iso_text(at_ms: float, timezone: str) -> str:
    """`2026-11-28T14:32:00+01:00`, for `datetime` attributes."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(timezone)).isoformat(timespec="seconds")


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
