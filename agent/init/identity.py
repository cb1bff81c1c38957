"""Finds the id of events: a field by its name, or a position in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.model.paths import Path, Root
from agent.init.naming import snake, words_of
from agent.init.places import depth, is_header, keys_before, name_of, written
from agent.init.sample import Occurrence, Seen

IDENTIFIES = ("cloudevents",)
"""Envelopes with an id of the event."""
_DELIVERY_IDS = ("delivery", "webhook_id", "event_id", "message_id")
"""Last parts of names of headers with the id of a webhook's delivery."""
_EVENT_IDS = (
    "insert_id", "event_id", "event_uuid", "event_identifier", "message_id", "uuid", "delivery",
    "webhook_id",
)  # fmt: skip
_POSITIONS: Sequence[tuple[Path, ...]] = (
    tuple((Root("envelope"), "source", name) for name in ("file", "pos", "row")),
    ((Root("envelope"), "source", "lsn"),),
    tuple((Root("envelope"), "source", name) for name in ("scn", "commit_scn")),
    (("xid",), ("xoffset",)),
    (("kinesis", "partitionKey"), ("kinesis", "sequenceNumber")),
    (("event", "replayId"),),
)
"""Positions in the logs of databases and streams, which identify records: MySQL, PostgreSQL and
Oracle by Debezium, Maxwell, Kinesis, Salesforce."""


def id_of(seen: Mapping[Path, Seen], events: int, event: str) -> Path | None:
    """The field that identifies an event, by its name and by values that hardly repeat."""
    last = snake(event).rpartition("_")[0] or snake(event)
    own = ("id", f"{snake(event)}_id", f"{last}_id", "transaction_id", snake(event), last)
    rank = {name: i for i, name in reversed(list(enumerate((*_EVENT_IDS, *own))))}
    able = [s for s in seen.values() if _identifies(s, events, rank)]
    return min(able, key=lambda s: (rank[_id_name(s.path)], depth(s.path))).path if able else None


def _id_name(path: Path) -> str:
    """The identity-like end of a field's name: of `sg_event_id`, `event_id`."""
    name = name_of(path)
    endings = _DELIVERY_IDS if is_header(path) else ("event_id", "event_uuid")
    return next((end for end in endings if name.endswith(f"_{end}")), name)


def is_strong(path: Path) -> bool:
    """Whether a field identifies events by its name alone."""
    return _id_name(path) in _EVENT_IDS


def touched(seen: Mapping[Path, Seen], number: Path) -> Path | None:
    """The time of the last change of the entity that a number belongs to; None: there is none
    beside it."""
    words = {"updated", "modified"}
    beside = ((at, s) for at, s in seen.items() if at[:-1] == number[:-1] and s.is_time)
    return next((at for at, _ in beside if {*words_of(name_of(at))} & words), None)


def positions_of(events: Sequence[Occurrence]) -> tuple[Path, ...]:
    """The position in a log that identifies each event; empty: there is none."""
    for paths in _POSITIONS:
        positions = [tuple(event.at(path) for path in paths) for event in events]
        if positions and all(None not in values for values in positions):
            again, other = repeats(events, paths)
            if not other and again < len(events) / 2:
                return paths
    return ()


MOST_CHANGED = 0.01
"""The share of events that may repeat an identity with other values."""


def repeats(events: Sequence[Occurrence], paths: Sequence[Path]) -> tuple[int, int]:
    """How many events have the identity of an earlier one, and how many of these have other
    values."""
    first: dict[tuple[Any, ...], Any] = {}
    again = other = 0
    for event in events:
        identity = tuple(event.at(path) for path in paths)
        if not identity or None in identity:
            continue
        before = first.setdefault(identity, event)
        if before is not event:
            again += 1
            other += before.value != event.value
    return again, other


def _identifies(seen: Seen, events: int, names: Mapping[str, int]) -> bool:
    """Whether a field may be the identity; below the top only one that is named so is of the
    event."""
    name = _id_name(seen.path)
    if name not in names or written(seen.path) is None or not _is_own(seen.path):
        return False
    above = [snake(key) for key in keys_before(seen.path)[:-1]]
    of_event = name in _EVENT_IDS and name != "uuid"
    if above and not of_event and not (name == "id" and above == ["event"]):
        return False
    if seen.known != events or seen.type not in ("string", "integer"):
        return False
    return seen.distinct >= min(events, 1000) / 2


def _is_own(path: Path) -> bool:
    """Whether a field is of the event, not of its record or of an object in it."""
    return is_header(path) or (not isinstance(path[0], Root) and 0 not in path)
