"""The seam between envelopes and the decoder: where in a record its events are.

An envelope opens a record that was read as Python's objects and gives its events. Its `views` say
the same of records that look in one way, so that their events are read by columns; records that
look in no such way are opened one by one. To add one, write a module with a class that has the
methods of `Opener`, name it in `envelopes`, and write its test beside
`tests/core/decode/test_envelopes.py`.
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
    """One event of a record: what a contract's paths begin at, and what stands around it, which
    `{envelope: …}` reads."""

    value: Any
    around: Any = None


Look = Literal["absent", "text", "object"] | tuple[str, ...]
"""What stands at a path: nothing (or null), something, an object, or one of some texts."""


@dataclass(frozen=True, slots=True)
class View:
    """Where the events are in records that look in one way.

    `looks`: what stands at some paths of the record. `event`: where the event stands, an object or
    null; through `[]`, each element of an array is one. `around`: where what is around it stands;
    or `headers`, what the names of the headers begin with that hold it. `lacks`: what is nowhere in
    the record's bytes.
    """

    looks: tuple[tuple[Path, Look], ...] = ()
    event: Path = ()
    around: Keys = ()
    headers: str = ""
    lacks: tuple[bytes, ...] = ()

    def path(self, path: Path) -> Path | None:
        """A path of a contract from the record on; None where none of the record's leads there."""
        root = path[0] if path and isinstance(path[0], Root) else None
        if root is None:
            return (*self.event, *path)
        if root.part != "envelope":
            return path
        if not self.headers:
            return (*self.around, *path[1:])
        name = path[1] if len(path) == 2 else None
        return (Root("header", self.headers + name),) if isinstance(name, str) else None

    @property
    def has_many(self) -> bool:
        """Whether a record may hold several events."""
        return Elements() in self.event


class Opener(Protocol):
    """Opens the records of a topic."""

    @property
    def views(self) -> Sequence[View]:
        """The views whose records need not be opened one by one; a record has one of them at
        most."""

    @property
    def names(self) -> Iterable[str]:
        """The members that it looks at."""

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The events of a record that was read as `tree`, with a problem in place of one that is
        wrong; none where the record says nothing that a contract could read."""
