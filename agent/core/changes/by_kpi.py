"""The changes of each KPI, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from agent.core.changes.diff import Change, Difference, part_text
from agent.core.changes.outline import HIDDEN, Outline

MOST_PARTS = 5
MOST_CHARS = 200
"""The most characters of one part: a condition may be long."""


def changes_by_kpi(old: Outline, new: Outline, difference: Difference) -> dict[str, str]:
    """By KPI, the changes of it and of its rules: `target: at most 4m → at most 3m; rule slow
    added`. Private KPIs and rules are left out."""
    about: dict[str, list[str]] = defaultdict(list)
    for change in difference.changes:
        if any(part.name == HIDDEN for part in change.parts):
            continue
        if change.section == "kpis":
            about[change.name] += _words(change, "")
        elif change.section == "rules":
            rule = new.rules.get(change.name) or old.rules[change.was or change.name]
            about[rule.kpi] += _words(change, f"rule {change.name}")
    return {kpi: _joined(words) for kpi, words in about.items() if kpi in new.kpis}


def is_general(difference: Difference) -> bool:
    """Whether a declaration changed that may affect any KPI: events, lookups, maintenance."""
    own = ("kpis", "rules", "objectives")
    return any(change.section not in own for change in difference.changes)


def _words(change: Change, name: str) -> Iterator[str]:
    if change.was is not None:
        yield f"{name} was called {change.was}".strip()
    elif change.kind != "changed":
        yield f"{name} {change.kind}".strip()
    prefix = f"{name}, " if name else ""
    yield from (f"{prefix}{part_text(part)[:MOST_CHARS]}" for part in change.parts)


def _joined(words: list[str]) -> str:
    rest = len(words) - MOST_PARTS
    return "; ".join(words[:MOST_PARTS]) + (f"; and {rest} more" if rest > 0 else "")
