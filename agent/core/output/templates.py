"""The text templates of rules: a safe subset of jinja.

Authors of rules must not be able to exhaust the agent's time or memory. So a template has text,
variables, `if`, comparisons, arithmetic on numbers, and the filters of `FILTERS`; no loops, macros,
assignments or calls, and no attributes of Python objects. Its cost is bounded by its length.
`variables_of` rejects everything else, at `check`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    meta,
    nodes,
    pass_context,
)
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import SandboxedEnvironment

from agent.core.model.text import value_text

MAX_TEMPLATE_CHARS = 4000
MAX_RENDERED_CHARS = 2000
NO_VALUE = "no value"
"""The result of the number filters for a missing value."""

Number = float | int | None


class BadTemplate(ValueError):
    """A template that cannot be used; the message says what is wrong and how to fix it.

    `line` is the line within the template, from 1.
    """

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


def humanize(value: Number | str) -> str:
    """Four significant digits with an SI prefix: 1234567 is `1.235M`, 0.0021 is `2.1m`.

    The same as Prometheus' template function of this name.
    """
    return _number(value, _with_prefix)


def humanize_duration(value: Number | str) -> str:
    """Seconds as a duration: 3725 is `1h 2m 5s`, 0.25 is `250ms`. The same as in Prometheus."""
    return _number(value, _duration)


def humanize_percentage(value: Number | str) -> str:
    """A ratio as a percentage: 0.1234 is `12.34%`. The same as in Prometheus."""
    return _number(value, lambda v: f"{v * 100:.4g}%")


def humanize_timestamp(value: Number | str) -> str:
    """Seconds since the epoch, or ISO 8601, as `2010-12-01 08:26:00 UTC`."""
    if isinstance(value, str):
        try:
            return _timestamp(datetime.fromisoformat(value))
        except ValueError:
            pass  # perhaps a number in a string
    return _number(value, lambda v: _timestamp(datetime.fromtimestamp(v, UTC)))


@pass_context
def with_unit(context: Context, value: Number | str) -> str:
    """A number in the KPI's unit, as the board shows it: 135.4 seconds are `2 min 15 s`, a ratio of
    0.1234 is `12.3 %`."""
    unit = context.get("unit")
    return _number(value, lambda v: value_text(v, unit))


def _timestamp(at: datetime) -> str:
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _number(value: Number | str, words: Callable[[float], str]) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises, naming the variable
    if value is None:
        return NO_VALUE
    number = float(value)
    return words(number) if math.isfinite(number) else NO_VALUE


def _with_prefix(value: float) -> str:
    prefixes = ["", *("munpfazy" if 0 < abs(value) < 1 else "kMGTPEZY")]
    factor = 1000.0 if 0 < abs(value) < 1 else 0.001
    step = 0
    while step + 1 < len(prefixes) and not (value == 0 or 1 <= abs(value) < 1000):
        value *= factor
        step += 1
    return f"{value:.4g}{prefixes[step]}"


def _duration(seconds: float) -> str:
    if abs(seconds) < 1:
        return _with_prefix(seconds) + "s"
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {whole}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {whole}s"
    if minutes:
        return f"{sign}{minutes}m {whole}s"
    return f"{sign}{seconds:.4g}s"


def _round(value: Number | str, digits: int = 0) -> str | float:
    """A number rounded to some digits after the point (at most 15); without a point if 0."""
    if value is None:
        return NO_VALUE
    digits = min(max(int(digits), 0), 15)
    return round(float(value), digits) if digits else f"{float(value):.0f}"


_OWN: Mapping[str, Callable[..., Any]] = {
    "humanize": humanize,
    "humanize_duration": humanize_duration,
    "humanize_percentage": humanize_percentage,
    "humanize_timestamp": humanize_timestamp,
    "round": _round,
    "with_unit": with_unit,
}
_JINJA = (
    *("abs", "capitalize", "d", "default", "float", "int"),
    *("lower", "string", "title", "trim", "truncate", "upper"),
)
FILTERS = frozenset((*_OWN, *_JINJA))
"""The filters that a template may use. The output of each is at most a bounded number of characters
longer than its input."""

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.Name,
    nodes.Filter,
    nodes.Test,
    nodes.Getattr,
    nodes.Getitem,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Neg,
    nodes.Pos,
    nodes.Concat,
    nodes.List,
    nodes.Tuple,
    nodes.Keyword,
)
_WORDS = {
    nodes.For: "loops are",
    nodes.Macro: "macros are",
    nodes.Call: "calling a function is",
    nodes.CallBlock: "calling a function is",
    nodes.Assign: "setting a variable is",
    nodes.AssignBlock: "setting a variable is",
    nodes.Pow: "`**` is",
    nodes.Include: "including files is",
    nodes.Import: "importing is",
    nodes.FromImport: "importing is",
    nodes.Extends: "extending is",
}


class _Environment(SandboxedEnvironment):
    """Evaluates templates on plain data: attributes are keys of mappings, and only numbers can be
    multiplied."""

    # `*` and `%` on strings make text of any length.
    intercepted_binops = frozenset({"*", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if not isinstance(side, int | float):
                raise TemplateError(f"`{operator}` needs numbers, not {_kind(side)}")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) and argument in obj:
            return obj[argument]
        return self.undefined(obj=obj, name=argument)


def _kind(value: object) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises, naming the variable
    return "nothing (null)" if value is None else f"text ({value!r:.40})"


@lru_cache(maxsize=1)
def environment() -> SandboxedEnvironment:
    """The environment in which templates are compiled: no globals; unknown names are errors."""
    environment = _Environment(undefined=StrictUndefined, autoescape=False, finalize=_finalize)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _JINJA} | dict(_OWN)
    tests = ("defined", "undefined", "none", "number", "string")
    environment.tests = {name: f for name, f in environment.tests.items() if name in tests}
    return environment


def _finalize(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.10g}" if math.isfinite(value) else NO_VALUE
    return NO_VALUE if value is None else value


def variables_of(text: str) -> frozenset[str]:
    """The variables that a template reads.

    Raises `BadTemplate` for text that is no template, or uses a feature that is not supported here.
    """
    return frozenset(meta.find_undeclared_variables(_parse(text)))


def filters_of(text: str, variable: str) -> tuple[str, ...]:
    """The filters that are applied to a variable itself (no arithmetic), in the order of the text.

    Raises `BadTemplate` as `variables_of` does.
    """
    return tuple(
        node.name for node in _parse(text).find_all(nodes.Filter) if _is_plain(node, variable)
    )


_KEEP_VALUE = frozenset({"abs", "round", "float", "int", "default", "d"})


def _is_plain(node: nodes.Filter, variable: str) -> bool:
    """Whether a filter is applied to a variable itself, or to the result of filters that keep its
    unit."""
    inner = node.node
    while isinstance(inner, nodes.Filter) and inner.name in _KEEP_VALUE:
        inner = inner.node
    return isinstance(inner, nodes.Name) and inner.name == variable


def _parse(text: str) -> nodes.Template:
    if len(text) > MAX_TEMPLATE_CHARS:
        raise BadTemplate(f"the template is longer than {MAX_TEMPLATE_CHARS} characters")
    try:
        tree = environment().parse(text)
        if _is_deeper(tree, DEEPEST):
            raise BadTemplate(_TOO_DEEP)
        for node in tree.find_all(nodes.Node):
            _allow(node)
        environment().compile(tree)  # names unknown filters and tests
    except TemplateSyntaxError as error:
        raise BadTemplate(_syntax(error), error.lineno) from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise BadTemplate(_TOO_DEEP) from error
    # Compiling rewrites parts of the tree; this one has the names as written.
    return environment().parse(text)


DEEPEST = 60
"""The most levels of a template. Jinja compiles them to nested brackets, of which Python accepts
200, and to nested blocks, of which it accepts 100 (`tokenizer.h`: MAXLEVEL, MAXINDENT)."""
_TOO_DEEP = "the template is nested too deeply"


def _is_deeper(tree: nodes.Node, levels: int) -> bool:
    """Whether a node is more than this number of levels below the root."""
    row = [tree]
    for _ in range(levels + 1):
        row = [child for node in row for child in node.iter_child_nodes()]
        if not row:
            return False
    return True


def _allow(node: nodes.Node) -> None:
    if not isinstance(node, _ALLOWED):
        what = _WORDS.get(type(node), f"{type(node).__name__.lower()} is")
        raise BadTemplate(
            f"{what} not possible in rule templates; use text, variables, if and filters",
            node.lineno,
        )
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise BadTemplate(
            f"unknown filter `{node.name}`; there are {', '.join(sorted(FILTERS))}", node.lineno
        )


def _syntax(error: TemplateSyntaxError) -> str:
    return f"not a template: {(error.message or 'syntax error').rstrip('.')}"


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Template:
    _parse(text)
    return environment().from_string(text)


def render(text: str, variables: Mapping[str, object]) -> str:
    """The template's text for these variables, at most `MAX_RENDERED_CHARS` characters.

    Never raises: an alert must not be lost because of its text. If rendering fails, the result is
    the template as written, followed by what is wrong with it.
    """
    try:
        rendered = _compiled(text).render(variables)
    except Exception as error:  # any mistake in a template: it is reported in the text
        problem = f" (this text could not be filled in: {error})"[: MAX_RENDERED_CHARS // 2]
        rendered = text[: MAX_RENDERED_CHARS - len(problem)] + problem
    return (
        rendered
        if len(rendered) <= MAX_RENDERED_CHARS
        else rendered[: MAX_RENDERED_CHARS - 1] + "…"
    )
