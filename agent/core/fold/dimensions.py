"""Limits the length of dimension values: longer ones are replaced by a prefix and a digest.

A value is part of every row, frame and label of its series. The digest keeps different series
separate.
"""

from __future__ import annotations

import hashlib

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions

MAX_VALUE_BYTES = 1_024
"""The maximum length of a dimension's value in UTF-8; also stated in docs/rules.md."""
DIGEST_CHARACTERS = 32
"""Hexadecimal digits of SHA-256: 128 bits, so that no two values collide."""
_MARK = "…"
_KEPT_BYTES = MAX_VALUE_BYTES - len(_MARK.encode()) - DIGEST_CHARACTERS


def shortened(dimensions: Dimensions) -> Dimensions:
    """The dimensions with values that are too long shortened; the same object if none is."""
    if not any(_is_long(value) for value in dimensions):
        return dimensions
    return tuple(_cut(value) if _is_long(value) else value for value in dimensions)


def _is_long(value: Scalar) -> bool:
    if not isinstance(value, str) or len(value) * 4 <= MAX_VALUE_BYTES:
        return False
    return len(value.encode()) > MAX_VALUE_BYTES


def _cut(value: Scalar) -> str:
    data = str(value).encode()
    digest = hashlib.sha256(data).hexdigest()[:DIGEST_CHARACTERS]
    return data[:_KEPT_BYTES].decode(errors="ignore") + _MARK + digest
