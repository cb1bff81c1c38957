"""The envelope `debezium`: change events of database rows.

    {"before": {…}, "after": {…}, "source": {"ts_ms": …, "table": …}, "op": "u", "ts_ms": …}

The row is the event: `after`, or `before` for a delete; the rest is read by `{envelope: op}`,
`{envelope: before.status}`, `{envelope: source.table}`. With a schema (`{schema, payload}`),
decimals and times are read by it (`connect`). A row that ExtractNewRecordState has flattened is an
event, too, with `__op`, `__deleted` and `__source_ts_ms` as its envelope.

Operations are c (create), u (update), d (delete) and r (read, by a snapshot); the contract selects
those that count (`Envelope.ops`). Tombstones and Debezium's messages without a row are no events:
truncations and logical messages (t and m), schema changes, borders of transactions, heartbeats.
(https://debezium.io/documentation/reference/stable/connectors/mysql.html, Data change events,
Schema change topic, Transaction metadata; …/postgresql.html, Message events;
…/transformations/event-flattening.html)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.core.decode import connect
from agent.core.decode.batch import Batch
from agent.core.decode.envelope import Event, PathCondition, View
from agent.core.decode.format import Problem, UnreadableError
from agent.core.decode.schema_times import fields_of
from agent.core.decode.single_record import tree_of
from agent.core.decode.tree import describe
from agent.core.model.events import Envelope
from agent.core.model.paths import Path
from agent.core.model.results import Reason

_SOURCE_PREFIX = "__source_"
_OPS_WITHOUT_ROW = ("t", "m")
_OF_SCHEMA_CHANGE = ("source", "databaseName", "ddl")
_OF_TRANSACTION = ("status", "id", "event_count", "data_collections")


class Debezium:
    """The opener of change events."""

    names = (
        *(*connect.NAMES, "before", "after", "op", "__op", "__deleted"),
        *(*_OF_SCHEMA_CHANGE, *_OF_TRANSACTION),
    )

    def __init__(self, envelope: Envelope) -> None:
        self._ops = envelope.ops
        self.views = tuple(self._views())

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The changed row, if its operation counts."""
        is_bare = isinstance(tree, dict) and tree.get("op") is not None
        change = _payload(tree) if connect.is_enveloped(tree) and not is_bare else tree
        if change is None:
            return ()
        if not isinstance(change, dict):
            return [(Reason.NOT_AN_OBJECT, f"expected a change event, found {describe(change)}")]
        if not ("op" in change and ("after" in change or "before" in change)):
            return () if _has_no_row(change) else self._flattened(change)
        op = change["op"]
        if op not in self._ops:
            return ()
        image = "before" if op == "d" else "after"
        value = _row(change.get(image))
        if not isinstance(value, dict):
            detail = f"{image}: expected a row, found {describe(value)}"
            return [(Reason.WRONG_TYPE, detail)]
        return (Event(value, change),)

    def _views(self) -> Iterator[View]:
        """The views of change events, with and without a schema, for `after` and `before`."""
        deletes = tuple(op for op in self._ops if op == "d")
        others = tuple(op for op in self._ops if op != "d")
        bare: tuple[tuple[Path, PathCondition], ...] = ((("op",), "absent"), *connect.WITH_SCHEMA)
        for prefix, conditions in (((), ()), (("payload",), bare)):
            for image, ops in (("after", others), ("before", deletes)):
                if ops:
                    change: tuple[tuple[Path, PathCondition], ...] = (
                        ((*prefix, "op"), ops),
                        ((*prefix, image), "object"),
                    )
                    yield View(
                        (*conditions, *change),
                        (*prefix, image),
                        prefix,
                        lacks=connect.DECIMALS if prefix else (),
                        has_schema=bool(prefix),
                    )

    def _flattened(self, row: Mapping[str, Any]) -> Iterable[Event | Problem]:
        op = row.get("__op")
        if row.get("__deleted") in (True, "true"):
            op = "d"
        if op is not None and op not in self._ops:
            return ()
        source = {
            name.removeprefix(_SOURCE_PREFIX): value
            for name, value in row.items()
            if name.startswith(_SOURCE_PREFIX)
        }
        return (Event(row, {"op": op, "source": source, "ts_ms": row.get("__ts_ms")}),)


def _payload(tree: Mapping[str, Any]) -> Any:
    """The change, with the logical types of its schema. Both images are rows of one table, so if
    the schema describes only one of them, it is used for both."""
    payload, of_images = connect.payload_of(tree), fields_of(tree["schema"])
    for image, other in (("before", "after"), ("after", "before")):
        if isinstance(payload, dict) and image not in of_images and other in of_images:
            payload = payload | {image: connect.converted(payload.get(image), of_images[other])}
    return payload


def _has_no_row(message: Mapping[str, Any]) -> bool:
    """Whether it is one of Debezium's messages that are not about a row. A flattened row may have
    columns of the same names, so more than one of them must fit."""
    if message.keys() == {"ts_ms"}:  # a heartbeat
        return True
    if message.get("op") in _OPS_WITHOUT_ROW or all(n in message for n in _OF_SCHEMA_CHANGE):
        return isinstance(message.get("source"), dict)
    is_border = message.get("status") in ("BEGIN", "END")
    return is_border and all(name in message for name in _OF_TRANSACTION)


def _row(image: Any) -> Any:
    """A row; for MongoDB it is JSON in a string."""
    if not isinstance(image, str):
        return image
    try:
        return tree_of(image.encode(), None)
    except UnreadableError:
        return image
