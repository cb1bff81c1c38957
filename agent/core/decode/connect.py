"""The envelope `connect`: what Kafka Connect's JsonConverter writes with `schemas.enable=true`.

    {"schema": {"type": "struct", "fields": […]}, "payload": {"total": "BNI=", …}}

The payload is the event. A Decimal, which is base64 of the unscaled number there, is read as the
number that it is, by the schema's scale; dates and times stay the numbers that they are
(https://docs.confluent.io/platform/current/connect/concepts.html, Converters; logical types:
org.apache.kafka.connect.data in Kafka's source).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from typing import Any

from agent.core.decode.batch import Batch
from agent.core.decode.envelope import Event, Look, View
from agent.core.decode.format import Problem
from agent.core.decode.tree import describe
from agent.core.model.events import Envelope
from agent.core.model.paths import Path
from agent.core.model.results import Reason

NAMES = ("schema", "payload", "type", "name", "field", "fields", "items", "parameters", "scale")
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
WITH_SCHEMA: tuple[tuple[Path, Look], ...] = (
    (("schema",), "object"),
    (("payload",), "object"),
)
DECIMALS = (_DECIMAL.encode(), b"\\u00")
"""What a schema has that says of a decimal, however its letters are written."""
_WIDE = Context(prec=200)
"""No number is rounded: Kafka's decimals have no limit, those that anybody sends have 38 digits."""


class ConnectEnvelope:
    """Opens records of {schema, payload}."""

    names = NAMES
    views = (View(WITH_SCHEMA, ("payload",), lacks=DECIMALS),)

    def __init__(self, envelope: Envelope) -> None:
        pass

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The payload; none where it is null, as in a tombstone."""
        if not is_enveloped(tree):
            detail = f"expected an object of `schema` and `payload`, found {describe(tree)}"
            if isinstance(tree, dict):
                detail = "payload: required by the envelope connect, but absent"
            return [(Reason.MISSING_FIELD, detail)]
        payload = payload_of(tree)
        return () if payload is None else (Event(payload, tree),)


def is_enveloped(tree: Any) -> bool:
    """Whether a record has a payload with its schema."""
    return isinstance(tree, dict) and "payload" in tree and "schema" in tree


def payload_of(tree: Mapping[str, Any]) -> Any:
    """The payload of a record, its decimals as numbers."""
    schema, payload = tree["schema"], tree["payload"]
    return converted(payload, schema) if _has_decimals(schema) else payload


def _has_decimals(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    if schema.get("name") == _DECIMAL:
        return True
    fields = schema.get("fields")
    inner = fields if isinstance(fields, list) else [schema.get("items")]
    return any(_has_decimals(of_field) for of_field in inner)


def converted(value: Any, schema: Any) -> Any:
    """A value with the numbers that its schema says are decimals."""
    if value is None or not isinstance(schema, dict):
        return value
    if schema.get("name") == _DECIMAL:
        return _decimal(value, schema.get("parameters"))
    if isinstance(value, list):
        return [converted(item, schema.get("items")) for item in value]
    fields = schema.get("fields")
    if not isinstance(value, dict) or not isinstance(fields, list):
        return value
    of_fields = {f["field"]: f for f in fields if isinstance(f, dict) and "field" in f}
    return {name: converted(item, of_fields.get(name)) for name, item in value.items()}


def decimal_of(content: bytes, scale: int) -> Decimal:
    """The number that bytes hold as big-endian two's complement, times 10^scale."""
    return Decimal(int.from_bytes(content, "big", signed=True)).scaleb(-scale, _WIDE)


def _decimal(value: Any, parameters: Any) -> Any:
    """The number of a base64 text; what is none stays as it is."""
    try:
        scale = int(parameters["scale"])
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, KeyError, TypeError, ValueError):
        return value
    return decimal_of(content, scale)
