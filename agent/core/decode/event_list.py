"""The envelope `list`: a record with many events, which is an array or has one at a path, maybe in
the elements of others (`resourceLogs[].scopeLogs[].logRecords`).

Each event has its own verdict. The record is the envelope of its events; in an array of it, a path
leads to the element that the event is in. An object instead of an array is its only element: some
producers write a list of one like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agent.core.decode.batch import Batch
from agent.core.decode.envelope import Event, View
from agent.core.decode.format import Problem, WrongPlaceError
from agent.core.decode.tree import describe, value_at
from agent.core.model.events import Envelope
from agent.core.model.paths import Elements, Path, array_paths, path_text
from agent.core.model.results import Reason


class EventList:
    """The opener of records with arrays of events."""

    def __init__(self, envelope: Envelope) -> None:
        self._arrays = list(array_paths((*envelope.path, Elements())))[:-1]
        self.names = [step for step in envelope.path if isinstance(step, str)]
        starts_in_object = bool(envelope.path) and isinstance(envelope.path[0], str)
        self.views = [View(event=(*envelope.path, Elements()))] if starts_in_object else []

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The elements of the array; none if it is absent."""
        return self._within((tree,))

    def _within(self, elements: tuple[Any, ...]) -> Iterator[Event | Problem]:
        """The events in the elements of arrays, from the record on."""
        level = len(elements) - 1
        if level == len(self._arrays):
            yield Event(elements[-1], self._around(elements))
            return
        try:
            array = value_at(elements[-1], self._arrays[level])
        except WrongPlaceError as cause:
            yield Reason.WRONG_TYPE, str(cause)
            return
        if isinstance(array, dict):
            array = [array]
        if isinstance(array, list):
            for element in array:
                yield from self._within((*elements, element))
        elif array is not None:
            where = path_text(self._arrays[level]) or "the record"
            detail = f"{where}: expected an array of events, found {describe(array)}"
            yield Reason.WRONG_TYPE, detail

    def _around(self, elements: tuple[Any, ...]) -> Any:
        """The record with only those elements of outer arrays that the event is in."""
        around = elements[-2]
        for level in range(len(elements) - 3, -1, -1):
            around = _with(elements[level], self._arrays[level], [around])
        return around


def _with(tree: Any, path: Path, value: Any) -> Any:
    """A copy of a tree with another value at a path that leads to one."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    inner = value_at(tree, (step,))
    member = _with(inner, rest, value)
    if isinstance(tree, dict):
        return {**tree, step: member}
    return [member if item is inner else item for item in tree]
