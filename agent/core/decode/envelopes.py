"""The envelopes of records, by their names in rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.core.decode.batch import Batch
from agent.core.decode.cloudevents import CloudEvents
from agent.core.decode.connect import ConnectEnvelope
from agent.core.decode.debezium import Debezium
from agent.core.decode.envelope import Event, Opener, View
from agent.core.decode.event_list import EventList
from agent.core.decode.format import Problem
from agent.core.model.events import Envelope, EnvelopeName

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
