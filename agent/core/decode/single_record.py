"""The exact reading of single records: what is wrong with a line, in words.

Slow and thorough, for the few lines that a columnar read refuses. It gives the same verdict as the
columnar read of that line alone: the first of duplicate keys counts, integers are 64 bits wide,
numbers are finite.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from agent.core.model.plan import Contract, FieldType, Path
from agent.core.model.results import Reason

Problem = tuple[Reason, str]

MAX_DEPTH = 256
"""Levels of arrays and objects in a record. polars stops at 1024, Python's own parsers near 1000,
depending on who calls them: well below both, all of them agree."""
SHORTEST_DEEP = 2 * MAX_DEPTH
"""A record shorter than that can't be deeper than MAX_DEPTH."""

_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}",
)
_LONE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_BRACKET_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_EXPECTED: dict[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "float": "a number",
    "boolean": "true or false",
    "id": "a string or an integer",
}
_SHOWN = 60


class _WrongPlaceError(Exception):
    """A path leads through something that is no object."""


def has_lone_surrogate(line: bytes) -> bool:
    """Whether a JSON text escapes half of a surrogate pair: that is no Unicode text."""
    if b"\\ud" not in line and b"\\uD" not in line:
        return False
    return _LONE.search(_PAIR.sub(b"_", line.replace(b"\\\\", b"__"))) is not None


def is_too_deep(line: bytes) -> bool:
    """Whether arrays and objects are nested deeper than MAX_DEPTH."""
    if len(line) < SHORTEST_DEEP or line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in line:
        line = line.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(line.translate(None, _NO_STRUCTURE).split(b'"')[::2])
    steps = np.frombuffer(outside_strings.translate(_BRACKET_STEPS), dtype=np.int8)
    return bool(steps.size and int(np.cumsum(steps, dtype=np.int64).max()) > MAX_DEPTH)


def read_object(line: bytes) -> dict[str, Any] | Problem:
    """The record as an object (the first of duplicate keys counts), or why it is none."""
    problem = _unicode_problem(line) or _json_problem(line)
    if problem is not None:
        return problem
    try:
        found = json.loads(line.decode(), object_pairs_hook=_first_wins, parse_int=_integer)
    except ValueError:
        return Reason.NOT_JSON, "a number is out of range"
    if not isinstance(found, dict):
        return Reason.NOT_AN_OBJECT, f"expected an object {{…}}, found {describe(found)}"
    return found


def is_interested(contract: Contract, record: dict[str, Any]) -> bool:
    """Whether the record is of the contract's type."""
    if contract.type_path is None:
        return True
    try:
        found = value_at(record, contract.type_path)
    except _WrongPlaceError:
        return False
    return isinstance(found, str) and found == contract.type_value


def type_problem(contract: Contract, record: dict[str, Any]) -> str | None:
    """What the record has of a wrong type, in words; None if all is as the contract says."""
    wanted: list[tuple[Path, FieldType | str]] = [(f.path, f.type) for f in contract.fields]
    wanted.append((contract.time_path, "time"))
    if contract.id_path is not None:
        wanted.append((contract.id_path, "id"))
    for path, kind in wanted:
        try:
            found = value_at(record, path)
        except _WrongPlaceError as cause:
            return str(cause)
        if found is not None and not _is(kind, found):
            return f"{'.'.join(path)}: expected {_EXPECTED[kind]}, found {describe(found)}"
    return None


def is_string_at(line: bytes, path: Path, or_integer: bool) -> bool:
    """Whether a readable record has a string (or an integer) at the path."""
    key = b'"' + path[-1].encode() + b'"'
    record: Any
    if b"\\" not in line and line.count(key) == 1:
        record = msgspec.json.decode(line)  # no duplicates of that key: all parsers agree
    else:
        record = json.loads(line, object_pairs_hook=_first_wins)
    found = value_at(record, path)
    return _is("id" if or_integer else "string", found)


def all_strings(lines: Sequence[bytes], key: str) -> bool:
    """A cheap proof that every value under a key is a string, in all lines at all levels.

    False means only that it could not be proved. Without a backslash no key is spelled with
    escapes, so each `"key"` in the bytes is the key itself or a string value that equals it.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", key):
        return False
    joined = b"\n".join(lines)
    token = b'"' + key.encode() + b'"'
    if b"\\" in joined:
        return False
    strings = joined.count(token + b':"') + joined.count(token + b': "')
    return joined.count(token) == strings


def describe(value: object) -> str:
    """A JSON value in words, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        shown = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
        return f"the string {json.dumps(shown, ensure_ascii=False)}"
    shown = str(value)
    return f"the number {shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + '…'}"


def value_at(record: dict[str, Any], path: Path) -> Any:
    """The value at a path; None where it, or an object on the way, is absent or null.

    Raises _WrongPlaceError, with the reason in words, where the way leads through a non-object.
    """
    at: Any = record
    for depth, key in enumerate(path):
        if at is None:
            return None
        if not isinstance(at, dict):
            where = ".".join(path[:depth])
            raise _WrongPlaceError(f"{where}: expected an object, found {describe(at)}")
        at = at.get(key)
    return at


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind in ("boolean", "time")
    if kind == "integer":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    if kind == "id":  # 5.0 is the number 5
        return isinstance(value, str | int) or (isinstance(value, float) and value.is_integer())
    # What is no time at all is told as such, with its own reason.
    types = {"string": str, "boolean": bool, "float": int | float, "time": object}
    return isinstance(value, types[kind])


def _unicode_problem(line: bytes) -> Problem | None:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as cause:
        return Reason.NOT_UTF8, f"byte {cause.start} is not UTF-8"
    if has_lone_surrogate(line):
        repaired = _LONE.sub(rb"_", _PAIR.sub(b"_", line.replace(b"\\\\", b"__")))
        if _json_problem(repaired) is None:
            return Reason.NOT_UTF8, "an escape of half a surrogate pair, without the other half"
    return None


def _json_problem(line: bytes) -> Problem | None:
    if is_too_deep(line):
        return Reason.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels"
    try:
        msgspec.json.decode(line)
    except msgspec.ValidationError:
        return Reason.NOT_JSON, "a number is out of range"
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        if line.startswith(BOM_UTF8):
            return Reason.NOT_JSON, "a byte order mark before the JSON: write UTF-8 without one"
        return Reason.NOT_JSON, str(cause)
    return None


def _integer(digits: str) -> int:
    """An integer as wide as polars reads it. Raises ValueError beyond."""
    number = int(digits)
    if not -(2**127) <= number < 2**128:
        raise ValueError(digits)
    return number


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found
