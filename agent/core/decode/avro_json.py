"""Converts Avro records to equivalent JSON.

Records, maps, arrays, text, numbers, booleans and null are the same in JSON. An enum becomes its
symbol, bytes base64, a decimal a number with all of its digits, a UUID its usual text, a date
`2024-05-01`; NaN and the infinities become null. A timestamp stays a number if `event_time` reads
that number as the same time, otherwise it becomes ISO 8601; a local timestamp becomes ISO 8601
without a zone. The time of day stays a number.

This reads single records exactly, with fastavro. `avro_values` does the same for columns.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro
from fastavro.read import LOGICAL_READERS

from agent.core.decode.avro_schema import (
    OWN,
    TIMESTAMPS,
    AvroSchema,
    AvroType,
)
from agent.core.decode.codec import BodyError
from agent.core.decode.schema_times import day, timestamp


def read_avro(schema: AvroSchema, body: bytes) -> Any:
    """A record, or a single value, without framing as the equivalent JSON. Raises BodyError."""
    stream = BytesIO(body)
    try:
        read: Any = fastavro.schemaless_reader(stream, schema.parsed, None)
    except EOFError as cause:
        raise BodyError("the record ends before its schema does", is_cut=True) from cause
    except UnicodeDecodeError as cause:
        raise BodyError("a string is not UTF-8") from cause
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as cause:
        raise BodyError("a union or an enum has no such branch or symbol") from cause
    except RecursionError as cause:
        raise BodyError("nested too deep") from cause
    if stream.tell() != len(body):
        left = len(body) - stream.tell()
        raise BodyError(f"{left} bytes are left where the schema ends")
    if schema.has_aliases:
        _add_aliases(read, schema.root)
    return json_value(read)


def _add_aliases(value: Any, type: AvroType) -> None:
    """Add the aliases of fields as members."""
    if type.kind == "record" and isinstance(value, dict):
        for field in type.fields:
            if field.name in value:
                _add_aliases(value[field.name], field.type)
        for field in type.fields:
            for alias in field.aliases:
                value.setdefault(alias, value.get(field.name))
    elif type.kind == "union":
        for branch in type.branches:
            if branch.kind != "record" or _is_of(value, branch):
                _add_aliases(value, branch)
    elif type.items is not None and isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _add_aliases(item, type.items)


def _is_of(value: Any, type: AvroType) -> bool:
    """Whether a value of a union is a record of a branch."""
    return isinstance(value, dict) and value.keys() == {field.name for field in type.fields}


def json_value(value: Any) -> Any:
    """A value that fastavro has read, as JSON."""
    if isinstance(value, dict):
        return {key: json_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [json_value(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _decimal(data: bytes, schema: Any, *_: Any) -> Decimal | int | str:
    unscaled = int.from_bytes(data, "big", signed=True)
    return decimal(unscaled, int(schema.get("scale", 0)))


def decimal(unscaled: int, scale: int) -> Decimal | int | str:
    """A decimal as JSON: whole numbers as integers; numbers of more than 128 bits, which fit no
    field of a contract, as text."""
    fits = -(2**127) <= unscaled < 2**127
    if fits and scale == 0:
        return unscaled
    number = Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))
    return number if fits else format(number, "f")


def _reader_of(units_per_second: int, *, is_local: bool) -> Callable[..., int | str]:
    return lambda count, *_: timestamp(count, units_per_second, is_local=is_local)


LOGICAL_READERS.update(
    {
        f"bytes-{OWN}decimal": _decimal,
        f"fixed-{OWN}decimal": _decimal,
        f"fixed-{OWN}uuid": lambda data, *_: str(UUID(bytes=data)),
        f"int-{OWN}date": lambda days, *_: day(days),
    }
)
for _name, _units in TIMESTAMPS.items():
    LOGICAL_READERS[f"long-{OWN}{_name}"] = _reader_of(_units, is_local=False)
    LOGICAL_READERS[f"long-{OWN}local-{_name}"] = _reader_of(_units, is_local=True)
