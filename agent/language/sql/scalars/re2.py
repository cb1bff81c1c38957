"""Translates regular expressions from RE2, which DuckDB uses, to Rust's regex crate, which polars
uses.

Both are without backtracking, and mostly agree. Where they differ, the expression is rewritten:
`\\d`, `\\w`, `\\s` and `\\b` are ASCII; `\\Q…\\E` quotes; a `{` that counts nothing is a character,
and so are `[`, `&&` and `~~` in a class.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

import polars as pl

_CLASSES = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "s": r"[\t\n\f\r ]",
    "S": r"[^\t\n\f\r ]",
    "w": "[0-9A-Za-z_]",
    "W": "[^0-9A-Za-z_]",
}
_OUTSIDE = {**_CLASSES, "b": r"(?-u:\b)", "<": "<", ">": ">"}
_TOKEN = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|\Z)|\\(?P<escaped>.)|(?P<open>\[\^?\]?)|"
    r"(?P<brace>\{)(?!\d+(?:,\d*)?\})|(?P<plain>.)",
    re.DOTALL,
)
_IN_CLASS = re.compile(
    r"(?P<posix>\[:\^?\w+:\])|\\(?P<escaped>.)|(?P<close>\])|(?P<plain>.)", re.DOTALL
)


class BadPattern(ValueError):
    """A pattern that is not a valid regular expression; its text says why."""


def as_rust(pattern: str, options: str = "") -> str:
    """The pattern for polars; `options`: `i` without case, `s` where `.` is a line end too.

    Raises BadPattern.
    """
    flags = "".join(flag for flag in "is" if flag in options)
    rust = (f"(?{flags})" if flags else "") + "".join(_rewritten(pattern))
    try:
        pl.select(pl.lit("").str.contains(rust))
    except pl.exceptions.ComputeError as error:
        reason = re.search(r"^error: (.*)$", str(error), re.MULTILINE)
        raise BadPattern(reason[1] if reason else "too large") from error
    return rust


def group_count(rust: str) -> int:
    """How many groups a valid pattern has."""
    return len(pl.select(pl.lit("").str.extract_groups(rust)).to_series().struct.fields)


def replacement_as_rust(text: str) -> str:
    r"""What replaces a match: `\1` for a group and `\\` for a backslash; `$` is a character."""

    def rewritten(match: re.Match[str]) -> str:
        if match[0] == "$":
            return "$$"
        return f"${{{match[1]}}}" if match[1].isdigit() else match[1]

    return re.sub(r"\$|\\([0-9\\])", rewritten, text)


def _rewritten(pattern: str) -> Iterator[str]:
    at = 0
    while match := _TOKEN.match(pattern, at):
        at = match.end()
        if match["quoted"] is not None:
            yield re.escape(match["quoted"])
        elif match["escaped"] is not None:
            yield _OUTSIDE.get(match["escaped"], match[0])
        elif match["open"] is not None:
            yield match["open"].replace("]", r"\]")
            at = yield from _class(pattern, at)
        else:
            yield r"\{" if match["brace"] else match[0]


def _class(pattern: str, at: int) -> Generator[str, None, int]:
    """The inside of a class, up to its end; returns the position after it."""
    while match := _IN_CLASS.match(pattern, at):
        at = match.end()
        if match["escaped"] is not None:
            yield _CLASSES.get(match["escaped"], match[0])
        elif match["plain"] in ("[", "&", "~"):
            yield "\\" + match[0]
        else:
            yield match[0]
        if match["close"] is not None:
            break
    return at
