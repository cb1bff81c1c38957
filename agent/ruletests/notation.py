"""Parses the two short notations: names of series and alerts, and values of consecutive windows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_VALUES = 100_000
"""Windows of one series; more are taken for a typing error, and would take long."""

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_ITEM = re.compile(
    rf"(?:(?P<gap>_)|(?P<value>{_NUMBER}?)(?:(?P<step>[-+](?:\d+(?:\.\d*)?|\.\d+)))?)"
    r"(?:@(?P<events>\d+))?(?:x(?P<times>\d+))?"
)
_NAME = re.compile(
    r"\s*(?P<name>[^\s{}]+)\s*(?:\{(?P<inside>.*)\})?\s*(?P<rest>[^{}]*)$", re.DOTALL
)
_PAIR = re.compile(
    r"""\s*(?P<key>[^\s=,"'{}]+)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,"'{}]+)\s*(?:,|$)"""
)


class NotationError(ValueError):
    """A text that can't be parsed; `chars`: the wrong part of it."""

    def __init__(self, message: str, hint: str | None, chars: tuple[int, int]) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.chars = chars


@dataclass(frozen=True, slots=True)
class Word:
    """A part of a text, from `start` to `end`."""

    text: str
    start: int
    end: int

    @property
    def chars(self) -> tuple[int, int]:
        """Its range of characters."""
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class ParsedName:
    """`name{dimension="value", …} word …`, parsed. A value in quotes is `(text, True)`."""

    name: Word
    dimensions: dict[str, tuple[Word, bool]]
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one window; None: it has none. `events` None: not given. `chars`: its place."""

    value: float | None
    events: int | None
    chars: tuple[int, int]


def read_name(text: str) -> ParsedName:
    """Parse the name of a series or an alert. Raises NotationError."""
    match = _NAME.match(text)
    if match is None:
        hint = 'write name{dimension="value"}'
        raise NotationError(f"'{text}' is not the name of a series", hint, (0, len(text)))
    dimensions: dict[str, tuple[Word, bool]] = {}
    at, end = match.span("inside")
    while at >= 0 and text[at:end].strip():
        pair = _PAIR.match(text, at, end)
        if pair is None:
            hint = 'write {dimension="value", other="value"}'
            raise NotationError(f"'{text[at:end].strip()}' is not dimension=value", hint, (at, end))
        value = pair["value"]
        quoted = value[0] in "\"'"
        if quoted:
            value = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value[1:-1]
        if pair["key"] in dimensions:
            raise NotationError(f"'{pair['key']}' is given twice", "keep one", pair.span("key"))
        dimensions[pair["key"]] = Word(value, *pair.span("value")), quoted
        at = pair.end()
    words = tuple(
        Word(w[0], w.start() + match.start("rest"), w.end() + match.start("rest"))
        for w in re.finditer(r"\S+", match["rest"])
    )
    return ParsedName(Word(match["name"], *match.span("name")), dimensions, words)


def read_values(text: str) -> tuple[list[Value], list[NotationError]]:
    """The values of consecutive windows, and the errors of other parts of the text.

    `5` one window, `5x3` three of them, `5+2x3` is 5 7 9, `5-2x3` is 5 3 1; `_` no data, `_x3`
    three times; `@12` after a value: of twelve events. `x` is always the number of windows; in
    promtool it is one less, except for `_`.
    """
    out: list[Value] = []
    wrong: list[NotationError] = []
    for word in re.finditer(r"\S+", text):
        try:
            out += _item(word)
        except NotationError as error:
            wrong.append(error)
        if len(out) > MOST_VALUES:
            message = f"more than {MOST_VALUES} windows"
            return [], [*wrong, NotationError(message, "use fewer", word.span())]
    return out, wrong


def _item(word: re.Match[str]) -> Iterator[Value]:
    match = _ITEM.fullmatch(word[0])
    if match is None or not (match["gap"] or match["value"]):
        hint = "write 5, 5x3, 5+2x3, _ or _x3, with @12 for the number of events"
        raise NotationError(f"'{word[0]}' is not a value", hint, word.span())
    times = int(match["times"] or 1)
    if times > MOST_VALUES or times == 0:
        message = f"{times} windows" if times else "no window at all"
        raise NotationError(message, f"1 to {MOST_VALUES}", word.span())
    events = None if match["events"] is None else int(match["events"])
    if match["gap"]:
        return (Value(None, events, word.span()) for _ in range(times))
    if match["step"] and not match["times"]:
        hint = f"say how often: {word[0]}x3"
        raise NotationError(f"'{word[0]}' continues with a step", hint, word.span())
    first, step = float(match["value"]), float(match["step"] or 0)
    if not math.isfinite(first + step * times):
        raise NotationError(f"'{word[0]}' is too large", None, word.span())
    return (Value(first + step * n, events, word.span()) for n in range(times))
