"""Paths: where a value is in a record.

A path is a tuple of steps. It starts in the event (the record's value, or what its envelope
contains), unless its first item is a `Root`. Steps are keys of objects, indices of arrays,
selectors (the first object of an array whose member has a value), and `[]`, each element of an
array. In YAML, and here:

    user.id                   ("user", "id")
    coordinates[2]            ("coordinates", 2)
    params[key=id].value      ("params", Selector("key", "id"), "value")
    lines[].price             ("lines", Elements(), "price")
    {header: X-Event}         (Root("header", "X-Event"),)
    {key: user.id}            (Root("key"), "user", "id")
    {record: timestamp}       (Root("timestamp"),)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

RootName = Literal[
    "key",
    "key_text",
    "header",
    "envelope",
    "index",
    "timestamp",
    "topic",
    "partition",
    "offset",
    "schema",
]
TEXT_ROOTS = frozenset({"header", "key_text"})
"""Roots whose values are always text, from which numbers and booleans are parsed."""


@dataclass(frozen=True, slots=True)
class Root:
    """The start of a path outside the event.

    `key` is the record's key, parsed as values are; `key_text` the same as text. `header` is the
    last header called `name`. `envelope` is the object around the event, `index` the index of an
    element in its array. `timestamp` is the record's, ms since the epoch; `schema` the full name of
    the record by the schema that it names.
    """

    part: RootName
    name: str = ""


class PathText(str):
    """A key that is itself the text of a path: it is written without quotes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Selector:
    """The first object of an array whose member `key` has this value, as text."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Elements:
    """Each element of an array."""


Step: TypeAlias = str | int | Selector | Elements
Path: TypeAlias = tuple[Root | Step, ...]
Keys: TypeAlias = tuple[str, ...]
"""A path of keys only, which a format can read as a column."""

_BARE = re.compile(r'[^.\[\]"]+')


def keys_of(path: Path) -> Keys | None:
    """The path if it has keys only; otherwise None."""
    keys = tuple(step for step in path if isinstance(step, str))
    return keys if len(keys) == len(path) else None


def array_paths(path: Path) -> Iterator[Path]:
    """The parts of a path between its arrays (`[]`), and the part after the last."""
    start = 0
    for index, step in enumerate(path):
        if isinstance(step, Elements):
            yield path[start:index]
            start = index + 1
    yield path[start:]


def path_text(path: Path) -> str:
    """A path as written in rules; different paths have different texts."""
    if path and isinstance(root := path[0], Root):
        steps = _steps_text(path[1:])
        if root.part == "header":
            return f"{{header: {root.name}}}"
        if root.part == "index":
            return "{each: index}"
        if root.part in ("key", "envelope"):
            return f"{{{root.part}: {steps}}}"
        return "{key: true}" if root.part == "key_text" else f"{{record: {root.part}}}"
    return _steps_text(path)


def _steps_text(steps: Path) -> str:
    text = ""
    for step in steps:
        if isinstance(step, str):
            is_bare = isinstance(step, PathText) or _BARE.fullmatch(step)
            key = step if is_bare else f'"{step}"'
            text += f".{key}" if text else key
        elif isinstance(step, Selector):
            text += f"[{step.key}={step.value}]"
        else:
            text += f"[{step}]" if isinstance(step, int) else "[]"
    return text
