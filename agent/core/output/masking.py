"""The detail of a rejection, without the record's values."""

from __future__ import annotations

import re

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"(?<![\w\[.-])[-+]?\d[\w.,:+-]*")


def masked(detail: str) -> str:
    """The detail of a rejection without the record's values: `found the string "…"`."""
    return _NUMBER.sub("…", _TEXT.sub('"…"', detail))
