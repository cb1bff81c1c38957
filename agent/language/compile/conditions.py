"""The conditions of rules, compiled: one for each severity, and again for each override."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from agent.core.history.burn_rate import PUBLISHED, BudgetLeft, BurnRate
from agent.core.history.peers import Deviation
from agent.core.model.history import Feature
from agent.core.model.rules import SEVERITIES, Clause, Level, Severity
from agent.language.checks.kpis import has_target
from agent.language.compile.satisfiable import (
    SHARE,
    Range,
    asks_for_no_value,
    can_hold,
    range_of,
    range_of_value,
)
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models import durations
from agent.language.models.rules import ConditionSpec, RuleOverrideSpec, RuleSpec
from agent.language.models.values import Slo
from agent.language.source import Place
from agent.language.sql.clauses import clauses
from agent.language.sql.compiler import compile_condition
from agent.language.sql.history_call import PaceTarget, Subject
from agent.language.sql.history_functions import FeatureCollector

CONDITION_COLUMNS = ("value", "events", "target")
"""The columns that conditions of rules may read."""


@dataclass(frozen=True, slots=True)
class RuleSql:
    """The compiled levels of a rule and the features that they read; the same for each override,
    None where it does not change the conditions."""

    levels: tuple[Level, ...]
    features: tuple[Feature, ...] = ()
    overrides: tuple[RuleSql | None, ...] = ()

    def all_features(self) -> tuple[Feature, ...]:
        """The features of the rule and its overrides."""
        others = [f for o in self.overrides if o is not None for f in o.features]
        return (*self.features, *others)


Texts = str | dict[Severity, str]


def compile_rule(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> RuleSql | None:
    """The SQL of a rule; None where something is wrong, which is reported."""
    model = entry.model
    base = _RuleCompiler(declared, entry, model, shape).compile((), model)
    overrides = []
    for i, override in enumerate(model.overrides):
        own = None
        if _changes_conditions(override):
            spec = model.overridden(override)
            own = _RuleCompiler(declared, entry, spec, shape).compile(("overrides", i), override)
            if own is None:
                return None
        overrides.append(own)
    if base is None:
        return None
    sql = RuleSql(base.levels, base.features, tuple(overrides))
    if model.on == "current" and any(isinstance(f, Deviation) for f in sql.all_features()):
        message = "a group is known when its windows close: it has no current values"
        declared.report(entry, ("on",), message, "leave `on` out")
    return sql


def _changes_conditions(override: RuleOverrideSpec) -> bool:
    """Whether an override has a field that changes the compiled conditions."""
    fields = (override.when, override.clear, override.severity, override.pace, override.objective)
    return any(field is not None for field in fields)


def subject_of(declared: Declared, model: RuleSpec, shape: Shape) -> Subject:
    """What the conditions of a rule are about."""
    kpi, pace, target = declared.kpis.get(model.kpi or ""), model.pace, None
    if pace is not None:
        target = PaceTarget(pace.period, pace.target, 0 if pace.shape == "line" else pace.shape)
    return Subject(
        window=None if "window" in shape.unsure else shape.window,
        by=shape.by,
        by_unsure="by" in shape.unsure,
        zone=zone_of(declared, kpi.model.timezone if kpi else None),
        better=kpi.model.better if kpi else "higher",
        has_target=kpi is None or has_target(kpi),
        slo=model.objective,
        pace=target,
        kpi=model.kpi or "",
    )


def written_when(model: RuleSpec, subject: Subject) -> Texts | None:
    """A rule's condition; without one, the condition that its `objective` or `pace` implies."""
    if model.when is not None:
        return model.when
    if subject.slo is not None:
        return burn_rate_conditions(subject.slo)
    if subject.pace is not None:
        sign = "<" if subject.better == "higher" else ">"
        return f"projected() {sign} {subject.pace.target:.15g}"
    return None


def burn_rate_conditions(slo: Slo) -> dict[Severity, str]:
    """The published table of windows and burn rates as conditions, scaled to the SLO's period."""
    texts: dict[Severity, list[str]] = {}
    for row in PUBLISHED:
        rate = row.budget * slo.period_ms / row.long_ms
        long, short = durations.show(row.long_ms), durations.show(row.short_ms)
        both = f"burn_rate('{long}') > {rate:.6g} and burn_rate('{short}') > {rate:.6g}"
        texts.setdefault(row.severity, []).append(both)
    return {
        severity: alternatives[0]
        if len(alternatives) == 1
        else " or ".join(f"({sql})" for sql in alternatives)
        for severity, alternatives in texts.items()
    }


class _RuleCompiler:
    """Compiles the conditions of a rule: the declared one, or with one of its overrides."""

    def __init__(
        self, declared: Declared, entry: Entry[RuleSpec], model: RuleSpec, shape: Shape
    ) -> None:
        self._declared = declared
        self._entry = entry
        self._model = model
        self._features = FeatureCollector(subject_of(declared, model, shape))

    def compile(self, at: Place, written: ConditionSpec) -> RuleSql | None:
        """The levels, of which `written` has what is written at a place of the entry; None where
        something is wrong."""
        when, clear = written_when(self._model, self._features.subject), self._model.clear
        if when is None:
            self._lone_clears(at, clear, ())
            return RuleSql(())
        default = self._model.severity or "warning"
        whens: Mapping[Severity, str] = when if isinstance(when, dict) else {default: when}
        self._lone_clears(at, clear, whens)
        # What an override takes over from the rule is written there.
        given = self._model.when
        when_from: Place = () if written.when is None else at
        clear_from: Place = () if written.clear is None else at
        levels = []
        for severity in SEVERITIES:
            if severity not in whens:
                continue
            when_at: Place = (*when_from, "when")
            if isinstance(given, dict):
                when_at = (*when_at, severity)
            fires = self._condition(when_at, whens[severity])
            clear_at: Place = (*clear_from, "clear")
            if isinstance(clear, dict):
                clear_at = (*clear_at, severity)
            text = clear.get(severity) if isinstance(clear, dict) else clear
            clears = None if text is None else self._condition(clear_at, text)
            if fires is not None and given is not None:
                self._satisfiable(when_at, fires, whens[severity])
            if clears is not None and text is not None:
                self._clears(clear_at, clears, text, fires, whens[severity])
            if fires is not None and (text is None or clears is not None):
                whens_of, clears_of = self._clauses(whens[severity]), self._clauses(text)
                sql, clear_sql = whens[severity].strip(), _strip(text)
                levels.append(Level(severity, fires, clears, sql, clear_sql, whens_of, clears_of))
        if len(levels) < len(whens):
            return None
        return RuleSql(tuple(levels), tuple(self._features.features))

    def _clauses(self, text: str | None) -> tuple[Clause, ...]:
        """The clauses of a condition that has compiled."""
        return tuple(
            Clause(sql, compile_condition(sql, CONDITION_COLUMNS, self._features))
            for sql in (clauses(text) if text is not None else ())
        )

    def _ranges(self, least_events: int) -> dict[str, Range]:
        features = {f"f{i}": range_of(f) for i, f in enumerate(self._features.features)}
        kpi = self._declared.kpis.get(self._entry.model.kpi or "")
        value = range_of_value(kpi.model.value) if kpi is not None else Range()
        return {"value": value, "events": Range(least_events, whole=True), **features}

    def _satisfiable(self, at: Place, fires: pl.Expr, text: str) -> None:
        """Report a condition that no values satisfy."""
        if asks_for_no_value(text):
            message = "a window without a value is not evaluated: this is never true"
            hint = "write `on_no_data: alert`, or an absence rule: `no_data_for: 30m`"
            self._declared.report(self._entry, at, message, hint)
            return
        # The fewest events of a window whose value is evaluated.
        least = 0 if self._model.on_no_data == "alert" else self._model.min_events or 0
        if can_hold(fires, [text], self._ranges(least)) is not False:
            return
        hint = "no value meets all of these bounds"
        if can_hold(fires, [text], {**self._ranges(least), "value": Range()}):
            is_share = self._ranges(least)["value"] == SHARE
            hint = (
                "the value is a share of the events, from 0 to 1: `0.95` or `95%`"
                if is_share
                else "the value is a count: a whole number, and never below 0"
            )
        elif can_hold(fires, [text], self._ranges(0)):
            hint = f"`min_events: {least}` excludes windows with fewer events"
        elif budget := self._budget():
            hint = (
                f"when every event is bad, the burn rate of this objective is {1 / budget:.4g}; "
                f"when none is, `budget_left` is 1"
            )
        self._declared.report(self._entry, at, "this can never be true: it would never fire", hint)

    def _clears(
        self, at: Place, clears: pl.Expr, text: str, fires: pl.Expr | None, when: str
    ) -> None:
        """Report a `clear` that is never true, or true whenever `when` is."""
        ranges = self._ranges(0)
        if can_hold(clears, [text], ranges) is False:
            message = "this can never be true: an alert would never resolve"
            hint = "leave `clear` out: the alert then resolves when `when` is not true"
            self._declared.report(self._entry, at, message, hint)
        elif fires is not None and can_hold(fires & ~clears, [when, text], ranges) is False:
            message = f"this is true whenever `when` is ({when.strip()}): it would resolve at once"
            hint = (
                "`clear` is the opposite of `when`, with a margin: "
                "`when: value > 600`, `clear: value < 480`"
            )
            self._declared.report(self._entry, at, message, hint)

    def _budget(self) -> float | None:
        """The error budget of the burn-rate features, if there are any."""
        budgets = [
            f.budget for f in self._features.features if isinstance(f, BurnRate | BudgetLeft)
        ]
        return budgets[0] if budgets else None

    def _lone_clears(self, at: Place, clear: Texts | None, whens: Collection[Severity]) -> None:
        """Report what is wrong with each `clear` whose `when` is missing or could not be read."""
        if isinstance(clear, dict):
            for severity in clear:
                if severity not in whens:
                    self._condition((*at, "clear", severity), clear[severity])
        elif clear is not None and not whens:
            self._condition((*at, "clear"), clear)

    def _condition(self, at: Place, text: str) -> pl.Expr | None:
        declared, entry = self._declared, self._entry
        ways = [partial(compile_condition, columns=CONDITION_COLUMNS, features=self._features)]
        condition: Any = declared.compile_first(entry, at, text, ways)
        if condition is None or self._features.subject.has_target:
            return condition  # type: ignore[no-any-return]
        if "target" in condition.meta.root_names():
            start = text.lower().find("target")
            message = f"'{entry.model.kpi}' has no target"
            hint = "give the KPI a `target`, or write the number"
            declared.report(entry, at, message, hint, chars=(start, start + len("target")))
        return condition  # type: ignore[no-any-return]


def _strip(text: str | None) -> str | None:
    return None if text is None else text.strip()
