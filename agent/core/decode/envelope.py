"""The seam between envelopes and the decoder: where in a record its events are.

An envelope opens a record that was read as Python's objects and gives its events. To add one, write
a module with a class that has the methods of `Opener`, name it in `envelopes`, and write its test
beside `tests/core/decode/test_envelopes.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from agent.core.decode.batch import Batch
from agent.core.decode.format import Problem


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a record: what a contract's paths begin at, and what stands around it, which
    `{envelope: …}` reads."""

    value: Any
    around: Any = None


class Opener(Protocol):
    """Opens the records of a topic."""

    @property
    def names(self) -> Iterable[str]:
        """The members that it looks at."""

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The events of a record that was read as `tree`, with a problem in place of one that is
        wrong; none where the record says nothing that a contract could read."""
