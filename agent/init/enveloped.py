"""Which envelope the records of a sample have, and the events in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.core.decode.codec import batch_of
from agent.core.decode.connect import is_enveloped
from agent.core.decode.envelope import Event
from agent.core.decode.envelopes import opener
from agent.core.model.events import Envelope, EnvelopeName

MOST = 0.9
"""An envelope is one where so large a share of the records is as it says."""
_SAYS_TYPE = "cloudevents"
_SAYS_TIME: Mapping[str, tuple[str, ...]] = {
    "cloudevents": ("time",),
    "debezium": ("source", "ts_ms"),
}
"""Where an envelope says when its event happened."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The events of a sample. `types` and `times` are what the envelope says of each; empty where
    it says none."""

    envelope: EnvelopeName | None
    events: Sequence[dict[str, Any]]
    types: Sequence[Any] = field(default_factory=tuple)
    times: Sequence[Any] = field(default_factory=tuple)


def read(lines: Iterable[bytes]) -> Sample:
    """The events of records; what can't be read is left out."""
    records = [tree for line in lines if (tree := _tree(line)) is not None]
    envelope = _envelope_of(records)
    opened = _events(envelope, records)
    said = [_said(envelope, event.around) for event in opened]
    return Sample(
        envelope,
        [event.value for event in opened],
        [type for type, _ in said] if envelope == _SAYS_TYPE else (),
        [time for _, time in said] if envelope in _SAYS_TIME else (),
    )


def _tree(line: bytes) -> Any:
    try:
        tree = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict | list) else None


def _events(envelope: EnvelopeName | None, records: Sequence[Any]) -> list[Event]:
    """The events of records that are objects."""
    opens, no_headers = opener(Envelope(envelope) if envelope else None), batch_of([b""])
    return [
        event
        for tree in records
        for event in opens.open(no_headers, 0, tree)
        if isinstance(event, Event) and isinstance(event.value, dict)
    ]


def _said(envelope: EnvelopeName | None, around: Any) -> tuple[Any, Any]:
    """The type and the time that an envelope says."""
    time = around
    for step in _SAYS_TIME.get(envelope or "", ()):
        time = time.get(step) if isinstance(time, dict) else None
    return (around.get("type") if isinstance(around, dict) else None), time


def _envelope_of(records: Sequence[Any]) -> EnvelopeName | None:
    for name, is_one in _SIGNS.items():
        if records and sum(map(is_one, records)) >= MOST * len(records):
            return name
    return None


def _is_cloudevent(tree: Any) -> bool:
    if isinstance(tree, list):
        return bool(tree) and all(map(_is_cloudevent, tree))
    return isinstance(tree, dict) and {"specversion", "type", "source"} <= tree.keys()


def _is_change(tree: Any) -> bool:
    change = tree["payload"] if isinstance(tree, dict) and is_enveloped(tree) else tree
    if change is None:
        return False
    return isinstance(change, dict) and {"op", "source"} <= change.keys()


_SIGNS: Mapping[EnvelopeName, Callable[[Any], bool]] = {
    "cloudevents": _is_cloudevent,
    "debezium": _is_change,
    "connect": lambda tree: isinstance(tree, dict) and is_enveloped(tree),
    "list": lambda tree: isinstance(tree, list),
}
"""What the records of each envelope have, the most special first."""
