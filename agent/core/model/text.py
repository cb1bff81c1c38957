"""What the model says as text: durations and conditions, in the words of the rules."""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.model.plan import AbsenceLevel, AnyLevel, Rule, Severity, variants


def duration(span_ms: int) -> str:
    """A span as rules write it: 5400000 is `1h30m`."""
    parts = []
    units = {
        "w": 604_800_000,
        "d": 86_400_000,
        "h": 3_600_000,
        "m": 60_000,
        "s": 1000,
        "ms": 1,
    }
    for unit, length_ms in units.items():
        count, span_ms = divmod(span_ms, length_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def when_text(level: AnyLevel) -> str:
    """When a level fires, in words."""
    if isinstance(level, AbsenceLevel):
        return f"no event for {duration(level.no_data_for_ms)}"
    return level.when_sql


def conditions_of(rule: Rule) -> Iterator[tuple[Severity, str]]:
    """Each severity that a rule can fire with, and its condition in words: of those that only
    overrides have, that of the first."""
    told: set[Severity] = set()
    for variant in variants(rule):
        for level in variant.levels:
            if level.severity not in told:
                told.add(level.severity)
                yield level.severity, when_text(level)
