"""Problems of the declared rules: all of all files, in the order of their place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic_core import PydanticCustomError

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
