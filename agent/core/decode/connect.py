"""The envelope `connect`: what Kafka Connect's JsonConverter writes with `schemas.enable=true`.

    {"schema": {"type": "struct", "fields": […]}, "payload": {"total": "BNI=", …}}

The payload is the event. A Decimal, which is written as base64 of the unscaled number, is read as a
number with the schema's scale; dates and times are numbers that know their unit (`schema_times`)
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
from agent.core.decode.envelope import Event, PathCondition, View
from agent.core.decode.format import Problem
from agent.core.decode.schema_times import UNITS, SchemaTime, fields_of
from agent.core.decode.tree import describe
from agent.core.model.events import Envelope
from agent.core.model.paths import Path
from agent.core.model.results import Reason

NAMES = ("schema", "payload", "type", "name", "field", "fields", "items", "parameters", "scale")
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
WITH_SCHEMA: tuple[tuple[Path, PathCondition], ...] = (
    (("schema",), "object"),
    (("payload",), "object"),
)
DECIMALS = (_DECIMAL.encode(), b"\\u00")
"""A schema with a decimal contains one of these, even if letters are escaped."""
_WIDE = Context(prec=200)
"""Wide enough that no number is rounded: decimals in Kafka have no limit, usually 38 digits."""


class ConnectEnvelope:
    """The opener of records of {schema, payload}."""

    names = NAMES
    views = (View(WITH_SCHEMA, ("payload",), lacks=DECIMALS, has_schema=True),)

    def __init__(self, envelope: Envelope) -> None:
        pass

    def open(self, batch: Batch, row: int, tree: Any) -> Iterable[Event | Problem]:
        """The payload; no event if it is null, as in a tombstone."""
        if not is_enveloped(tree):
            detail = f"expected an object of `schema` and `payload`, found {describe(tree)}"
            if isinstance(tree, dict):
                detail = "payload: required by the envelope connect, but absent"
            return [(Reason.MISSING_FIELD, detail)]
        payload = payload_of(tree)
        return () if payload is None else (Event(payload, tree),)


def is_enveloped(tree: Any) -> bool:
    """Whether a record has a payload and its schema."""
    return isinstance(tree, dict) and "payload" in tree and "schema" in tree


def payload_of(tree: Mapping[str, Any]) -> Any:
    """The payload of a record, with the logical types of its schema."""
    schema, payload = tree["schema"], tree["payload"]
    return converted(payload, schema) if _has_logical(schema) else payload


def _has_logical(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    if (name := schema.get("name")) == _DECIMAL or (isinstance(name, str) and name in UNITS):
        return True
    fields = schema.get("fields")
    inner = fields if isinstance(fields, list) else [schema.get("items")]
    return any(_has_logical(of_field) for of_field in inner)


def converted(value: Any, schema: Any) -> Any:
    """A value with the decimals of its schema as numbers, and its times with their units."""
    if value is None or not isinstance(schema, dict):
        return value
    if (name := schema.get("name")) == _DECIMAL:
        return _decimal(value, schema.get("parameters"))
    if isinstance(name, str) and name in UNITS and type(value) is int:
        return SchemaTime.of(value, name)
    if isinstance(value, list):
        return [converted(item, schema.get("items")) for item in value]
    fields = fields_of(schema)
    if not isinstance(value, dict) or not fields:
        return value
    return {name: converted(item, fields.get(name)) for name, item in value.items()}


def decimal_of(content: bytes, scale: int) -> Decimal:
    """A decimal from its unscaled number (big-endian two's complement) and its scale."""
    return Decimal(int.from_bytes(content, "big", signed=True)).scaleb(-scale, _WIDE)


def _decimal(value: Any, parameters: Any) -> Any:
    """The number of a base64 text; other values stay the same."""
    try:
        scale = int(parameters["scale"])
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, KeyError, TypeError, ValueError):
        return value
    return decimal_of(content, scale)
