"""A text compiled in the first of several ways that works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from agent.language.declared import Declared, Entry
from agent.language.source import Place
from agent.language.sql.expressions import SqlProblem

T = TypeVar("T")


def compile_first(
    declared: Declared,
    entry: Entry[Any],
    at: Place,
    text: str,
    ways: Iterable[Callable[[str], T]],
) -> T | None:
    """The text compiled in the first way that works; None, and a report, where all fail alike."""
    problems = []
    for compiler in ways:
        try:
            return compiler(text)
        except SqlProblem as problem:
            problems.append(problem)
    if len({(p.message, p.start, p.end) for p in problems}) == 1:
        first = problems[0]
        chars = (first.start, max(first.end, first.start + 1))
        declared.report(entry, at, first.message, first.hint, chars=chars)
    return None
