"""Reads single JSON records exactly, and says in words what is wrong with them.

This is slow and thorough, for the few records that columns can't read or decide. The verdict is the
same as that of columns for this record alone: the first of duplicate keys counts, integers are 64
bits wide, numbers are finite.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from agent.core.decode.format import Kind, Problem, UnreadableError
from agent.core.decode.tree import describe, value_at
from agent.core.model.paths import Keys
from agent.core.model.results import Reason

MAX_DEPTH = 256
"""The maximum nesting of arrays and objects. polars stops at 1024, Python's parsers near 1000,
depending on the caller; below this limit, all of them have the same results."""
SHORTEST_DEEP = 2 * MAX_DEPTH
"""Shorter records can't be deeper than MAX_DEPTH."""

_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}",
)
_LONE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_BRACKET_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_EXPECTED: dict[Kind, str] = {
    "string": "a string",
    "integer": "an integer",
    "float": "a number",
    "boolean": "true or false",
    "id": "a string or an integer",
    "time": "a time",
}
_DIGITS_AS_ZEROS = bytes(48 if 48 <= byte < 58 else 32 for byte in range(256))
_DIGITS_OF_DOUBLES = 15
_WIDER_THAN_128_BITS = 39
"""The number of digits of an integer that may be wider than 128 bits."""
_CONTAINERS = frozenset((dict, list))


def has_lone_surrogate(line: bytes) -> bool:
    """Whether a JSON text escapes half of a surrogate pair, which is not Unicode text."""
    if b"\\" not in line or (b"\\ud" not in line and b"\\uD" not in line):
        return False  # searching for one byte first is five times as fast
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


def problem_of(line: bytes) -> Problem | None:
    """Why a record is not a readable JSON object; None: it is one."""
    try:
        tree = _checked_tree(line)
    except UnreadableError as cause:
        return cause.problem
    if not isinstance(tree, dict):
        return Reason.NOT_AN_OBJECT, f"expected an object {{…}}, found {describe(tree)}"
    return None


def tree_of(line: bytes, keys: Collection[bytes] | None) -> Any:
    """A JSON text as Python objects, numbers with all their digits. Of duplicate keys the first
    counts, but only for the members named in `keys` (None: for all).

    Raises UnreadableError if it is not readable JSON.
    """
    if keys is None or b"\\" in line or is_too_deep(line) or has_long_number(line):
        return _checked_tree(line)
    try:
        tree = _quick.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _checked_tree(line)
    tokens, names = _tokens(tuple(keys))
    counts = [line.count(token) for token in tokens]
    # If there are as many tokens as members, no member is duplicated.
    if max(counts, default=0) > 1 and sum(counts) != _count_members(tree, names):
        return _checked_tree(line)
    return tree


@lru_cache(maxsize=256)
def _tokens(keys: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], frozenset[str]]:
    """Keys as written in JSON, and as text."""
    return tuple(b'"' + key + b'"' for key in keys), frozenset(key.decode() for key in keys)


def _count_members(tree: Any, names: frozenset[str]) -> int:
    """The number of members in a tree with one of these names."""
    count, left = 0, [tree] if isinstance(tree, dict | list) else []
    while left:
        at = left.pop()
        if isinstance(at, dict):
            count += len(names & at.keys())
        values = at.values() if isinstance(at, dict) else at
        left += [value for value in values if type(value) in _CONTAINERS]
    return count


def _checked_tree(line: bytes) -> Any:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise UnreadableError((Reason.NOT_UTF8, f"byte {cause.start} is not UTF-8")) from cause
    is_half = has_lone_surrogate(line)
    if is_half:
        line = _LONE.sub(rb"_", _PAIR.sub(b"_", line.replace(b"\\\\", b"__")))
    problem = _json_problem(line)
    if problem is not None:
        raise UnreadableError(problem)
    try:
        tree = _loads(line)
    except (ValueError, RecursionError) as cause:
        raise UnreadableError((Reason.NOT_JSON, "a number is out of range")) from cause
    if is_half:
        raise UnreadableError(
            (Reason.NOT_UTF8, "an escape of half a surrogate pair, without the other half")
        )
    return tree


def value_in(line: bytes, path: Keys) -> Any:
    """The value at a path of a readable record; None if it, or an object on the path, is absent or
    null.

    Raises WrongPlaceError, with the reason in words, if the path leads through another value.
    """
    is_plain = b"\\" not in line and all(
        isinstance(key, str) and line.count(b'"' + key.encode() + b'"') <= 1 for key in path
    )
    if is_plain:  # without duplicate keys, parsers differ only for large numbers
        value = value_at(msgspec.json.decode(line), path)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return value
    return value_at(_loads(line), path)


def is_of_kind(kind: Kind, value: Any) -> bool:
    """Whether a value has a kind. Any value has the kind "time": values that are not times are
    rejected with a reason of their own."""
    if isinstance(value, bool):
        return kind in ("boolean", "time")
    if kind == "integer":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    if kind == "id":  # 5.0 is the number 5
        return isinstance(value, str | int) or _is_whole(value)
    types = {"string": str, "boolean": bool, "float": int | float | Decimal, "time": object}
    return isinstance(value, types[kind])


def _is_whole(value: Any) -> bool:
    return isinstance(value, float | Decimal) and value == int(value)


def expected(kind: Kind) -> str:
    """A kind in words."""
    return _EXPECTED[kind]


def all_strings(lines: Sequence[bytes], key: str) -> bool:
    """A cheap proof that every value of a key is a string, in all lines and at all levels.

    False means only that it is not proven. Without backslashes no key has escapes, so each `"key"`
    in the bytes is the key itself or an equal string value.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", key):
        return False
    joined = b"\n".join(lines)
    token = b'"' + key.encode() + b'"'
    if b"\\" in joined:
        return False
    strings = joined.count(token + b':"') + joined.count(token + b': "')
    return joined.count(token) == strings


def has_long_number(line: bytes, digits: int = _WIDER_THAN_128_BITS) -> bool:
    """Whether there is a sequence of at least this many digits."""
    return b"0" * digits in line.translate(_DIGITS_AS_ZEROS)


def _loads(line: bytes) -> Any:
    decoder = _careful if has_long_number(line) else _plain
    return decoder.decode(line.decode())


def _json_problem(line: bytes) -> Problem | None:
    if is_too_deep(line):
        return Reason.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels"
    try:
        msgspec.json.decode(line)
    except msgspec.ValidationError:
        return Reason.NOT_JSON, "a number is out of range"
    except (msgspec.MsgspecError, ValueError, RecursionError) as cause:
        if line.startswith(BOM_UTF8):
            return Reason.NOT_JSON, "a byte order mark before the JSON: write UTF-8 without one"
        return Reason.NOT_JSON, str(cause)
    return None


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    return dict(reversed(pairs))


def _integer(digits: str) -> int:
    """An integer within the range that polars reads. Raises ValueError otherwise."""
    number = int(digits)
    if not -(2**127) <= number < 2**128:
        raise ValueError(digits)
    return number


def _fraction(text: str) -> float | Decimal:
    """A number with a point or exponent: a Decimal if a double lacks some of its digits. An
    exponent is left to doubles: it could stand for a billion digits. Raises ValueError for numbers
    beyond doubles."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    if len(text) <= _DIGITS_OF_DOUBLES or "e" in text or "E" in text:
        return number
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact


_quick = msgspec.json.Decoder(float_hook=_fraction)
_plain = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_fraction)
_careful = json.JSONDecoder(
    object_pairs_hook=_first_wins, parse_float=_fraction, parse_int=_integer
)
