"""The arguments of a history function's call, as written in a condition.

Each function reads its own arguments; an argument that none has read is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from agent.core.history.calendar_spans import Span
from agent.core.history.seasonal import SEASON_MS, Season
from agent.core.model.kpis import Better
from agent.core.model.windows import DAY_MS, CalendarUnit, CalendarWindow, Window
from agent.language.models import durations
from agent.language.models.values import Slo
from agent.language.problems import suggest
from agent.language.sql.expressions import SqlProblem, fail, span, written
from agent.language.sql.percents import Number

_USUALLY_BARE = ("deviation_from_group",)
_BARE = ("deviation_from_group", "anomaly", "budget_left", "pace", "projected", "to_date")

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "anomaly": ("season", "over"),
    "breach_in": ("season", "over", "at_least", "at_most"),
    "deviation_from_group": ("by",),
}
"""The named arguments of each function."""

EXAMPLES: Mapping[str, str] = {
    "change": "for example `change('1 week') < -20%`",
    "trend": "for example `trend('8 weeks') < -2% per week`",
    "declining": "for example `declining(4)`",
    "rising": "for example `rising(4)`",
    "anomaly": "for example `anomaly() > 4`, or `anomaly(season='week') > 4`",
    "breach_in": "for example `breach_in('3 days')`, or `breach_in('3 days', at_most=600)`",
    "burn_rate": "for example `burn_rate('1h') > 14.4`",
    "budget_left": "for example `budget_left() < 20%`",
    "pace": "for example `pace() < 95%`",
    "projected": "for example `projected() < 1_000_000`",
    "to_date": "for example `to_date() > 500_000`",
    "deviation_from_group": "for example `deviation_from_group > 3`, or "
    "`deviation_from_group(by='region') > 3`",
}
"""An example of each call, for hints."""


@dataclass(frozen=True, slots=True)
class PaceTarget:
    """The target for the running total of a period. `shape`: the number of earlier periods whose
    course is expected; 0: a line."""

    unit: CalendarUnit
    target: float
    shape: int


@dataclass(frozen=True, slots=True)
class Subject:
    """The KPI that a rule's conditions are about, `kpi` its name. `window` None: it is unknown;
    `by_unsure`: so are some of its dimensions."""

    window: Window | None
    by: tuple[str, ...]
    by_unsure: bool
    zone: str
    better: Better
    has_target: bool
    slo: Slo | None = None
    pace: PaceTarget | None = None
    kpi: str = ""


def called(node: exp.Expression) -> tuple[str, list[exp.Expression]]:
    """The name of the function that a node calls, in lower case, and its arguments; "" where it
    calls none. Some functions may be called without parentheses."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower(), list(node.expressions)
    if isinstance(node, exp.Column) and not node.args.get("table"):
        name = node.name.lower()
        return (name, []) if name in _BARE else ("", [])
    return "", []


_COMPARISONS = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NEQ, exp.Between)


def is_beside(node: exp.Expression, names: tuple[str, ...]) -> bool:
    """Whether one of these calls stands in the same comparison."""
    around = node.find_ancestor(*_COMPARISONS)
    return around is not None and any(
        isinstance(other, exp.Anonymous) and other.name.lower() in names for other in around.walk()
    )


@dataclass(slots=True)
class Call:
    """One call. Reading an argument removes it; `refuse_rest` refuses what is left."""

    subject: Subject
    sql: str
    node: exp.Expression
    name: str
    arguments: list[exp.Expression]
    numbers: Mapping[str, Number]
    given: int

    @property
    def text(self) -> str:
        """The call as written; without arguments, in one canonical form."""
        if not self.given:
            return self.name if self.name in _USUALLY_BARE else f"{self.name}()"
        start, end = span(self.node)
        return " ".join(self.sql[start:end].split())

    def next(self) -> exp.Expression | None:
        """Remove and return the next positional argument."""
        for i, argument in enumerate(self.arguments):
            if not isinstance(argument, exp.EQ | exp.PropertyEQ | exp.Kwarg):
                return self.arguments.pop(i)
        return None

    def named(self, name: str) -> exp.Expression | None:
        """Remove a named argument, and return its value."""
        for i, argument in enumerate(self.arguments):
            named = isinstance(argument, exp.EQ | exp.PropertyEQ | exp.Kwarg)
            if named and argument.this.name.lower() == name:
                value: exp.Expression = self.arguments.pop(i).expression
                return value
        return None

    def refuse_rest(self) -> None:
        """Fail for arguments that were not read: none may be ignored."""
        known = ARGUMENTS.get(self.name, ())
        for argument in self.arguments:
            if isinstance(argument, exp.EQ | exp.PropertyEQ | exp.Kwarg):
                hint = suggest(argument.this.name, known, "arguments") if known else None
                fail(argument, f"`{self.name}` has no argument '{argument.this.name}'", hint)
            fail(argument, f"`{self.name}` takes no more arguments", EXAMPLES[self.name])

    def relative(self) -> bool:
        """Whether it is compared with a percentage."""
        around = self.node.find_ancestor(*_COMPARISONS)
        if around is None:
            return False
        percent = plain = False
        for node in around.iter_expressions():
            inner = node.this if isinstance(node, exp.Neg) else node
            if isinstance(inner, exp.Column) and inner.name in self.numbers:
                percent |= self.numbers[inner.name].percent
                plain |= not self.numbers[inner.name].percent
            elif isinstance(inner, exp.Literal) and not inner.is_string:
                plain |= float(inner.name) != 0  # zero per cent is nothing, too
        if percent and plain:
            fail(self.node, "it is compared with a percentage and with a plain number at once")
        return percent

    def bounds_without_rate(self) -> bool:
        """Whether it is compared, by itself, with a number other than 0 that is not a rate."""
        around = self.node.parent
        if not isinstance(around, _COMPARISONS):
            return False
        for node in around.iter_expressions():
            inner = node.this if isinstance(node, exp.Neg) else node
            if isinstance(inner, exp.Column) and inner.name in self.numbers:
                number = self.numbers[inner.name]
                if number.per_days is None and number.value != 0:
                    return True
            elif isinstance(inner, exp.Literal) and not inner.is_string and float(inner.name) != 0:
                return True
        return False

    def span(self, node: exp.Expression | None, default: Span | None = None) -> Span:
        """The span of time of an argument, else the default. Raises SqlProblem without both."""
        if node is None:
            if default is None:
                fail(self.node, f"`{self.name}` needs a time", EXAMPLES[self.name])
            return default
        return read_span(self, node)

    def season(self) -> Season | None:
        """The argument `season`."""
        node = self.named("season")
        if node is None:
            return None
        if isinstance(node, exp.Literal) and node.is_string and node.name in SEASON_MS:
            return node.name
        fail(node, "a season is 'day' or 'week'", "season='week': the same hour of the week")


_WORDS = {
    "second": Span(ms=1000), "minute": Span(ms=60_000), "hour": Span(ms=3_600_000),
    "day": Span(days=1), "week": Span(days=7), "month": Span(months=1), "quarter": Span(months=3),
    "year": Span(months=12),
}  # fmt: skip
_TEXT = re.compile(r"(\d+)\s+(second|minute|hour|day|week|month|quarter|year|window)s?")


def read_span(call: Call, node: exp.Expression) -> Span:
    """The span of time that an argument denotes. Raises SqlProblem where it denotes none."""
    hint = "for example '3 days', '8 weeks', '1 month' or '1h'"
    if not (isinstance(node, exp.Literal) and node.is_string):
        fail(node, f"`{written(call.sql, node)}` is not a time: it must be in quotes", hint)
    match = _TEXT.fullmatch(node.name.strip().lower())
    if match is None:
        try:
            length = durations.parse(node.name)
        except ValueError as error:
            raise SqlProblem(str(error), hint, *span(node)) from error
        # 7d and 1w are days of the calendar, as '7 days' are.
        days, rest = divmod(length, DAY_MS)
        period = Span(ms=length) if rest else Span(days=days)
    else:
        count = int(match[1])
        unit = _window(call.subject.window) if match[2] == "window" else _WORDS[match[2]]
        period = Span(count * unit.months, count * unit.days, count * unit.ms)
    if period.mean_ms <= 0:
        fail(node, "the time must be longer than nothing", hint)
    return period


def _window(window: Window | None) -> Span:
    """The time from a window to the one before it that does not overlap it."""
    if isinstance(window, CalendarWindow):
        return _WORDS[window.unit]
    return Span(ms=window.size_ms if window else 60_000)
