"""Times for people, in the zone of the setting `timezone`."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


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
