"""Where something stands in a record: the root that a path begins at, and the steps from there.

A path is a tuple. It begins in the event (the record's value, or what its envelope holds), unless
its first item is a `Root`. Its steps are keys of objects, indices of arrays, selectors (the first
object of an array whose member has a value), and `[]`, each element of an array. As written in
rules, and as it is here:

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
from dataclasses import dataclass
from typing import Literal, TypeAlias

RootName = Literal[
    "key", "key_text", "header", "envelope", "index", "timestamp", "topic", "partition", "offset"
]
TEXT_ROOTS = frozenset({"header", "key_text"})
"""What is text whatever it means: numbers and booleans are read from it."""


@dataclass(frozen=True, slots=True)
class Root:
    """Where a path begins that doesn't begin in the event.

    `key` is the record's key read as values are, `key_text` the same as text; `header` is the last
    header called `name`. `envelope` is what stands around the event, `index` the position of an
    element in its array. `timestamp` is the record's, ms since the epoch.
    """

    part: RootName
    name: str = ""


class PathText(str):
    """A key that is itself the text of a path, as the members of documents are called."""

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
"""A path of keys alone: what a format reads as columns."""

_BARE = re.compile(r'[^.\[\]"]+')


def keys_of(path: Path) -> Keys | None:
    """A path that has nothing but keys; None where it has anything else."""
    keys = tuple(step for step in path if isinstance(step, str))
    return keys if len(keys) == len(path) else None


def path_text(path: Path) -> str:
    """A path as it is written in rules; different paths have different texts."""
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
