"""The functions of strings and lists. Lengths and positions in strings are in characters (code
points)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import polars as pl
from sqlglot import exp

from agent.core.model.events import FieldType
from agent.language.sql.expressions import Entry, Scope, fail
from agent.language.sql.scalars.literals import integer_written, text_written
from agent.language.sql.types import Typed, words

# What DuckDB's trim takes off: Unicode's space separators (category Zs), not tabs or line ends.
_SPACES = " \u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def lower(text: pl.Expr) -> pl.Expr:
    """Lower case letter by letter. A sigma at the end of a word, and the dotted capital I, are the
    only letters of which `to_lowercase` makes something else."""
    return text.str.replace_many(["Σ", "İ"], ["σ", "i"]).str.to_lowercase()


def lower_text(text: str) -> str:
    """What `lower` makes of a text."""
    return str(pl.select(lower(pl.lit(text, dtype=pl.String))).item())


def _of_string(
    apply: Callable[[pl.Expr], pl.Expr], type_: FieldType, scope: Scope, node: exp.Func
) -> Typed:
    return Typed(apply(scope.of(node.this, "string")), type_)


def _two_strings(apply: Callable[..., pl.Expr], scope: Scope, node: exp.Func) -> Typed:
    a, b = scope.of(node.this, "string"), scope.of(node.args["expression"], "string")
    return Typed(apply(a, b), "boolean")


def _joined(scope: Scope, node: exp.DPipe) -> Typed:
    both = [scope.of(node.this, "string"), scope.of(node.expression, "string")]
    return Typed(pl.concat_str(both), "string")


def _concat(scope: Scope, node: exp.Concat) -> Typed:
    parts = [scope.of(each, "string") for each in node.expressions]
    return Typed(pl.concat_str(parts, ignore_nulls=True), "string")


def _concat_ws(scope: Scope, node: exp.ConcatWs) -> Typed:
    separator, *others = node.expressions
    between = text_written(separator, "the separator", "for example `concat_ws(' ', s, t)`")
    parts = [scope.of(each, "string") for each in others]
    return Typed(pl.concat_str(parts, separator=between, ignore_nulls=True), "string")


def _substring(scope: Scope, node: exp.Substring) -> Typed:
    """Characters from a start on: 1 is the first, -1 the last, 0 one before the first."""
    value, example = scope.of(node.this, "string"), "for example `substring(s, 1, 2)`"
    start = integer_written(node.args["start"], "the start", example)
    length: int | None = None
    if node.args.get("length") is not None:
        length = integer_written(node.args["length"], "the length", example)
        if length < 0:
            fail(node.args["length"], "the length has to be 0 or more", example)
    # What lies before the first character takes its part of the length, and has none.
    begin = pl.lit(start - 1) if start >= 0 else value.str.len_chars().cast(pl.Int64) + start
    count = None if length is None else (begin.clip(upper_bound=0) + length).clip(lower_bound=0)
    return Typed(value.str.slice(begin.clip(lower_bound=0), count), "string")


def _end(apply: Callable[..., pl.Expr], name: str, scope: Scope, node: exp.Func) -> Typed:
    """The first or last characters; a negative number leaves so many out at the other end."""
    count = integer_written(node.expression, "the number", f"for example `{name}(s, 2)`")
    return Typed(apply(scope.of(node.this, "string"), count), "string")


def _split_part(scope: Scope, node: exp.SplitPart) -> Typed:
    """1 is the first part, -1 the last; a part that is not there is empty."""
    example = "for example `split_part(s, '-', 1)`"
    between = text_written(node.args["delimiter"], "the separator", example)
    index = integer_written(node.args["part_index"], "the number of the part", example)
    value = scope.of(node.this, "string")
    if index == 0:
        return Typed(pl.when(value.is_not_null()).then(pl.lit("")), "string")
    part = value.str.split(between).list.get(index - (index > 0), null_on_oob=True)
    return Typed(pl.when(value.is_not_null()).then(part.fill_null("")), "string")


def _replace(scope: Scope, node: exp.Replace) -> Typed:
    example = "for example `replace(s, '-', '')`"
    old = text_written(node.expression, "the text to replace", example)
    new = scope.of(node.args["replacement"], "string")
    value = scope.of(node.this, "string")
    replaced = value.str.replace_all(old, new, literal=True) if old else value
    return Typed(pl.when(new.is_not_null()).then(replaced), "string")


_STRIPS: Mapping[str, Callable[..., pl.Expr]] = {
    "LEADING": lambda x, characters: x.str.strip_chars_start(characters),
    "TRAILING": lambda x, characters: x.str.strip_chars_end(characters),
    "BOTH": lambda x, characters: x.str.strip_chars(characters),
}


def _trim(scope: Scope, node: exp.Trim) -> Typed:
    characters = _SPACES
    if node.expression is not None:
        example = "for example `trim(s, '/')`"
        characters = text_written(node.expression, "what is taken off", example)
    strip = _STRIPS[str(node.args.get("position") or "BOTH").upper()]
    return Typed(strip(scope.of(node.this, "string"), characters), "string")


def _position(scope: Scope, node: exp.StrPosition) -> Typed:
    """The character at which a text first stands in another, from 1; 0 where it does not."""
    value, part = scope.of(node.this, "string"), scope.of(node.args["substr"], "string")
    before = value.str.splitn(part, 2).struct[0].str.len_chars().cast(pl.Int64)
    position = pl.when(value.str.contains(part, literal=True)).then(before + 1).otherwise(0)
    position = pl.when(part.str.len_bytes() == 0).then(1).otherwise(position)
    return Typed(pl.when(value.is_not_null() & part.is_not_null()).then(position), "integer")


def _length(scope: Scope, node: exp.Length) -> Typed:
    """Of a list, or of a string."""
    typed = scope.translate(node.this)
    if not typed.type.endswith("[]"):
        return Typed(scope.of(node.this, "string").str.len_chars().cast(pl.Int64), "integer")
    return Typed(typed.expr.list.len().cast(pl.Int64), "integer")


def _size(scope: Scope, node: exp.ArraySize) -> Typed:
    return Typed(_list(scope, node.this).expr.list.len().cast(pl.Int64), "integer")


def _contains(scope: Scope, node: exp.Contains) -> Typed:
    """Of a list, or of a string."""
    if not scope.translate(node.this).type.endswith("[]"):
        return _two_strings(lambda a, b: a.str.contains(b, literal=True), scope, node)
    return _has(scope, node)


def _has(scope: Scope, node: exp.Contains | exp.ArrayContains) -> Typed:
    typed = _list(scope, node.this)
    element = typed.type[:-2]
    wanted = scope.translate(node.expression)
    if wanted.type == "null":
        return Typed(pl.lit(None, dtype=pl.Boolean), "boolean")
    if wanted.type != element and not (element == "float" and wanted.type == "integer"):
        fail(node.expression, f"{words(typed.type)} can't contain {words(wanted.type)}")
    value = wanted.cast(element)
    has = typed.expr.list.contains(value)
    return Typed(pl.when(typed.expr.is_not_null() & value.is_not_null()).then(has), "boolean")


def _list(scope: Scope, node: exp.Expression) -> Typed:
    typed = scope.translate(node)
    if not typed.type.endswith("[]"):
        hint = "declare the field as a list: `type: [string]`"
        fail(node, f"a list is needed here, this is {words(typed.type)}", hint)
    return typed


_BOTH = "this expression"

STRINGS: Mapping[type[exp.Expression], Entry] = {
    exp.Length: Entry("this", _length),
    exp.Lower: Entry("this", partial(_of_string, lower, "string")),
    exp.Upper: Entry("this", partial(_of_string, lambda x: x.str.to_uppercase(), "string")),
    exp.Trim: Entry("this expression position", _trim),
    exp.StartsWith: Entry(_BOTH, partial(_two_strings, lambda a, b: a.str.starts_with(b))),
    exp.EndsWith: Entry(_BOTH, partial(_two_strings, lambda a, b: a.str.ends_with(b))),
    exp.Contains: Entry(_BOTH, _contains),
    exp.ArraySize: Entry("this", _size),
    exp.ArrayContains: Entry(_BOTH, _has),
    exp.StrPosition: Entry("this substr", _position),
    exp.DPipe: Entry(_BOTH, _joined),
    exp.Concat: Entry("expressions safe coalesce", _concat),
    exp.ConcatWs: Entry("expressions safe coalesce", _concat_ws),
    exp.Substring: Entry("this start length", _substring),
    exp.Left: Entry(_BOTH, partial(_end, lambda x, n: x.str.head(n), "left")),
    exp.Right: Entry(_BOTH, partial(_end, lambda x, n: x.str.tail(n), "right")),
    exp.SplitPart: Entry("this delimiter part_index", _split_part),
    exp.Replace: Entry("this expression replacement", _replace),
}
