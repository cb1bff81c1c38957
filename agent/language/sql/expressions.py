"""Translates sqlglot's tree into polars expressions: types, names, positions, errors.

`language/sql/scalars` has the tables of supported nodes. A node that is not in them is refused with
its position, and so is a node with a part that its entry does not name. Every expression has a
static type, so that `check` finds type errors before any event does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import polars as pl
from sqlglot import exp

from agent.core.model.events import FieldType
from agent.language.problems import suggest
from agent.language.sql import instead
from agent.language.sql.instants import in_zone, time_of
from agent.language.sql.types import SqlType, Typed, common_type, words

PREFIX = "SELECT "
"""The prefix of the text that is parsed; positions are counted without it."""

TEXT = "text"
"""The key of the root's `meta` that holds the text."""


class SqlProblem(Exception):
    """The user's SQL is wrong at the characters `[start, end)` of its text."""

    def __init__(self, message: str, hint: str | None, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class Entry:
    """How one type of node is translated, and the parts of it (space-separated) that are read."""

    parts: str
    translate: Callable[[Scope, Any], Typed]


@dataclass(frozen=True, slots=True)
class Scope:
    """How names and calls are translated at one place of the text.

    `column` returns the expression of a column by its name and type. `special` is called first for
    every node, and returns None for plain scalars; aggregates and history functions are translated
    there. `timezone` is the zone of date parts and of times without an offset.
    """

    text: str
    scalars: Mapping[type[exp.Expression], Entry]
    columns: Mapping[str, SqlType]
    column: Callable[[exp.Column, str, Any], Typed]
    special: Callable[[exp.Expression], Typed | None]
    timezone: str = "UTC"

    def translate(self, node: exp.Expression | None) -> Typed:
        """The expression of a node. Raises SqlProblem where it is wrong, unsupported or missing."""
        if node is None:
            raise SqlProblem("an argument is missing", None, 0, max(1, len(self.text)))
        typed = self.special(node)
        if typed is not None:
            return typed
        if type(node) is exp.Column:
            return self._column(node)
        entry = self.scalars.get(type(node))
        if entry is None:
            refuse_unsupported(self.text, node, self.columns)
        only(self.text, node, entry.parts)
        return entry.translate(self, node)

    def _column(self, node: exp.Column) -> Typed:
        if node.args.get("table"):
            fail(
                node,
                "a column is a field's name, without dots",
                "name the nested value in the contract: `fields: {name: {path: a.b, type: …}}`",
            )
        if not isinstance(node.this, exp.Identifier):
            refuse_unsupported(self.text, node)
        name = self._known(node.name)
        if name is None:
            hint = suggest(node.name, self.columns, "columns")
            if node.name.lower() in FUNCTIONS:
                hint = f"a call has parentheses: `{node.name}({'*' * (node.name == 'count')})`"
            if node.this.args.get("quoted"):
                hint = f"a text must be in single quotes: '{node.name}'"
            fail(node, f"there is no column `{node.name}`", hint)
        return self.column(node, name, self.columns[name])

    def _known(self, name: str) -> str | None:
        """The column of a name, which SQL compares without case; None: there is none."""
        if name in self.columns:
            return name
        same = [known for known in self.columns if known.lower() == name.lower()]
        return same[0] if len(same) == 1 else None

    def number(self, node: exp.Expression) -> Typed:
        """Translate a node that must be a number."""
        return self.as_number(node, self.translate(node))

    def as_number(self, node: exp.Expression, typed: Typed) -> Typed:
        """Check that a translated node is a number."""
        if not typed.is_number:
            hint = None
            if typed.type == "string":
                hint = "`cast(… as double)` reads a number from a string"
            elif typed.type == "boolean":
                hint = "`case when … then 1 else 0 end` makes a number of a condition"
            fail(node, f"a number is needed here, this is {words(typed.type)}", hint)
        return typed

    def of(self, node: exp.Expression, type_: FieldType) -> pl.Expr:
        """Translate a node that must be of a type, a string or a boolean."""
        typed = self.translate(node)
        if typed.type not in (type_, "null"):
            fail(node, f"{words(type_)} is needed here, this is {words(typed.type)}")
        return typed.cast(type_)

    def same(self, nodes: Sequence[exp.Expression]) -> tuple[list[pl.Expr], SqlType]:
        """Translate nodes to their common type; integers beside floats become floats."""
        return self.unified(nodes, [self.translate(node) for node in nodes])

    def unified(
        self, nodes: Sequence[exp.Expression], translated: Sequence[Typed]
    ) -> tuple[list[pl.Expr], SqlType]:
        """The common type of translated nodes, as `same`."""
        operands = self._as_times(nodes, translated)
        type_ = common_type(operands[:1])
        for at in range(1, len(operands)):
            wider = common_type(operands[: at + 1])
            if wider is None:
                message = (
                    f"{words(type_ or 'null')} and {words(operands[at].type)} don't go together"
                )
                fail(nodes[at], message, _without_quotes(operands))
            type_ = wider
        return [
            in_zone(typed, type_ or "null", self.timezone) for typed in operands
        ], type_ or "null"

    def _as_times(
        self, nodes: Sequence[exp.Expression], translated: Sequence[Typed]
    ) -> list[Typed]:
        """String literals beside times, as times."""
        times = {typed.type for typed in translated} & {"timestamp", "date"}
        if not times:
            return list(translated)
        wanted = "timestamp" if "timestamp" in times else "date"
        return [
            written_time(node, typed.literal, wanted, self.timezone)
            if typed.type == "string" and typed.literal is not None
            else typed
            for node, typed in zip(nodes, translated, strict=True)
        ]


def _without_quotes(operands: Sequence[Typed]) -> str | None:
    """The hint for a number in quotes beside a number."""
    if not any(typed.is_number for typed in operands):
        return None
    texts = [typed.literal for typed in operands if typed.type == "string" and typed.literal]
    numbers = [text for text in texts if re.fullmatch(r"-?\d+(\.\d+)?", text)]
    return f"leave the quotes out: {numbers[0]}" if numbers else None


def written_time(node: exp.Expression, text: str, type_: SqlType, timezone: str) -> Typed:
    """A literal as a timestamp or date."""
    typed = time_of(text, type_, timezone)
    if typed is None:
        fail(node, f"'{text}' is not a {type_}", "for example '2025-03-03' or '2025-03-03 08:30'")
    return typed


def span(node: exp.Expression) -> tuple[int, int]:
    """The characters of a node in its text; of the nearest node around it, where it has none."""
    at: exp.Expr | None = node
    while at is not None:
        positions = [n.meta for n in at.walk() if "start" in n.meta]
        if positions:
            start = min(int(meta["start"]) for meta in positions) - len(PREFIX)
            end = max(int(meta["end"]) for meta in positions) + 1 - len(PREFIX)
            return start, _closed(str(node.root().meta.get(TEXT, "")), start, end)
        at = at.parent
    return 0, 1


def _closed(text: str, start: int, end: int) -> int:
    """The end of a span with the parentheses that it opens: tokens have positions, nodes don't."""
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: "_" * len(quoted[0]), text)
    inside = unquoted[start:end]
    missing = inside.count("(") - inside.count(")")
    for at in range(end, len(unquoted)):
        if missing <= 0 or unquoted[at] not in ") *":
            break
        if unquoted[at] == ")":
            missing, end = missing - 1, at + 1
    return end


def fail(node: exp.Expression, message: str, hint: str | None = None) -> NoReturn:
    """Refuse a node."""
    raise SqlProblem(message, hint, *span(node))


def only(text: str, node: exp.Expression, parts: str) -> None:
    """Refuse a node with other parts than these (space-separated): none may be ignored."""
    for part, value in node.args.items():
        if value and part not in parts.split() and part not in _SILENT:
            inner = value[0] if isinstance(value, list) else value
            at = inner if isinstance(inner, exp.Expression) else node
            if isinstance(inner, exp.Subquery | exp.Select):
                refuse_unsupported(text, inner)
            hint = instead.NODES.get(type(inner)) if isinstance(inner, exp.Expression) else None
            fail(at, f"this part of `{written(text, node)}` is not supported", hint)


# Parts that the parser sets by itself for DuckDB's dialect.
_SILENT = frozenset({"big_int", "typed", "safe", "ignore_nulls", "is_string", "quoted"})


def written(text: str, node: exp.Expression) -> str:
    """The text of a node, shortened."""
    start, end = span(node)
    return _short(text[start:end])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"


AGGREGATES = (
    *("any_value", "approx_count_distinct", "arg_max", "arg_min", "avg", "bool_and", "bool_or"),
    *("count", "count_if", "first", "last", "max", "median", "min", "mode", "quantile"),
    *("quantile_cont", "retention", "stddev", "stddev_pop", "sum", "var_pop", "variance"),
    "weighted_avg",
)
_SCALARS = (
    *("abs", "ceil", "coalesce", "concat", "concat_ws", "contains", "ends_with", "exp", "floor"),
    *("greatest", "if", "ifnull", "least", "left", "length", "ln", "log", "log10", "log2"),
    *("lower", "ltrim", "mod", "nullif", "power", "regexp_extract", "regexp_full_match"),
    *("regexp_matches", "regexp_replace", "replace", "right", "round", "rtrim", "sign"),
    *("split_part", "sqrt", "starts_with", "strpos", "substring", "trim", "trunc", "upper"),
    *("date_diff", "date_part", "date_trunc", "day", "dayname", "dayofweek", "dayofyear", "epoch"),
    *("epoch_ms", "epoch_us", "extract", "hour", "isodow", "last_day", "len", "list_contains"),
    *("minute", "month", "monthname", "quarter", "second", "strftime", "week", "weekday", "year"),
)
FUNCTIONS = (*AGGREGATES, *_SCALARS)
"""The functions by name, for suggestions."""


def refuse_unsupported(text: str, node: exp.Expression, columns: Collection[str] = ()) -> NoReturn:
    """Refuse a node that is not supported, with a hint what to write instead."""
    if isinstance(node, exp.Anonymous):
        fail_name(node, f"there is no function `{node.name}`", _instead_of(node.name))
    called = _called(text, node)
    if called is not None:
        name, start, end = called
        shown = _short(text[start:end])
        raise SqlProblem(f"`{shown}` is not supported", _instead_of(name), start, end)
    hint = next((instead.NODES[kind] for kind in type(node).__mro__ if kind in instead.NODES), None)
    what = "window functions are" if isinstance(node, exp.Window) else None
    what = "subqueries are" if isinstance(node, exp.Subquery | exp.Select) else what
    shown = written(text, node)
    if not _has_position(node) or isinstance(node, _PARTLY_POSITIONED):
        shown = _short(node.sql(dialect="duckdb"))
        if shown.lower() in {name.lower() for name in columns}:
            hint = f'it is a word of SQL: as a field it must be in double quotes: "{shown.lower()}"'
    fail(
        node, f"{what or f'`{shown}` is'} not supported", hint or (_SUPPORTED if columns else None)
    )


_PARTLY_POSITIONED = (exp.Array, exp.Bracket, exp.Distinct, exp.JSONExtract, exp.JSONExtractScalar)
"""Nodes with a part that has no position: shown as the parser writes them."""

_SUPPORTED = f"the functions are {', '.join(sorted(FUNCTIONS))}"


def _instead_of(name: str) -> str:
    """A hint for an unknown function."""
    return instead.FUNCTIONS.get(name.lower()) or suggest(name, FUNCTIONS, "functions")


def _has_position(node: exp.Expression) -> bool:
    """Whether any part of a node has a position."""
    return any("start" in part.meta for part in node.walk())


def _called(text: str, node: exp.Expression) -> tuple[str, int, int] | None:
    """The name of an unsupported function and the span of its call; None for operators.

    The parser records positions of names and literals only, so the name is searched for before the
    parenthesis around them.
    """
    if not isinstance(node, exp.Func | exp.Extract) or not _has_position(node):
        return None
    start, _ = span(node)
    own = re.match(r"[A-Za-z_]\w*(?=\s*\()", text[start:])
    opened = start + own.end() if own else _parenthesis_before(text, start)
    name = own or re.search(r"[A-Za-z_]\w*(?=\s*$)", text[:opened])
    if name is None or name[0].lower() in {*FUNCTIONS, *_BEFORE_PARENTHESES}:
        return None
    return name[0], start if own else name.start(), _parenthesis_after(text, opened)


_BEFORE_PARENTHESES = ("and", "else", "filter", "in", "not", "or", "then", "when", "where")
"""Keywords that may precede a parenthesis."""


def _parenthesis_after(text: str, start: int) -> int:
    """The position after the parenthesis that closes the first one from `start` on; else the
    end."""
    depth = 0
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: "_" * len(quoted[0]), text)
    for at in range(start, len(unquoted)):
        depth += {"(": 1, ")": -1}.get(unquoted[at], 0)
        if depth == 0 and unquoted[at] == ")":
            return at + 1
    return len(text)


def _parenthesis_before(text: str, end: int) -> int:
    """The position of the innermost parenthesis that is open at `end`; 0: there is none."""
    depth = 0
    for at in range(end - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[at], 0)
        if depth < 0:
            return at
    return 0


def fail_name(node: exp.Expression, message: str, hint: str | None) -> NoReturn:
    """Refuse a call; only its name is underlined."""
    if "start" in node.meta:
        start, end = node.meta["start"] - len(PREFIX), node.meta["end"] + 1 - len(PREFIX)
        raise SqlProblem(message, hint, start, end)
    fail(node, message, hint)


def finite(number: pl.Expr) -> pl.Expr:
    """Null for NaN and the infinities. The expression is used twice: not for deep nesting."""
    return pl.when(number.is_finite()).then(number)
