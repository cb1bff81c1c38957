"""Decodes strings in an event that contain encoded JSON or a number, and replaces them.

`decode: {message.data: base64 gzip json}` lists the encodings, the outermost first; `base64
decimal(2)` is a decimal as Kafka Connect writes it without its schema. A string decompresses to at
most `MOST_BYTES`.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from agent.core.decode.connect import decimal_of
from agent.core.decode.format import UnreadableError, WrongPlaceError
from agent.core.decode.single_record import tree_of
from agent.core.decode.tree import describe, value_at
from agent.core.model.events import InnerText
from agent.core.model.paths import Path, path_text
from agent.core.model.results import Reason

MOST_BYTES = 16 * 1024 * 1024
"""The limit of decompressed strings: a megabyte may decompress to a gigabyte."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def decode_inner(tree: Any, inner: InnerText) -> Any:
    """The event with a string decoded. Without a string at the path, the event stays the same, as
    producers may send both.

    Raises UnreadableError if the string can't be decoded.
    """
    try:
        value = value_at(tree, inner.path)
    except WrongPlaceError:
        return tree
    if not isinstance(value, str):
        return tree
    content = value.encode()
    where = path_text(inner.path)
    for coding in inner.codings[:-1]:
        try:
            content = _DECODE[coding](content)
        except (binascii.Error, zlib.error, ValueError) as cause:
            detail = f"{where}: expected {coding}, found {describe(value)}"
            raise UnreadableError((Reason.WRONG_TYPE, detail)) from cause
    if inner.codings[-1] == "decimal":
        return _put(tree, inner.path, decimal_of(content, inner.scale))
    try:
        return _put(tree, inner.path, tree_of(content, None))
    except UnreadableError as cause:
        reason, detail = cause.problem
        raise UnreadableError((reason, f"{where}: {detail}")) from cause


def _base64(content: bytes) -> bytes:
    """Decode base64 in either alphabet, with or without padding."""
    standard = content.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)


def _unzip(content: bytes) -> bytes:
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    unpacked = unpacking.decompress(content, MOST_BYTES)
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError("cut off, or too large")
    return unpacked


_DECODE: Mapping[str, Callable[[bytes], bytes]] = {
    "base64": _base64,
    "gzip": _unzip,
}


def _put(tree: Any, path: Path, value: Any) -> Any:
    """A copy of a tree with the value at an existing path replaced."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return {**tree, step: _put(tree[step], rest, value)}
    items = list(tree)
    index = step if isinstance(step, int) else items.index(value_at(items, (step,)))
    items[index] = _put(items[index], rest, value)
    return items
