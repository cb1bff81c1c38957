"""`like` and regular expressions. Regular expressions are translated from RE2, which DuckDB uses,
to Rust's regex crate, which polars uses.

Both are without backtracking, and mostly agree. Where they differ, the expression is rewritten:
`\\d`, `\\w`, `\\s` and `\\b` are ASCII; `\\Q…\\E` quotes; a `{` that counts nothing is a character,
and so are `[`, `&&` and `~~` in a class.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping

import polars as pl
from sqlglot import exp

from agent.language.sql.expressions import Entry, Scope, fail, refuse_unsupported
from agent.language.sql.scalars.conditions import operand
from agent.language.sql.scalars.literals import integer_written, text_written
from agent.language.sql.scalars.strings import lower, lower_text
from agent.language.sql.types import Typed


def _like(scope: Scope, node: exp.Like | exp.ILike, escape: str | None = None) -> Typed:
    pattern = node.expression
    wanted = text_written(pattern, "the pattern", "for example `x like 'abc%'`")
    value = scope.of(operand(node.this), "string")
    if isinstance(node, exp.ILike):
        value, wanted = lower(value), lower_text(wanted)
        escape = lower_text(escape) if escape else None
    if escape and len(re.sub(f"{re.escape(escape)}.", "", wanted).split(escape)) > 1:
        fail(pattern, "the pattern ends in its escape character")
    matches = value.str.contains(_regex(wanted, escape))
    return Typed(~matches if node.args.get("negate") else matches, "boolean")


def _regex(pattern: str, escape: str | None) -> str:
    """A LIKE pattern as a regular expression of the Rust regex crate."""
    out, letters = ["(?s)^"], iter(pattern)
    for letter in letters:
        if letter == escape:
            out.append(re.escape(next(letters, "")))
        else:
            out.append({"%": ".*", "_": "."}.get(letter) or re.escape(letter))
    return "".join([*out, "$"])


def _escaped(scope: Scope, node: exp.Escape) -> Typed:
    like, escape = node.this, node.expression
    if not isinstance(like, exp.Like | exp.ILike):
        refuse_unsupported(scope.text, node)
    if not (isinstance(escape, exp.Literal) and escape.is_string and len(escape.name) == 1):
        fail(
            escape,
            "the escape character has to be one character",
            r"for example `x like '10\%' escape '\'`",
        )
    return _like(scope, like, escape.name)


def _pattern(node: exp.Expression, options: exp.Expression | None, known: str = "") -> str:
    """A regular expression that is written out, for polars."""
    pattern = text_written(node, "the pattern", "for example `regexp_matches(s, '^ab')`")
    flags = "" if options is None else _options(options, "cis" + known)
    try:
        return as_rust(pattern, flags)
    except BadPattern as error:
        hint = "put a backslash before literal characters: `\\.`, `\\(`, `\\{`"
        fail(node, f"this is not a regular expression: {error}", hint)


def _options(node: exp.Expression, known: str) -> str:
    text = text_written(node, "the options", "for example 'i', without case")
    if set(text) - set(known):
        hint = "'i': without case; 's': `.` matches a line end"
        fail(node, "this option is not supported", hint)
    return text


def _regexp_matches(scope: Scope, node: exp.RegexpLike) -> Typed:
    if "start" not in node.meta:
        # DuckDB's `~` matches the whole text, that of other databases any part of it.
        fail(node, "`~` differs between databases", "write `regexp_matches(s, 'ab')`")
    pattern = _pattern(node.expression, node.args.get("flag"))
    return Typed(scope.of(node.this, "string").str.contains(pattern), "boolean")


def _regexp_full_match(scope: Scope, node: exp.RegexpFullMatch) -> Typed:
    pattern = _pattern(node.expression, node.args.get("options"))
    whole = scope.of(node.this, "string").str.contains(rf"\A(?:{pattern})\z")
    return Typed(whole, "boolean")


def _regexp_extract(scope: Scope, node: exp.RegexpExtract) -> Typed:
    """The match or one of its groups; an empty text where there is none."""
    pattern, group = _pattern(node.expression, node.args.get("parameters")), node.args.get("group")
    index = 0
    if group is not None:
        index = integer_written(group, "the group", "for example `regexp_extract(s, 'a(b)', 1)`")
        if not 0 <= index <= group_count(pattern):
            fail(group, f"the pattern has {group_count(pattern)} groups", "the whole match is 0")
    value = scope.of(node.this, "string")
    part = value.str.extract(pattern, index).fill_null("")
    return Typed(pl.when(value.is_not_null()).then(part), "string")


def _regexp_replace(scope: Scope, node: exp.RegexpReplace) -> Typed:
    """The first match, or all with the option `g`."""
    modifiers = node.args.get("modifiers")
    pattern = _pattern(node.expression, modifiers, "g")
    example = "for example `regexp_replace(s, '[0-9]+', '#', 'g')`"
    new = text_written(node.args["replacement"], "the replacement", example)
    value, text = replacement_as_rust(new), scope.of(node.this, "string")
    if modifiers is not None and "g" in modifiers.name:
        return Typed(text.str.replace_all(pattern, value), "string")
    return Typed(text.str.replace(pattern, value), "string")


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


PATTERNS: Mapping[type[exp.Expression], Entry] = {
    exp.Like: Entry("this expression negate", _like),
    exp.ILike: Entry("this expression negate", _like),
    exp.Escape: Entry("this expression", _escaped),
    exp.RegexpLike: Entry("this expression flag", _regexp_matches),
    exp.RegexpFullMatch: Entry("this expression options", _regexp_full_match),
    exp.RegexpExtract: Entry(
        "this expression group parameters null_if_pos_overflow", _regexp_extract
    ),
    exp.RegexpReplace: Entry(
        "this expression replacement modifiers single_replace", _regexp_replace
    ),
}
