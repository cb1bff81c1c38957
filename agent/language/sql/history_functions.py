"""What conditions ask of a series' history: `change('1 week')`, `anomaly()` and their like.

A call becomes a feature of the rule, and a column `f0…fn` of its conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl
from sqlglot import exp

from agent.core.history.anomaly.score import Anomaly
from agent.core.history.burn_rate import BudgetLeft, BurnRate
from agent.core.history.calendar_spans import Span
from agent.core.history.change import Change
from agent.core.history.forecast import Breach, default_span_ms
from agent.core.history.pace import Ask, Pace
from agent.core.history.peers import Deviation
from agent.core.history.seasonal import SEASON_MS, Season, SeasonalAnomaly
from agent.core.history.trend import LEAST_POINTS, Run, Trend
from agent.core.model.history import Feature
from agent.core.model.kpis import Better
from agent.core.model.windows import CalendarUnit, FixedWindow, Window
from agent.language.models import durations
from agent.language.problems import suggest
from agent.language.sql.expressions import SqlProblem, fail, span, written
from agent.language.sql.percents import Number
from agent.language.sql.types import Typed

MOST_WINDOWS = 50_000
"""A rule looks back on so many windows of each series at the most: it keeps them in memory."""


@dataclass(frozen=True, slots=True)
class Objective:
    """`99.5% over 30d`: the share of good events that is promised over a period."""

    share: float
    period_ms: int


@dataclass(frozen=True, slots=True)
class Due:
    """What a period's running total should come to."""

    unit: CalendarUnit
    target: float
    shape: int


@dataclass(frozen=True, slots=True)
class Subject:
    """The KPI that a rule's conditions are about; `window` None: it is not known."""

    window: Window | None
    by: tuple[str, ...]
    by_unsure: bool
    zone: str
    better: Better
    has_target: bool
    objective: Objective | None = None
    due: Due | None = None


@dataclass(slots=True)
class Asked:
    """The features of one rule, in the order of their columns."""

    subject: Subject
    features: list[Feature] = field(default_factory=list)

    def special(
        self, text: str, numbers: Mapping[str, Number], node: exp.Expression
    ) -> Typed | None:
        """The column of a call, the value of a percentage; None for anything else.

        Raises SqlProblem for a call that is wrong.
        """
        if isinstance(node, exp.Column) and node.name in numbers:
            return _number(node, numbers[node.name])
        name, arguments = called(node)
        build = CALLS.get(name)
        if build is None:
            return None
        call = _Call(self.subject, text, node, name, arguments, numbers, len(arguments))
        feature = build(call)
        call.refuse_rest()
        self._check(call, feature)
        if feature not in self.features:
            self.features.append(feature)
        column = pl.col(f"f{self.features.index(feature)}")
        if isinstance(feature, Run | Breach):
            return Typed(column == 1, "boolean")
        return Typed(column, "float")

    def _check(self, call: _Call, feature: Feature) -> None:
        window = self.subject.window
        if window is None:
            return
        needed = feature.needs_ms(window)
        if needed > MOST_WINDOWS * window.step_ms:
            fail(
                call.node,
                f"`{feature.text}` looks back on more than {MOST_WINDOWS} windows",
                "take a shorter time, or a KPI with longer windows",
            )


def _number(node: exp.Expression, number: Number) -> Typed:
    speed = number.per_days is not None
    if speed and not _beside(node, ("trend",)):
        fail(node, "a speed (`per …`) is compared with `trend(…)`", "leave out `per …`")
    return Typed(pl.lit(number.a_day if speed else number.value), "float")


def called(node: exp.Expression) -> tuple[str, list[exp.Expression]]:
    """The name of what a node calls, in lower case, and its arguments; "" if it calls nothing.
    Without arguments, the parentheses may be left out."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower(), list(node.expressions)
    if isinstance(node, exp.Column) and not node.args.get("table"):
        name = node.name.lower()
        return (name, []) if name in _BARE else ("", [])
    return "", []


_COMPARISONS = (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NEQ, exp.Between)


def _beside(node: exp.Expression, names: tuple[str, ...]) -> bool:
    """Whether one of these calls stands in the same comparison."""
    around = node.find_ancestor(*_COMPARISONS)
    return around is not None and any(
        isinstance(other, exp.Anonymous) and other.name.lower() in names for other in around.walk()
    )


@dataclass(slots=True)
class _Call:
    """One call, whose arguments are taken one by one; what is not taken is refused."""

    subject: Subject
    sql: str
    node: exp.Expression
    name: str
    arguments: list[exp.Expression]
    numbers: Mapping[str, Number]
    given: int

    @property
    def text(self) -> str:
        """The call as it is written; without arguments, always in one way."""
        if not self.given:
            return self.name if self.name in _BARE_MOSTLY else f"{self.name}()"
        start, end = span(self.node)
        return " ".join(self.sql[start:end].split())

    def next(self) -> exp.Expression | None:
        """The next argument without a name."""
        for i, argument in enumerate(self.arguments):
            if not isinstance(argument, exp.EQ | exp.PropertyEQ | exp.Kwarg):
                return self.arguments.pop(i)
        return None

    def named(self, name: str) -> exp.Expression | None:
        """The value of the argument with a name."""
        for i, argument in enumerate(self.arguments):
            named = isinstance(argument, exp.EQ | exp.PropertyEQ | exp.Kwarg)
            if named and argument.this.name.lower() == name:
                value: exp.Expression = self.arguments.pop(i).expression
                return value
        return None

    def refuse_rest(self) -> None:
        """Nothing that is written may be ignored."""
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

    def span(self, node: exp.Expression | None, default: Span | None = None) -> Span:
        """A stretch of time. Raises SqlProblem if there is none and no default."""
        if node is None:
            if default is None:
                fail(self.node, f"`{self.name}` needs a time", EXAMPLES[self.name])
            return default
        return _span(self, node)

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


def _span(call: _Call, node: exp.Expression) -> Span:
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
        days, rest = divmod(length, durations.UNIT_MS["d"])
        made = Span(ms=length) if rest else Span(days=days)
    else:
        count = int(match[1])
        if match[2] == "window":
            step = call.subject.window
            made = Span(ms=count * (step.span_ms if step else 60_000))
        else:
            unit = _WORDS[match[2]]
            made = Span(count * unit.months, count * unit.days, count * unit.ms)
    if made.mean_ms <= 0:
        fail(node, "the time must be longer than nothing", hint)
    return made


def _count(call: _Call, node: exp.Expression | None) -> int:
    if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
        fail(node or call.node, f"`{call.name}` needs a number of windows", EXAMPLES[call.name])
    if not 1 <= int(node.name) <= 1000:
        fail(node, "the number of windows has to be from 1 to 1000", EXAMPLES[call.name])
    return int(node.name)


def _enough(call: _Call, length_ms: int) -> None:
    """A trend needs values: refuse a span that can not hold enough of them."""
    window = call.subject.window
    if window is None:
        return
    step_ms = window.size_ms if isinstance(window, FixedWindow) else window.step_ms
    if length_ms < LEAST_POINTS * step_ms:
        fail(
            call.node,
            f"`{call.text}` holds fewer than the {LEAST_POINTS} windows that a trend needs",
            "take a longer time, or a KPI with shorter windows",
        )


def _change(call: _Call) -> Feature:
    node = call.next()
    previous = isinstance(node, exp.Literal) and node.name in ("previous", "1 window")
    length = None if node is None or previous else _span(call, node)
    if length is not None and call.subject.window is not None:
        window = call.subject.window
        shortest = window.step_ms if not isinstance(window, FixedWindow) else window.hop_ms
        if length.most_ms < shortest:
            fail(
                call.node,
                f"`{call.text}` is less than a window ago",
                "`change('previous')` compares with the window before",
            )
    return Change(call.text, length, call.relative(), call.subject.zone)


def _trend(call: _Call) -> Feature:
    length_ms = call.span(call.next()).mean_ms
    _enough(call, length_ms)
    return Trend(call.text, length_ms, call.relative())


def _run(call: _Call) -> Feature:
    return Run(call.text, call.name, _count(call, call.next()))  # type: ignore[arg-type]


def _anomaly(call: _Call) -> Feature:
    season = call.season()
    over = call.named("over")
    if season is None:
        if over is not None:
            fail(over, "`over` goes with a `season`", EXAMPLES["anomaly"])
        return Anomaly(call.text, call.subject.zone)
    length_ms = call.span(over, Span(ms=5 * SEASON_MS[season])).mean_ms
    if length_ms < 3 * SEASON_MS[season]:
        fail(over or call.node, "a baseline needs three seasons at least", "over='5 weeks'")
    return SeasonalAnomaly(call.text, season, length_ms, call.subject.zone)


def _breach(call: _Call) -> Feature:
    within_ms = call.span(call.next()).mean_ms
    season = call.season()
    over = call.named("over")
    span_ms = default_span_ms(within_ms, season) if over is None else call.span(over).mean_ms
    _enough(call, span_ms)
    least, most = call.named("at_least"), call.named("at_most")
    bound = None
    if least is not None or most is not None:
        bound = (_bound(call, least), _bound(call, most))
    elif not call.subject.has_target:
        fail(
            call.node,
            f"`{call.text}` asks for the target, and the KPI has none",
            "give the KPI a `target`, or write breach_in('3 days', at_most=600)",
        )
    return Breach(call.text, within_ms, span_ms, season, bound, call.subject.zone)


def _bound(call: _Call, node: exp.Expression | None) -> float | None:
    if node is None:
        return None
    sign, inner = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if isinstance(inner, exp.Column) and inner.name in call.numbers:
        return sign * call.numbers[inner.name].value
    if isinstance(inner, exp.Literal) and not inner.is_string:
        return sign * float(inner.name)
    fail(node, "a bound is a number", EXAMPLES["breach_in"])


def _burn(call: _Call) -> Feature:
    length_ms = call.span(call.next()).mean_ms
    promised = _promised(call)
    if length_ms > promised.period_ms:
        fail(call.node, f"`{call.text}` is longer than the objective's period")
    return BurnRate(call.text, length_ms, 1 - promised.share, call.subject.better)


def _left(call: _Call) -> Feature:
    promised = _promised(call)
    return BudgetLeft(call.text, promised.period_ms, 1 - promised.share, call.subject.better)


def _promised(call: _Call) -> Objective:
    if call.subject.objective is None:
        hint = "add `objective: 99.5% over 30d` to the rule"
        fail(call.node, f"`{call.text}` needs the rule's objective", hint)
    return call.subject.objective


def _pace(call: _Call) -> Feature:
    due = call.subject.due
    if due is None:
        hint = "add `pace: {period: month, target: …}` to the rule"
        fail(call.node, f"`{call.text}` needs the rule's pace", hint)
    ask: Ask = call.name  # type: ignore[assignment]
    return Pace(call.text, ask, due.unit, call.subject.zone, due.target, due.shape)


def _peers(call: _Call) -> Feature:
    node = call.named("by") or call.next()
    names = node.expressions if isinstance(node, exp.Tuple | exp.Array) else [node] if node else []
    places = []
    for dimension in names:
        if not isinstance(dimension, exp.Literal | exp.Column):
            fail(dimension, "a group is named by dimensions", EXAMPLES[call.name])
        if dimension.name not in call.subject.by:
            if call.subject.by_unsure:
                continue
            hint = suggest(dimension.name, call.subject.by, "dimensions")
            fail(dimension, f"the KPI has no dimension '{dimension.name}'", hint)
        places.append(call.subject.by.index(dimension.name))
    if len(places) == len(call.subject.by) and not call.subject.by_unsure:
        hint = "add `by` to the KPI" if not places else "leave one dimension out of the group"
        fail(call.node, "each series would be a group of its own", hint)
    return Deviation(call.text, tuple(sorted(places)))


CALLS: Mapping[str, Callable[[_Call], Feature]] = {
    "change": _change,
    "trend": _trend,
    "declining": _run,
    "rising": _run,
    "anomaly": _anomaly,
    "breach_in": _breach,
    "burn_rate": _burn,
    "budget_left": _left,
    "pace": _pace,
    "projected": _pace,
    "to_date": _pace,
    "deviation_from_group": _peers,
}
"""The calls of the language, by name."""

_BARE_MOSTLY = ("deviation_from_group",)
_BARE = ("deviation_from_group", "anomaly", "budget_left", "pace", "projected", "to_date")

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "anomaly": ("season", "over"),
    "breach_in": ("season", "over", "at_least", "at_most"),
    "deviation_from_group": ("by",),
}
"""The arguments with a name that calls take."""

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
"""How each call is written."""
