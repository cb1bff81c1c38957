"""The envelope `debezium`: change events of database rows.

    {"before": {…}, "after": {…}, "source": {"ts_ms": …, "table": …}, "op": "u", "ts_ms": …}

The row is the event: `after`, or `before` of a delete; the rest is reached by `{envelope: op}`,
`{envelope: before.status}`, `{envelope: source.table}`. With a schema (`{schema, payload}`),
decimals are read as numbers (`connect`). A row as ExtractNewRecordState leaves it is an event, too;
its `__op`, `__deleted` and `__source_ts_ms` are then what the envelope says.

Operations are c (create), u (update), d (delete) and r (read, by a snapshot); which ones count is
the contract's (`Envelope.ops`). Truncations, messages and tombstones are of no row.
(https://debezium.io/documentation/reference/stable/connectors/mysql.html, Data change events;
…/transformations/event-flattening.html)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.core.decode import connect
from agent.core.decode.batch import Batch
from agent.core.decode.envelope import Event, Look, View
from agent.core.decode.format import Problem, UnreadableError
from agent.core.decode.single_record import tree_of
from agent.core.decode.tree import describe
from agent.core.model.events import Envelope
from agent.core.model.paths import Path
from agent.core.model.results import Reason

_SOURCE_PREFIX = "__source_"


class Debezium:
    """Opens change events."""

    names = (*connect.NAMES, "before", "after", "op", "source", "__op", "__deleted")

    def __init__(self, envelope: Envelope) -> None:
        self._ops = envelope.ops
        self.views = tuple(self._views())

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The row that changed."""
        is_bare = isinstance(tree, dict) and tree.get("op") is not None
        change = _payload(tree) if connect.is_enveloped(tree) and not is_bare else tree
        if change is None:
            return ()
        if not isinstance(change, dict):
            return [(Reason.NOT_AN_OBJECT, f"expected a change event, found {describe(change)}")]
        if not ("op" in change and ("after" in change or "before" in change)):
            return self._flattened(change)
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
        """A change as it is, or as a payload beside its schema; of a row as it is now, or was."""
        deletes = tuple(op for op in self._ops if op == "d")
        others = tuple(op for op in self._ops if op != "d")
        bare: tuple[tuple[Path, Look], ...] = ((("op",), "absent"), *connect.WITH_SCHEMA)
        for above, looks in (((), ()), (("payload",), bare)):
            for image, ops in (("after", others), ("before", deletes)):
                if ops:
                    change: tuple[tuple[Path, Look], ...] = (
                        ((*above, "op"), ops),
                        ((*above, image), "object"),
                    )
                    lacks = connect.DECIMALS if above else ()
                    yield View((*looks, *change), (*above, image), above, lacks=lacks)

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
    """The change with its decimals as numbers. Both images are rows of one table: where the schema
    describes one of them, it describes the other."""
    payload, schema = connect.payload_of(tree), tree["schema"]
    fields = schema.get("fields") if isinstance(schema, dict) else None
    of_images = {f.get("field"): f for f in fields or () if isinstance(f, dict)}
    for image, other in (("before", "after"), ("after", "before")):
        if isinstance(payload, dict) and image not in of_images and other in of_images:
            payload = payload | {image: connect.converted(payload.get(image), of_images[other])}
    return payload


def _row(image: Any) -> Any:
    """A row; of MongoDB it is JSON in a string."""
    if not isinstance(image, str):
        return image
    try:
        return tree_of(image.encode(), None)
    except UnreadableError:
        return image
