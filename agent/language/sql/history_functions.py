"""The history functions of conditions: `change('1 week')`, `anomaly()` and the others.

Each call becomes a feature of the rule, which the conditions read as a column `f0…fn`.
"""

from __future__ import annotations

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
from agent.core.history.seasonal import SEASON_MS, SeasonalAnomaly
from agent.core.history.trend import LEAST_POINTS, Run, Trend
from agent.core.model.history import Feature
from agent.core.model.windows import FixedWindow
from agent.language.models.values import Slo
from agent.language.problems import suggest
from agent.language.sql.expressions import fail
from agent.language.sql.history_call import (
    EXAMPLES,
    Call,
    PaceTarget,
    Subject,
    called,
    is_beside,
    read_span,
)
from agent.language.sql.percents import Number
from agent.language.sql.types import Typed

MOST_WINDOWS = 50_000
"""Windows of each series that a rule may look back on: they are kept in memory."""


@dataclass(slots=True)
class FeatureCollector:
    """Collects the features of one rule, in the order of their columns."""

    subject: Subject
    features: list[Feature] = field(default_factory=list)

    def translate(
        self, text: str, numbers: Mapping[str, Number], node: exp.Expression
    ) -> Typed | None:
        """The column of a history function's call, or the value of a percentage; None for other
        nodes.

        Raises SqlProblem for an invalid call.
        """
        if isinstance(node, exp.Column) and node.name in numbers:
            return _number(node, numbers[node.name])
        if isinstance(node, exp.Column) and node.name == self.subject.kpi:
            fail(
                node, f"there is no column `{node.name}`", "`value` is the value of the rule's KPI"
            )
        name, arguments = called(node)
        build = CALLS.get(name)
        if build is None:
            return None
        call = Call(self.subject, text, node, name, arguments, numbers, len(arguments))
        feature = build(call)
        call.refuse_rest()
        self._check(call, feature)
        if feature not in self.features:
            self.features.append(feature)
        column = pl.col(f"f{self.features.index(feature)}")
        if feature.is_condition:
            return Typed(column == 1, "boolean")
        return Typed(column, "float")

    def _check(self, call: Call, feature: Feature) -> None:
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
    is_rate = number.per_days is not None
    if is_rate and not is_beside(node, ("trend",)):
        fail(node, "a rate (`per …`) is compared with `trend(…)` only", "leave out `per …`")
    return Typed(pl.lit(number.a_day if is_rate else number.value), "float")


def _count(call: Call, node: exp.Expression | None) -> int:
    if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
        fail(node or call.node, f"`{call.name}` needs a number of windows", EXAMPLES[call.name])
    if not 1 <= int(node.name) <= 1000:
        fail(node, "the number of windows has to be from 1 to 1000", EXAMPLES[call.name])
    return int(node.name)


def _enough(call: Call, length_ms: int) -> None:
    """Refuse a span with fewer windows than a trend needs."""
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


def _change(call: Call) -> Feature:
    node = call.next()
    previous = isinstance(node, exp.Literal) and node.name in ("previous", "1 window")
    length = None if node is None or previous else read_span(call, node)
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


def _trend(call: Call) -> Feature:
    length_ms = call.span(call.next()).mean_ms
    _enough(call, length_ms)
    if call.bounds_without_rate():
        fail(call.node, "a trend is compared with a rate, or with 0", EXAMPLES[call.name])
    return Trend(call.text, length_ms, call.relative())


def _run(call: Call) -> Feature:
    return Run(call.text, call.name, _count(call, call.next()))  # type: ignore[arg-type]


def _anomaly(call: Call) -> Feature:
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


def _breach(call: Call) -> Feature:
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


def _bound(call: Call, node: exp.Expression | None) -> float | None:
    if node is None:
        return None
    sign, inner = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if isinstance(inner, exp.Column) and inner.name in call.numbers:
        return sign * call.numbers[inner.name].value
    if isinstance(inner, exp.Literal) and not inner.is_string:
        return sign * float(inner.name)
    fail(node, "a bound is a number", EXAMPLES["breach_in"])


def _burn_rate(call: Call) -> Feature:
    length_ms = call.span(call.next()).mean_ms
    slo = _slo(call)
    if length_ms > slo.period_ms:
        fail(call.node, f"`{call.text}` is longer than the objective's period")
    return BurnRate(call.text, length_ms, 1 - slo.share, call.subject.better)


def _budget_left(call: Call) -> Feature:
    slo = _slo(call)
    return BudgetLeft(call.text, slo.period_ms, 1 - slo.share, call.subject.better)


def _slo(call: Call) -> Slo:
    if call.subject.slo is None:
        hint = "add `objective: 99.5% over 30d` to the rule"
        fail(call.node, f"`{call.text}` needs the rule's objective", hint)
    return call.subject.slo


def _pace(call: Call) -> Feature:
    pace = _pace_target(call)
    ask: Ask = call.name  # type: ignore[assignment]
    return Pace(call.text, ask, pace.unit, call.subject.zone, pace.target, pace.shape)


def _pace_target(call: Call) -> PaceTarget:
    if call.subject.pace is None:
        hint = "add `pace: {period: month, target: …}` to the rule"
        fail(call.node, f"`{call.text}` needs the rule's pace", hint)
    return call.subject.pace


def _peers(call: Call) -> Feature:
    node = call.named("by") or call.next()
    names = node.expressions if isinstance(node, exp.Tuple | exp.Array) else [node] if node else []
    indices = []
    for dimension in names:
        if not isinstance(dimension, exp.Literal | exp.Column):
            fail(dimension, "a group is named by dimensions", EXAMPLES[call.name])
        if dimension.name not in call.subject.by:
            if call.subject.by_unsure:
                continue
            hint = suggest(dimension.name, call.subject.by, "dimensions")
            fail(dimension, f"the KPI has no dimension '{dimension.name}'", hint)
        indices.append(call.subject.by.index(dimension.name))
    if len(indices) == len(call.subject.by) and not call.subject.by_unsure:
        hint = "add `by` to the KPI" if not indices else "leave one dimension out of the group"
        fail(call.node, "each series would be a group of its own", hint)
    return Deviation(call.text, tuple(sorted(indices)))


CALLS: Mapping[str, Callable[[Call], Feature]] = {
    "change": _change,
    "trend": _trend,
    "declining": _run,
    "rising": _run,
    "anomaly": _anomaly,
    "breach_in": _breach,
    "burn_rate": _burn_rate,
    "budget_left": _budget_left,
    "pace": _pace,
    "projected": _pace,
    "to_date": _pace,
    "deviation_from_group": _peers,
}
"""The history functions, by name."""
