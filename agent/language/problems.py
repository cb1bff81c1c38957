"""Problems of the declared rules: all of all files, in the order of their place; and as text for
people, for programs (`json`) and for GitHub's annotations (`github`)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic_core import PydanticCustomError

from agent.core.model.printable import printable, printable_lines
from agent.errors import RulesError

Importance = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. Lines and columns count from 1, in characters; `end_column` is exclusive.

    `where` is the dotted path in the YAML (`kpis.response_time.window`), `line_text` the line in
    the file ("" where there is none, as for an empty folder).
    """

    file: str
    line: int
    column: int
    end_column: int
    where: str
    message: str
    hint: str | None = None
    severity: Importance = "error"
    line_text: str = ""


@dataclass(frozen=True, slots=True)
class EventProblem:
    """A problem of an event that was found outside the rules; `at` is its place below the event."""

    event: str
    at: tuple[str, ...]
    message: str
    severity: Importance = "error"


class SpecError(RulesError):
    """The rules cannot be loaded. `problems` holds all of them, warnings included, sorted."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [p for p in self.problems if p.severity == "error"]
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        place = f"{first.file}:{first.line}:{first.column}"
        super().__init__(f"{place}: {first.message}{more}", first.hint)


def wrong(message: str, hint: str | None = None) -> PydanticCustomError:
    """What is wrong with a value, and how to fix it, as an error for pydantic. The message is
    passed as data: braces in it are only text."""
    return PydanticCustomError("rules", "{message}", {"message": message, "hint": hint})


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems by file, line and column, without duplicates."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (p.file, p.line, p.column, p.severity, p.message))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means, None when none is near."""
    names = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(name.casefold(), list(names), n=1, cutoff=0.6)
    return names[close[0]] if close else None


def suggest(name: str, known: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest known one, else the known ones.

    `what` is the plural of what was looked for (`fields`, `KPIs`).
    """
    names = sorted(set(known))
    near = nearest(name, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if not names:
        return f"there are no {what}"
    shown = ", ".join(names[:12])
    return f"known {what}: {shown}{', …' if len(names) > 12 else ''}"


Format = Literal["human", "json", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)

_RED, _YELLOW, _BLUE, _BOLD, _OFF = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"
_WIDEST = 160
"""Longer lines are shown in part, around the error."""


def render(problems: Sequence[Problem], format: Format = "human", *, color: bool = False) -> str:
    """The problems as text that ends with a line break; "" for none.

    `human` shows each offending line, underlined; ANSI colours with `color`. `json` is one object
    a line: file, line, column, end_column, where, message, hint, severity. `github` is a workflow
    command a line.
    """
    if format == "json":
        return "".join(_json(p) + "\n" for p in problems)
    if format == "github":
        return "".join(_github(p) + "\n" for p in problems)
    if not problems:
        return ""
    shown = [_human(p, color) for p in problems]
    return "\n".join(shown) + f"\n{_count(problems)}\n"


def _json(problem: Problem) -> str:
    names = ("file", "line", "column", "end_column", "where", "message", "hint", "severity")
    return json.dumps({name: getattr(problem, name) for name in names}, ensure_ascii=False)


def _github(problem: Problem) -> str:
    properties = {
        "file": problem.file,
        "line": str(problem.line),
        "col": str(problem.column),
        "endColumn": str(problem.end_column),
        "title": problem.where,
    }
    hint = f"\n{problem.hint}" if problem.hint else ""
    return annotation(problem.severity, properties, problem.message + hint)


def annotation(level: str, properties: Mapping[str, str], message: str) -> str:
    """A workflow command: `::error file=…,line=…::message`. `level` is error, warning or notice.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    written = ",".join(f"{k}={_escape(v, ':,')}" for k, v in properties.items() if v)
    return f"::{level}{' ' if written else ''}{written}::{_escape(message)}"


def _escape(text: str, more: str = "") -> str:
    text = printable_lines(text.replace("\r", "\n"))
    for character in "%\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _human(problem: Problem, color: bool) -> str:
    tint = _RED if problem.severity == "error" else _YELLOW
    paint = _painted if color else _plain
    head = printable(f"{problem.file}:{problem.line}:{problem.column}: ")
    message = printable(problem.message)
    lines = [paint(head, _BOLD) + paint(f"{problem.severity}: ", tint) + message]
    if problem.where:
        lines.append(f"    at {printable(problem.where)}")
    if problem.line_text.strip():
        text, column, end_column = _window(problem)
        number = str(problem.line)
        margin = " " * len(number)
        before, marked = (_shown(text[: column - 1]), _shown(text[column - 1 : end_column - 1]))
        # The marks are as long as the shown text, in which control characters are escaped.
        marks = "^" * max(1, len(marked), end_column - column)
        lines.append(paint(f" {number} | ", _BLUE) + _shown(text))
        lines.append(paint(f" {margin} | ", _BLUE) + " " * len(before) + paint(marks, tint))
    if problem.hint:
        lines += [f"    {printable(line)}" for line in problem.hint.split("\n")]
    return "\n".join(lines) + "\n"


def _shown(text: str) -> str:
    """A line of a file: a tab as one space, other control characters as visible escapes."""
    return printable(text.replace("\t", " "))


def _window(problem: Problem) -> tuple[str, int, int]:
    """The line, cut where it is very long, and the columns in it."""
    text, column, end_column = problem.line_text, problem.column, problem.end_column
    if len(text) <= _WIDEST:
        return text, column, end_column
    start = max(0, min(column - 1 - _WIDEST // 4, len(text) - _WIDEST))
    before, after = "…" if start else "", "…" if start + _WIDEST < len(text) else ""
    cut = text[start : start + _WIDEST]
    column, end_column = column - start + len(before), end_column - start + len(before)
    return before + cut + after, column, min(end_column, len(before + cut) + 1)


def _painted(text: str, tint: str) -> str:
    return f"{tint}{text}{_OFF}"


def _plain(text: str, tint: str) -> str:
    return text


def _count(problems: Sequence[Problem]) -> str:
    errors = sum(p.severity == "error" for p in problems)
    warnings = len(problems) - errors
    files = len({p.file for p in problems})
    parts = [
        f"{n} {word}{'' if n == 1 else 's'}"
        for n, word in ((errors, "error"), (warnings, "warning"))
        if n
    ]
    return f"{' and '.join(parts)} in {files} file{'' if files == 1 else 's'}"
