"""The envelopes of records, by their names in rules, and the simplest two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.core.decode.batch import Batch
from agent.core.decode.cloudevents import CloudEvents
from agent.core.decode.connect import ConnectEnvelope
from agent.core.decode.debezium import Debezium
from agent.core.decode.envelope import Event, Opener, View
from agent.core.decode.format import Problem, WrongPlaceError
from agent.core.decode.tree import describe, value_at
from agent.core.model.events import Envelope, EnvelopeName
from agent.core.model.paths import Elements, path_text
from agent.core.model.results import Reason


class EventList:
    """The envelope `list`: a record with many events, which is an array or has one at a path.

    Each event has its own verdict. The record is the envelope of its events. An object instead of
    the array is one event: some producers write a list of one like this.
    """

    def __init__(self, envelope: Envelope) -> None:
        self._path = envelope.path
        self._where = path_text(envelope.path) or "the record"
        self.names = [step for step in envelope.path if isinstance(step, str)]
        self.views = [View(event=(*envelope.path, Elements()))] if envelope.path else []

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The elements of the array; none if it is absent."""
        try:
            elements = value_at(tree, self._path)
        except WrongPlaceError as cause:
            return [(Reason.WRONG_TYPE, str(cause))]
        if elements is None:
            return ()
        if isinstance(elements, dict):
            return (Event(elements, tree),)
        if not isinstance(elements, list):
            detail = f"{self._where}: expected an array of events, found {describe(elements)}"
            return [(Reason.WRONG_TYPE, detail)]
        return [Event(element, tree) for element in elements]


OPENERS: Mapping[EnvelopeName, Callable[[Envelope], Opener]] = {
    "cloudevents": CloudEvents,
    "connect": ConnectEnvelope,
    "debezium": Debezium,
    "list": EventList,
}


class NoEnvelope:
    """The opener of records that are the events themselves."""

    names = ()
    views = (View(),)

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The record itself."""
        return (Event(tree),)


def opener(envelope: Envelope | None) -> Opener:
    """The opener of a contract's records."""
    return NoEnvelope() if envelope is None else OPENERS[envelope.name](envelope)
