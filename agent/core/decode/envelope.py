"""The interface of envelopes: where the events are in a record.

An `Opener` gets the events from a record that was read as Python objects. Its `views` describe
records in which columns can read the events; records that match no view are opened one by one. To
add an envelope, write a module with a class that implements `Opener`, register it in `envelopes`,
and test it in `tests/core/decode`, in a module of its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agent.core.decode.batch import Batch
from agent.core.decode.format import Problem
from agent.core.model.paths import Elements, Keys, Path, Root


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a record: the value that a contract's paths start in, and the object around it,
    in which `{envelope: …}` starts."""

    value: Any
    envelope: Any = None


PathCondition = Literal["absent", "text", "object"] | tuple[str, ...]
"""What must be at a path: nothing (or null), any scalar, an object, or one of some texts."""


@dataclass(frozen=True, slots=True)
class View:
    """The events in records that fulfil some conditions.

    - `conditions`: what the record must have at some paths. `lacks`: byte strings that it must not
      contain.
    - `event`: the path of the event, an object or null; with `[]`, each element of an array.
    - `envelope`: the path of the object around it, or `headers`: the prefix of the names of headers
      that have its members.
    - `has_schema`: the record's schema says the units of its times (`schema_times`).
    """

    conditions: tuple[tuple[Path, PathCondition], ...] = ()
    event: Path = ()
    envelope: Keys = ()
    headers: str = ""
    lacks: tuple[bytes, ...] = ()
    has_schema: bool = False

    def path(self, path: Path) -> Path | None:
        """A path of a contract as a path that starts at the record; None: there is none."""
        root = path[0] if path and isinstance(path[0], Root) else None
        if root is None:
            return (*self.event, *path)
        if root.part != "envelope":
            return path
        if not self.headers:
            return (*self.envelope, *path[1:])
        name = path[1] if len(path) == 2 else None
        return (Root("header", self.headers + name),) if isinstance(name, str) else None

    @property
    def has_many(self) -> bool:
        """Whether a record may have several events."""
        return Elements() in self.event


class Opener(Protocol):
    """Gets the events from records."""

    @property
    def views(self) -> Sequence[View]:
        """The views that columns can read; a record matches at most one of them."""

    @property
    def names(self) -> Iterable[str]:
        """The names of the members that `open` reads."""

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The events of a record that was read as `tree`, with a problem instead of each invalid
        one; none if the record has no event."""
