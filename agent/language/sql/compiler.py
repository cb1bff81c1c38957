"""SQL of `where`, `value`, derived values and rule conditions, compiled.

Parsed by sqlglot as DuckDB's dialect, translated by `language/sql/expressions.py` with the table of
`language/sql/scalars`. A base KPI's `value` is split by `language/sql/aggregates.py`: every
aggregate becomes a partial (what rows fold into), and what is around them an expression over the
partials' finals `a0…an`.

All functions raise SqlProblem at the first thing that is wrong, with its position.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Tokenizer, TokenType  # type: ignore[attr-defined]

from agent.core.model.kpis import Cast, Partial
from agent.language.sql import instead
from agent.language.sql.aggregates import Split, is_aggregate, rows_scope, without_aggregates
from agent.language.sql.expressions import PREFIX, TEXT, Scope, SqlProblem, fail, finite
from agent.language.sql.history_functions import FeatureCollector
from agent.language.sql.instants import in_zone
from agent.language.sql.percents import marked
from agent.language.sql.scalars import SCALARS
from agent.language.sql.types import SqlType, Typed, common_type, is_decimal, scale_of, words

__all__ = [
    "SqlProblem",
    "casts_in",
    "compile_computed",
    "compile_condition",
    "compile_derived",
    "compile_value",
    "compile_where",
]


def compile_where(text: str, fields: Mapping[str, SqlType], timezone: str = "UTC") -> pl.Expr:
    """A boolean expression over a contract's fields."""
    node = parsed(text, columns=fields)
    typed = rows_scope(
        text, fields, timezone, "`where` looks at one event at a time", _WHERE_HINT
    ).translate(node)
    return _condition(node, typed)


def compile_computed(text: str, type_: SqlType, timezone: str = "UTC") -> pl.Expr:
    """A field's `as`: an expression over `value`, of the field's type."""
    node = parsed(text, columns=["value"])
    why = "`as` looks at one value at a time"
    typed = rows_scope(text, {"value": type_}, timezone, why, "aggregate in a KPI").translate(node)
    if common_type([typed, Typed(pl.col("value"), type_)]) != type_:
        is_fine = is_decimal(type_) and is_decimal(typed.type)
        hint = f"`round({text}, {scale_of(type_)})`" if is_fine else _cast(text, type_)
        finer = " with more decimals" if is_fine else ""
        fail(node, f"the field is {words(type_)}, this is {words(typed.type)}{finer}", hint)
    converted = in_zone(typed, type_, timezone)
    return finite(converted) if type_ == "float" else converted


def compile_column(text: str, fields: Mapping[str, SqlType], timezone: str = "UTC") -> Typed:
    """A computed field: an expression over the fields of one event."""
    node = parsed(text, columns=fields)
    why = "a computed field looks at one event at a time"
    typed = rows_scope(text, fields, timezone, why, "aggregate in a KPI").translate(node)
    if typed.type not in _COLUMN_TYPES and not is_decimal(typed.type):
        hint = "use a string, number, timestamp or boolean: "
        hint += "`len(x)`, `list_contains(x, 'a')`, `epoch(x)`"
        fail(node, f"a field can't be {words(typed.type)}", hint)
    return Typed(finite(typed.expr), typed.type) if typed.type == "float" else typed


_COLUMN_TYPES = ("string", "integer", "float", "boolean", "timestamp", "date")


def _cast(text: str, type_: SqlType) -> str:
    """How an expression is made one of a field's type."""
    name = f"decimal(18, {scale_of(type_)})" if is_decimal(type_) else _NAMES.get(type_, "…")
    return f"`cast({text} as {name})`, or another `type`"


_NAMES: Mapping[SqlType, str] = {
    "integer": "bigint", "float": "double", "string": "varchar", "boolean": "boolean",
    "date": "date",
}  # fmt: skip
_WHERE_HINT = "use `sum(x) FILTER (WHERE …)` in `value`, or a rule over the KPI"


def compile_value(
    text: str, fields: Mapping[str, SqlType], timezone: str = "UTC"
) -> tuple[tuple[Partial, ...], Typed]:
    """The partials of a KPI's value, and its value: the column among `a0…an` of the aggregate that
    it is, or an expression over them, a whole number or Float64, finite or null.

    The first partial is count(*) without filter. Equal aggregates share a partial.
    """
    node = parsed(text, columns=fields)
    split = Split(text, fields, timezone)
    typed = split.outer.translate(node)
    if not split.seen:
        fail(
            node,
            "a KPI's value is made of aggregates",
            "for example `count(*)`, `sum(x)`, `avg(x)`",
        )
    value = as_number(node, typed)
    if (
        is_aggregate(node)
        and not is_decimal(typed.type)
        and typed.expr.meta.eq(pl.col(typed.expr.meta.root_names()[0]))
    ):
        value = Typed(typed.expr, value.type)  # one that overflows is no value already
    return tuple(split.partials), value


def casts_in(text: str, fields: Mapping[str, SqlType], timezone: str = "UTC") -> list[Cast]:
    """The casts of texts in a `where` or `value` that compiles which may fail: those that do not
    say so themselves, as `try_cast` does."""
    scope = rows_scope(text, fields, timezone, "it is looked at by itself", "")
    casts = []
    for node in parsed(text, columns=fields).find_all(exp.Cast):
        if isinstance(node, exp.TryCast) or isinstance(node.this, exp.Literal):
            continue
        if any(is_aggregate(inner) for inner in node.this.walk()):
            continue
        source = scope.translate(node.this)
        if source.type == "string" and (names := source.expr.meta.root_names()):
            failed = source.expr.is_not_null() & scope.translate(node).expr.is_null()
            casts.append(Cast(tuple(dict.fromkeys(names)), failed))
    return casts


def compile_derived(text: str, inputs: Sequence[str], whole: Collection[str] = ()) -> Typed:
    """A KPI over KPIs: a whole number or Float64, finite or null, over columns named after its
    inputs; `whole` names those of whole numbers."""
    node = parsed(text)
    scope = _values(text, inputs, "the inputs are values already", whole)
    if len(inputs) != 1:
        return as_number(node, scope.translate(node))
    without = scope.special

    def special(node: exp.Expression) -> Typed | None:
        if is_aggregate(node):
            hint = f"use `{inputs[0]}` directly; to aggregate its series, add `by`: `by: []`"
            fail(node, "the input is a value already, one for each series", hint)
        return without(node)

    return as_number(node, replace(scope, special=special).translate(node))


def compile_condition(text: str, columns: Sequence[str], features: FeatureCollector) -> pl.Expr:
    """A rule's condition: a boolean expression over number columns and the columns of the features
    that it calls, which are added to `features`."""
    plain, numbers = marked(text)
    node = parsed(plain, text)
    scope = _values(text, columns, "a rule looks at values already aggregated")
    without = scope.special

    def special(node: exp.Expression) -> Typed | None:
        return features.translate(text, numbers, node) or without(node)

    return _condition(node, replace(scope, special=special).translate(node))


MOST_DEEP = 100
"""Levels of an expression (`a and b and c` has two): its translation is recursive."""


def parsed(text: str, written: str | None = None, columns: Iterable[str] = ()) -> exp.Expression:
    """The syntax tree of a text; callers must not modify it. `written`: the text that messages
    quote, of the same length; `columns`: the names that it may use.

    Raises SqlProblem.
    """
    try:
        return _parsed(text, written or text)
    except ParseError as error:
        raise _reserved(text, columns) or _explained(written or text, error) from error


@lru_cache(maxsize=1_000)  # an expression is compiled, and looked at by several checks
def _parsed(text: str, written: str) -> exp.Expression:
    whole = (0, max(1, len(text)))
    deep = SqlProblem(
        "nested too deeply", "remove the brackets, or declare two KPIs or rules", *whole
    )
    _refuse_typography(text)
    try:
        tree = sqlglot.parse_one(PREFIX + text, dialect="duckdb")
    except RecursionError as error:
        raise deep from error
    except TokenError as error:
        quote = max(text.find("'"), text.find('"'), 0)
        raise SqlProblem(
            "a quote is not closed", "strings are written 'like this'", quote, len(text)
        ) from error
    if not isinstance(tree, exp.Select):
        raise SqlProblem("this has to be one expression", None, *whole)
    if not tree.expressions:
        raise SqlProblem("there is no expression", "for example `count(*)`", *whole)
    for part, value in tree.args.items():
        if value and part != "expressions":
            inner = value[0] if isinstance(value, list) else value
            clause = part.strip("_")
            hint = instead.CLAUSES.get(clause)
            fail(inner, f"`{clause}` has no place here: write the expression only", hint)
    if len(tree.expressions) > 1:
        fail(tree.expressions[1], "this has to be one expression", "leave out the comma")
    if _is_deeper(tree, MOST_DEEP):
        raise deep
    tree.meta[TEXT] = written
    return tree.expressions[0]  # type: ignore[no-any-return]


def _refuse_typography(text: str) -> None:
    """Refuse characters that word processors write and SQL does not have, outside of quotes."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: "_" * len(quoted[0]), text)
    for at, character in enumerate(bare):
        hint = instead.CHARACTERS.get(character)
        if hint is not None:
            raise SqlProblem(f"`{character}` is not a character of SQL", hint, at, at + 1)


def _is_deeper(tree: exp.Expression, levels: int) -> bool:
    """Whether anything lies more than so many levels below the root."""
    row = [tree]
    for _ in range(levels + 1):
        row = [part for node in row for part in node.iter_expressions()]
        if not row:
            return False
    return True


def _reserved(text: str, columns: Iterable[str]) -> SqlProblem | None:
    """The problem of a column whose name is a reserved word and is not quoted; None: there is
    none."""
    known = {name.lower() for name in columns}
    plain = (TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING)
    reserved = [
        token
        for token in Tokenizer(dialect="duckdb").tokenize(text)
        if token.text.lower() in known and token.token_type not in plain
    ]
    for token in reserved:
        start, end = token.start, token.end + 1
        try:
            sqlglot.parse_one(f'{PREFIX}{text[:start]}"{token.text}"{text[end:]}', dialect="duckdb")
        except (ParseError, TokenError):
            continue
        hint = f'as a field it must be in double quotes: "{token.text}"'
        return SqlProblem(f"`{token.text}` is a word of SQL", hint, start, end)
    return None


def _explained(text: str, error: ParseError) -> SqlProblem:
    """The parser's error, worded for the author of the rules."""
    details: dict[str, Any] = error.errors[0] if error.errors else {}
    lines = text.splitlines(keepends=True)
    line, column = int(details.get("line") or 1), int(details.get("col") or 1)
    end = sum(map(len, lines[: line - 1])) + column - (len(PREFIX) if line == 1 else 0)
    token = str(details.get("highlight") or "")
    description = str(details.get("description") or "")
    if description.startswith("Expecting"):
        message = f"`{description.removeprefix('Expecting ').strip()}` is missing after `{token}`"
    elif description.startswith("The number of provided arguments"):
        message = "too many arguments"
    elif description.startswith("Required keyword"):
        message = f"an operand is missing next to `{token}`"
    else:
        message = f"`{token}` is not expected here" if token else "this is not SQL"
    end = min(max(end, 1), max(len(text), 1))
    return SqlProblem(message, _way_out(text, token), max(0, end - max(len(token), 1)), end)


def _way_out(text: str, token: str) -> str | None:
    """A hint for syntax that is not SQL, or not supported here."""
    lower = text.lower()
    if lower.lstrip().startswith("select"):
        return "write the expression only, without SELECT: `count(*)`"
    if "`" in text:
        return 'a name must be in double quotes: "x"'
    unquoted = re.search(rf"\b({'|'.join(instead.OF_TIMES)})\s*\(\s*(\d+\s*[a-z]+)", lower)
    if unquoted is not None:
        return f"a time must be in quotes: `{unquoted[1]}('{unquoted[2]}')`"
    if re.search(r"\bcase\b", lower) and not re.search(r"\bend\b", lower):
        return "write `case when … then … else … end`"
    return instead.TOKENS.get("%" if "%" in token else token.lower())


def _condition(node: exp.Expression, typed: Typed) -> pl.Expr:
    if typed.type != "boolean":
        fail(
            node, f"a condition is needed here, this is {words(typed.type)}", "for example `x > 0`"
        )
    return typed.expr


def as_number(node: exp.Expression, typed: Typed) -> Typed:
    """An expression as a KPI's value: a whole number or a float. Raises SqlProblem for other
    types."""
    if typed.type in ("integer", "hugeint"):
        return typed
    if is_decimal(typed.type):
        return Typed(typed.cast("float"), "float")
    if typed.type in ("timestamp", "date"):
        since = "`epoch(…)` is its seconds since 1970, a difference of two those between them"
        fail(node, f"a KPI's value is a number, this is {words(typed.type)}", since)
    if typed.type != "float":
        hint = "`case when … then 1 else 0 end` makes one" if typed.type == "boolean" else None
        fail(node, f"a KPI's value is a number, this is {words(typed.type)}", hint)
    return Typed(finite(typed.expr), "float")


def _values(text: str, columns: Sequence[str], why: str, whole: Collection[str] = ()) -> Scope:
    """The scope of expressions over values of KPIs, which are aggregated already."""
    types = value_types(columns, whole)

    def column(_node: exp.Column, name: str, type_: SqlType) -> Typed:
        return value_column(name, type_)

    hint = "take " + ", ".join(f"`{name}`" for name in columns) + " as they are"
    return Scope(text, SCALARS, types, column, without_aggregates(text, why, hint))


def value_types(names: Sequence[str], whole: Collection[str]) -> Mapping[str, SqlType]:
    """The types of columns of KPIs' values."""
    return {name: "hugeint" if name in whole else "float" for name in names}


def value_column(name: str, type_: SqlType) -> Typed:
    """A column of other KPIs' values."""
    column = pl.col(name)
    return Typed(column if type_ == "hugeint" else column.cast(pl.Float64), type_)
