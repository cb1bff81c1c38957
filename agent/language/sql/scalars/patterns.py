"""`like` and regular expressions, which `re2` rewrites."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl
from sqlglot import exp

from agent.language.sql.expressions import Entry, Scope, fail, refuse_unsupported
from agent.language.sql.scalars.conditions import operand
from agent.language.sql.scalars.literals import integer_written, text_written
from agent.language.sql.scalars.re2 import (
    BadPattern,
    as_rust,
    group_count,
    replacement_as_rust,
)
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
