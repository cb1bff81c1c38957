"""What the agent's topics hold of a person: which records name them, inside by name, outside by
hash.

A series is the person's where the dimension that names people has their name. Of a KPI that is not
declared any more it is not known which dimension that is: there, any that has the name counts.
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
    """A person: the dimension that names people, their name there as a label, and the hashes that
    they have outside the agent, the one in use first."""

    dimension: str
    name: str
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, privacy: Privacy, dimension: str, name: str) -> Person:
        """Raises NoSecret where people appear under hashes, and no secret is known."""
        is_hashed = any(k.person == dimension and not k.named for k in plan.kpis.values())
        return cls(dimension, name, privacy.pseudonyms(dimension, name) if is_hashed else ())


class PersonRecords:
    """Tells the records that name a person from the others, by topic."""

    def __init__(self, plan: Plan, person: Person) -> None:
        self._plan = plan
        self._person = person
        self._names = {person.name, *person.hashes}
        self._text = re.compile(rb"(?<!\w)" + re.escape(person.name.encode()) + rb"(?!\w)")

    def has_row(self, key: bytes) -> bool:
        """Whether a row of the state table is of the person's, by its key
        (`agent.core.state.rows`)."""
        named = msgspec.msgpack.decode(key)
        return isinstance(named, list) and len(named) > 1 and self._is_series(named[0], named[1])

    def has_board_row(self, key: bytes) -> bool:
        """Whether a row of the board topic is of the person's, by its key."""
        match msgspec.json.decode(key):
            case ["series", kpi, dimensions] | ["alert", _, _, kpi, dimensions]:
                return self._is_series(kpi, dimensions)
        return False

    def has_partial(self, frames: Iterable[bytes]) -> bool:
        """Whether one of some frames has a partial of the person's. What is no frame that this
        agent reads has none that it would ever merge."""
        return any(
            self._is_series(block.kpi, frame.dimensions_of_key(key))
            for block in _blocks(frames)
            for key in block.keys
        )

    def has_output(self, key: bytes | None) -> bool:
        """Whether a window or a transition is of the person's, by its message key."""
        dimensions = _object(key).get("dimensions")
        if not isinstance(dimensions, dict) or self._person.dimension not in dimensions:
            return False
        return label(dimensions[self._person.dimension]) in self._names

    def has_text(self, texts: Sequence[bytes | None]) -> bool:
        """Whether the name stands, as a word, in one of the parts of a record as it came."""
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
