"""The envelope `cloudevents`: CloudEvents 1.0 in all three modes, which each record indicates.

- *binary*: the record has a header `ce_specversion`; its attributes are the headers `ce_*`, its
  value is the data.
- *structured*: the value is a JSON object with `specversion`, the attributes and `data`, or
  `data_base64`.
- *batched*: the value is an array of these. Each has its own verdict.

The data is the event; the attributes are read by `{envelope: type}`, `{envelope: subject}`.
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md;
…/formats/json-format.md)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

from agent.core.decode.batch import Batch
from agent.core.decode.envelope import Event, View
from agent.core.decode.format import Problem, UnreadableError
from agent.core.decode.single_record import tree_of
from agent.core.decode.tree import describe
from agent.core.model.events import Envelope
from agent.core.model.paths import Root
from agent.core.model.results import Reason

_PREFIX = "ce_"
_CONTENT_TYPE = "content-type"
_MODE = Root("header", f"{_PREFIX}specversion")


class CloudEvents:
    """The opener of CloudEvents."""

    names = ("specversion", "type", "source", "id", "time", "data", "data_base64")
    views = (
        View(
            (
                ((_MODE,), "absent"),
                (("specversion",), "text"),
                (("data_base64",), "absent"),
            ),
            ("data",),
        ),
        View((((_MODE,), "text"),), headers=_PREFIX),
    )

    def __init__(self, envelope: Envelope) -> None:
        pass

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The data of the event, or of each event of a batched record."""
        if batch.header(row, _MODE.name) is not None:
            return (Event(tree, dict(_headers(batch, row))),)
        if isinstance(tree, list):
            return map(_structured, tree)
        return (_structured(tree),)


def _headers(batch: Batch, row: int) -> Iterator[tuple[str, str]]:
    """The attributes of an event in binary mode."""
    for name, value in batch.headers.get(row, ()):
        if name.startswith(_PREFIX) and value is not None:
            yield name.removeprefix(_PREFIX), value.decode("utf-8", "replace")
        elif name.lower() == _CONTENT_TYPE and value is not None:
            yield "datacontenttype", value.decode("utf-8", "replace")


def _structured(tree: Any) -> Event | Problem:
    if not isinstance(tree, dict):
        return Reason.NOT_AN_OBJECT, f"expected a CloudEvent, found {describe(tree)}"
    if "specversion" not in tree:
        detail = "specversion: no CloudEvent has none, neither here nor in a header ce_specversion"
        return Reason.MISSING_FIELD, detail
    if tree.get("data_base64") is None:
        return Event(tree.get("data"), tree)
    try:
        return Event(_data(tree["data_base64"]), tree)
    except UnreadableError as cause:
        reason, detail = cause.problem
        return reason, f"data_base64: {detail}"


def _data(text: Any) -> Any:
    """The data of a base64 text, which must be JSON."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as cause:
        detail = f"expected base64, found {describe(text)}"
        raise UnreadableError((Reason.WRONG_TYPE, detail)) from cause
    return tree_of(content, None)
