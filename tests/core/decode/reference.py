"""What the decoder should say of one record, worked out with nothing but Python's own JSON parser.

Slow and plain, and none of the decoder's code but the reading of times. The fuzz holds the columns
against it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from agent.core.decode.time_text import parse_time
from agent.core.model.events import Contract, Field
from agent.core.model.paths import Elements, Path, Root

DEEPEST = 256
PARTITION = 3
_ELEMENT = "the element"


class BadRecordError(Exception):
    """The record, or what a contract reads of it, is not as it should be: the reason."""


class _ElsewhereError(Exception):
    """A path leads through something that is no object."""


def verdict(contracts: Sequence[Contract], value: bytes | None, timestamp_ms: int) -> Any:
    """'empty', 'ignored', or by contract its row as a dict, or the reason of the rejection."""
    if value is None or not value or value.isspace():
        return "empty"
    most = max(c.max_bytes for c in contracts)
    try:
        if len(value) > most:
            raise BadRecordError("too_large")
        record = _record(value)
    except BadRecordError as reason:
        return {None if len(contracts) > 1 else contracts[0].name: str(reason)}
    by_contract: dict[str | None, Any] = {}
    for contract in contracts:
        if not _is_of(contract, record):
            continue
        try:
            if contract.each is not None:
                lines = _lines(contract, record, len(value), timestamp_ms)
                by_contract |= {contract.name: lines} if lines else {}
                if not lines and len(contracts) == 1:
                    return "empty"
                continue
            by_contract[contract.name] = _row(contract, record, len(value), timestamp_ms)
        except BadRecordError as reason:
            by_contract[contract.name] = str(reason) if contract.each is None else "rejected"
    return by_contract or "ignored"


def _lines(
    contract: Contract, record: dict[str, Any], size: int, timestamp_ms: int
) -> list[dict[str, Any]]:
    """A row for each element of the array that a contract is about; an event is as its worst."""
    elements = _at(record, contract.each or ())
    if elements is None:
        return []
    if not isinstance(elements, list) or size > contract.max_bytes:
        raise BadRecordError("wrong_type")
    begin = (*(contract.each or ()), Elements())
    rows = []
    for index, element in enumerate(elements):
        line = {**record, _ELEMENT: element}
        fields = tuple(
            replace(f, path=(_ELEMENT, *f.path[len(begin) :]))
            if f.path[: len(begin)] == begin
            else f
            for f in contract.fields
        )
        row = _row(replace(contract, fields=fields, each=None), line, size, timestamp_ms)
        rows.append(row | {"_id": row["_id"] and f"{row['_id']}\x1f {index}"})
    wrong = sorted({name for row in rows for name in row["wrong"]})
    return [row | {"wrong": wrong} for row in rows]


def _record(value: bytes) -> dict[str, Any]:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRecordError("not_utf8") from None
    try:
        parsed = json.loads(
            text,
            object_pairs_hook=_first_wins,
            parse_constant=_refused,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except (ValueError, RecursionError):
        raise BadRecordError("not_json") from None
    if _depth(parsed) > DEEPEST:
        raise BadRecordError("not_json")
    if any("\ud800" <= letter <= "\udfff" for text in _texts(parsed) for letter in text):
        raise BadRecordError("not_utf8")
    if not isinstance(parsed, dict):
        raise BadRecordError("not_an_object")
    return parsed


class _Object(dict[str, Any]):
    """An object with the texts of all of its pairs, those of repeated keys as well."""

    pairs: list[tuple[str, Any]]


def _first_wins(pairs: list[tuple[str, Any]]) -> _Object:
    members = _Object(reversed(pairs))
    members.pairs = pairs
    return members


def _refused(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(text)
    return number


def _bounded(text: str) -> int:
    if not -(2**127) <= (number := int(text)) < 2**128:
        raise ValueError(text)
    return number


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        deepest += 1
        level = [inner for v in level for inner in _inside(v)]
    return deepest


def _inside(value: Any) -> list[Any]:
    return [v for _, v in value.pairs] if isinstance(value, _Object) else list(value)


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        at = left.pop()
        if isinstance(at, str):
            yield at
        elif isinstance(at, _Object):
            yield from (key for key, _ in at.pairs)
            left += [v for _, v in at.pairs]
        elif isinstance(at, list):
            left += at


def _at(record: Any, path: Path) -> Any:
    if path == (Root("partition"),):
        return PARTITION
    for key in path:
        if record is None:
            return None
        if not isinstance(record, dict):
            raise _ElsewhereError
        record = record.get(key)
    return record


def _text(value: Any) -> str | None:
    """A value as text: numbers as their shortest decimals."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    return value if isinstance(value, str) else None


def _is_of(contract: Contract, record: dict[str, Any]) -> bool:
    if contract.type_path is None:
        return True
    try:
        return _text(_at(record, contract.type_path)) == contract.type_value
    except _ElsewhereError:
        return False


def _row(
    contract: Contract, record: dict[str, Any], size: int, timestamp_ms: int
) -> dict[str, Any]:
    if size > contract.max_bytes:
        raise BadRecordError("too_large")
    row: dict[str, Any] = {}
    wrong = []
    for field in contract.fields:
        try:
            row[field.name] = _of_type(field, _at(record, field.path))
        except (_ElsewhereError, ValueError):
            if field.required or field.path in (contract.times[0].path, *contract.ids):
                raise BadRecordError("wrong_type") from None
            row[field.name] = None
            wrong.append(field.name)
    try:
        raw_time = _at(record, contract.times[0].path)
        raw_id = _at(record, contract.ids[0]) if contract.ids else None
    except _ElsewhereError:
        raise BadRecordError("wrong_type") from None
    row["_id"] = _id(raw_id)
    for field in contract.fields:
        if field.required and row[field.name] is None:
            raise BadRecordError("missing_field")
    row["_time"] = _time(contract, raw_time, timestamp_ms)
    for field in contract.fields:
        value = row[field.name]
        if value is None:
            continue
        if field.minimum is not None and value < field.minimum:
            raise BadRecordError("out_of_bounds")
        if field.maximum is not None and value > field.maximum:
            raise BadRecordError("out_of_bounds")
    return row | {"wrong": sorted(wrong)}


def _of_type(field: Field, value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": is_number and isinstance(value, int) and -(2**63) <= value < 2**63,
        "float": is_number,
    }
    if value is not None and not fits[field.type]:
        raise ValueError(value)
    return float(value) if value is not None and field.type == "float" else value


def _id(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return _text(value)
    if isinstance(value, bool | float | dict | list):
        raise BadRecordError("wrong_type")
    return _text(value) or None


def _time(contract: Contract, value: Any, timestamp_ms: int) -> int:
    if value is None:
        raise BadRecordError("no_time")
    text = _text(value)
    ms = None if text is None else parse_time(text, contract.timezone)
    if ms is None:
        raise BadRecordError("bad_time")
    if ms - timestamp_ms > contract.max_future_ms:
        raise BadRecordError("future_time")
    return ms
