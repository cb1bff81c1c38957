"""The time range and refresh interval of a board, by the windows that it shows."""

from __future__ import annotations

from agent.core.model.windows import Window

WINDOWS = 48
"""About as many windows are displayed at first."""
SPANS = 4
"""For overlapping windows, at least so many of their lengths are displayed."""

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS

_RANGES = (
    ("now-1h", _HOUR_MS),
    ("now-3h", 3 * _HOUR_MS),
    ("now-6h", 6 * _HOUR_MS),
    ("now-12h", 12 * _HOUR_MS),
    ("now-24h", _DAY_MS),
    ("now-2d", 2 * _DAY_MS),
    ("now-7d", 7 * _DAY_MS),
    ("now-30d", 30 * _DAY_MS),
    ("now-90d", 90 * _DAY_MS),
    ("now-1y", 365 * _DAY_MS),
    ("now-2y", 730 * _DAY_MS),
    ("now-5y", 1826 * _DAY_MS),
)
"""Ranges that Grafana offers, and their lengths in ms."""

_REFRESHES = (
    ("5m", 5 * _MINUTE_MS),
    ("1m", _MINUTE_MS),
    ("30s", 30_000),
)
"""Refresh intervals that Grafana offers, and their lengths in ms."""
SHORTEST_REFRESH = "10s"


def range_start(window: Window) -> str:
    """The start of the time range for a window, as `now-6h`; five years at most."""
    wanted = max(WINDOWS * window.step_ms, SPANS * window.span_ms)
    return next((text for text, length in _RANGES if length >= wanted), _RANGES[-1][0])


def refresh_interval(window: Window) -> str:
    """The refresh interval of a board: about a tenth of a window, five minutes at most."""
    wanted = window.step_ms // 10
    return next((text for text, length in _REFRESHES if length <= wanted), SHORTEST_REFRESH)
