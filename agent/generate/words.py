"""Spans, windows and targets in words, as the language writes them."""

from __future__ import annotations

from agent.core.model.plan import Target
from agent.core.model.windows import CalendarWindow, Window


def span_text(ms: int) -> str:
    """Milliseconds as `1h30m`."""
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def window_text(window: Window) -> str:
    """`5m every 1m`, `1h`, `month (Europe/London)`."""
    if isinstance(window, CalendarWindow):
        return f"{window.unit} ({window.timezone})"
    size = span_text(window.size_ms)
    return size if window.hop_ms == window.size_ms else f"{size} every {span_text(window.hop_ms)}"


def target_text(target: Target) -> str:
    """`at most 240, warn 200`, `between 40 and 90, warn 45 and 85`."""
    low, high = target.at_least, target.at_most
    if low is not None and high is not None:
        told = f"between {low:g} and {high:g}"
    else:
        known = dict(target.kpis)
        least = f"{low:g}" if low is not None else known.get("at_least")
        told = f"at least {least}" if least else f"at most {known.get('at_most') or f'{high:g}'}"
    warns = [f"{w:g}" for w in (target.warn_at_least, target.warn_at_most) if w is not None]
    warns += [name for band, name in target.kpis if band.startswith("warn")]
    return told + (f", warn {' and '.join(warns)}" if warns else "")
