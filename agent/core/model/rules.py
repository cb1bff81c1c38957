"""Rules: their conditions by severity, and the alerts of other rules that they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, cast

import polars as pl

from agent.core.model.events import Scalar
from agent.core.model.history import Feature
from agent.core.model.kpis import Dimensions, matches

Severity = Literal["critical", "warning", "info", "page"]
SEVERITIES: tuple[Severity, ...] = ("page", "critical", "warning", "info")
"""The most urgent first: the order of a rule's levels, in whatever order they are declared."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a condition between its `and`s and `or`s, to explain which part decided it."""

    sql: str
    holds: pl.Expr


@dataclass(frozen=True, slots=True)
class Level:
    """One severity of a threshold rule: boolean expressions over column `value` (and `events`,
    `target`, and `f0…fn` of the rule's features). `clear` None: clears when `when` is false."""

    severity: Severity
    when: pl.Expr
    clear: pl.Expr | None
    when_sql: str
    clear_sql: str | None
    when_clauses: tuple[Clause, ...] = ()
    clear_clauses: tuple[Clause, ...] = ()


OnNoData = Literal["keep", "resolve", "alert"]


@dataclass(frozen=True, slots=True)
class Flapping:
    """An alert that fires `times` times within `within_ms` flaps."""

    times: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Escalation:
    """One step of an escalation: after `after_ms` of firing, `to` is notified as well."""

    after_ms: int
    to: str


@dataclass(frozen=True, slots=True)
class RuleRef:
    """A dependency of a rule: the alerts of another rule, or with `rule` "" the missed target of a
    KPI.

    `subject`: the KPI of these alerts, or the subject of a composite rule. `severity` None: any.
    `whole`: the other rule watches a KPI as a whole. A series of the other rule and one of this
    rule match if the dimensions at the indices `theirs` and `ours` are equal.
    """

    name: str
    subject: str
    rule: str
    severity: Severity | None
    whole: bool
    theirs: tuple[int, ...]
    ours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A condition over alerts. An `is` is true while `CompositeRule.dependencies[index]` fires."""

    op: Literal["is", "not", "and", "or"]
    parts: tuple[Term, ...] = ()
    index: int = 0

    def holds(self, firing: Sequence[bool]) -> bool:
        """Whether it is true; `firing`: whether each dependency fires."""
        if self.op == "is":
            return firing[self.index]
        if self.op == "not":
            return not self.parts[0].holds(firing)
        whole = all if self.op == "and" else any
        return whole(part.holds(firing) for part in self.parts)

    def indices(self) -> frozenset[int]:
        """The indices of the dependencies that it reads."""
        if self.op == "is":
            return frozenset({self.index})
        return frozenset().union(*(part.indices() for part in self.parts))


_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class RuleOverride(Generic[_R]):
    """The rule for the series whose dimensions equal `match`; `rule` None: they have no rule."""

    match: Mapping[str, Scalar]
    rule: _R | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFields(Generic[_R]):
    """The fields of all rules. `overrides`: variants of the rule for the series that match; the
    last matching one applies."""

    name: str
    keep_firing_for_ms: int = 0
    flapping: Flapping | None = None
    summary: str = ""
    description: str = ""
    runbook: str | None = None
    owner: str | None = None
    team: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    escalation: tuple[Escalation, ...] = ()
    overrides: tuple[RuleOverride[_R], ...] = ()
    depends_on: tuple[RuleRef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRule(RuleFields["ThresholdRule"]):
    """Fires when `when` has held for `for_ms` of event time.

    `features` are the history functions in its conditions, as columns `f0…fn`. A series is
    evaluated once its first window is `min_history_ms` old. `on_no_data`: the effect of a window
    without a value, or with fewer than `min_events` events: `keep` changes nothing, `resolve` acts
    as `clear`, `alert` acts as `when`.
    """

    kpi: str
    levels: tuple[Level, ...]
    on: Literal["closed", "current"] = "closed"
    for_ms: int = 0
    min_events: int = 0
    features: tuple[Feature, ...] = ()
    min_history_ms: int = 0
    on_no_data: OnNoData = "keep"


@dataclass(frozen=True, slots=True)
class AbsenceLevel:
    """One severity of an absence rule: fires after `no_data_for_ms` without an event."""

    severity: Severity
    no_data_for_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsenceRule(RuleFields["AbsenceRule"]):
    """Fires when the KPI, or one of its known series, has had no event for a level's
    `no_data_for_ms`. A series does not fire before its first event is `min_history_ms` old."""

    kpi: str
    levels: tuple[AbsenceLevel, ...]
    per: Literal["series", "kpi"] = "series"
    min_history_ms: int = 0


@dataclass(frozen=True, slots=True)
class CompositeLevel:
    """One severity of a composite rule. `clear` None: clears when `when` is false."""

    severity: Severity
    when: Term
    clear: Term | None
    when_sql: str
    clear_sql: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeRule(RuleFields["CompositeRule"]):
    """Fires when `when`, over the alerts of other rules, has held for `for_ms`.

    Its series have the dimensions that all these rules share. `check` ensures that, while none of
    the dependencies fires, `when` is false and `clear` true. `dependencies` include those of its
    overrides, so that indices mean the same in all variants.
    """

    dependencies: tuple[RuleRef, ...]
    levels: tuple[CompositeLevel, ...]
    by: tuple[str, ...]
    for_ms: int = 0
    expire_after_ms: int

    @property
    def kpi(self) -> str:
        """Its subject: what its alerts have instead of a KPI's name."""
        return RULE_SUBJECT + self.name


Rule = ThresholdRule | AbsenceRule | CompositeRule
AnyLevel = Level | AbsenceLevel | CompositeLevel

RULE_SUBJECT = "rule/"
"""The prefix of the subjects of composite rules; no KPI's name has it."""


def dependencies(rule: Rule) -> tuple[RuleRef, ...]:
    """All alerts of other rules that a rule depends on."""
    return (*(rule.dependencies if isinstance(rule, CompositeRule) else ()), *rule.depends_on)


AnyRule = TypeVar("AnyRule", bound=Rule)


def variants(rule: AnyRule) -> list[AnyRule]:
    """A rule, and the variants that its overrides define."""
    others = [override.rule for override in rule.overrides if override.rule is not None]
    return [rule, *cast("list[AnyRule]", others)]


def override_for(rule: Rule, by: Sequence[str], dimensions: Dimensions) -> int | None:
    """The index of the override that applies to a series: the last that matches; None: none."""
    conditions = [override.match for override in rule.overrides]
    matching = [index for index, match in enumerate(conditions) if matches(by, dimensions, match)]
    return matching[-1] if matching else None


def variant_for(rule: AnyRule, by: Sequence[str], dimensions: Dimensions) -> AnyRule | None:
    """The variant of a rule that applies to a series; None: the rule is not evaluated for it."""
    index = override_for(rule, by, dimensions)
    return rule if index is None else cast("AnyRule | None", rule.overrides[index].rule)


def is_whole(rule: Rule) -> bool:
    """Whether a rule watches a KPI as a whole, not its series."""
    return isinstance(rule, AbsenceRule) and rule.per == "kpi"
