"""Finds the records of the agent's topics that name a person: internal topics have their name, and
topics of results have its hash.

A series belongs to the person if the dimension that names people has their name. For a KPI that is
no longer declared that dimension is not known: there, the name in any dimension counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.core import frame
from agent.core.model.events import Scalar
from agent.core.model.plan import Plan
from agent.core.output.messages import label
from agent.core.output.privacy import Privacy
from agent.errors import UnknownVersionError


@dataclass(frozen=True, slots=True)
class Person:
    """A person: the dimension that names people, their name in it as a label, and the hashes under
    which they are published, the one in use first."""

    dimension: str
    name: str
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, privacy: Privacy, dimension: str, name: str) -> Person:
        """Raises NoSecret if people are published under hashes and no secret is set."""
        is_hashed = any(k.person == dimension and not k.named for k in plan.kpis.values())
        return cls(dimension, name, privacy.pseudonyms(dimension, name) if is_hashed else ())


class PersonRecords:
    """Tells whether a record names a person, by topic."""

    def __init__(self, plan: Plan, person: Person) -> None:
        self._plan = plan
        self._person = person
        self._names = {person.name, *person.hashes}
        self._text = re.compile(rb"(?<!\w)" + re.escape(person.name.encode()) + rb"(?!\w)")

    def has_row(self, key: bytes) -> bool:
        """Whether a row of the state table belongs to the person, by its key
        (`agent.core.state.rows`)."""
        named = msgspec.msgpack.decode(key)
        return isinstance(named, list) and len(named) > 1 and self._is_series(named[0], named[1])

    def has_board_row(self, key: bytes) -> bool:
        """Whether a row of the board topic belongs to the person, by its key."""
        match msgspec.json.decode(key):
            case ["series", kpi, dimensions] | ["alert", _, _, kpi, dimensions]:
                return self._is_series(kpi, dimensions)
        return False

    def has_partial(self, frames: Iterable[bytes]) -> bool:
        """Whether one of some frames has a partial of the person's. Data that this version cannot
        decode as a frame has none, since it would never be merged."""
        return any(
            self._is_series(block.kpi, frame.dimensions_of_key(key))
            for block in _blocks(frames)
            for key in block.keys
        )

    def has_output(self, key: bytes | None) -> bool:
        """Whether a window or a transition belongs to the person, by its message key."""
        dimensions = _object(key).get("dimensions")
        if not isinstance(dimensions, dict) or self._person.dimension not in dimensions:
            return False
        return label(dimensions[self._person.dimension]) in self._names

    def has_text(self, texts: Sequence[bytes | None]) -> bool:
        """Whether the name occurs, as a word, in one of the parts of a source record."""
        return any(text is not None and self._text.search(text) for text in texts)

    def _is_series(self, subject: str, dimensions: Sequence[Scalar] | None) -> bool:
        if dimensions is None:
            return False
        by = self._plan.by_of(subject)
        if by is None or len(by) != len(dimensions):
            return any(label(value) == self._person.name for value in dimensions)
        return any(
            name == self._person.dimension and label(value) == self._person.name
            for name, value in zip(by, dimensions, strict=True)
        )


def _blocks(frames: Iterable[bytes]) -> Iterable[frame.Block]:
    for data in frames:
        try:
            yield from frame.decode(data).blocks
        except (msgspec.DecodeError, UnknownVersionError):
            continue


def _object(text: bytes | None) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(text or b"")
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
