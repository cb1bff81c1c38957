"""Makes text from events, rules and files safe for a terminal.

Such text may contain escape sequences that recolour or rewrite the screen, characters that reverse
the direction of what follows, or half of a surrogate pair, which cannot be encoded. These are
written as escapes (`\\x1b`, `\\u202e`), as in Python and JSON; all other characters stay.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

# Cc (C0, DEL, C1); format characters that reorder or hide text (UAX 9, "Trojan Source",
# CVE-2021-42574); line and paragraph separators; surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff]"
)
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """The text with each control character as a visible escape, line breaks included."""
    return _UNPRINTABLE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines: its line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """The lines of a table: its columns two spaces apart, those numbered in `right` to the
    right."""
    columns = []
    for number, column in enumerate(zip(*rows, strict=True)):
        width = max(map(len, column))
        columns.append([c.rjust(width) if number in right else c.ljust(width) for c in column])
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
