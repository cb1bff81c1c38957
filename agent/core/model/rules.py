"""Rules: when they fire, by severity, and what other rules' alerts they look at."""

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
"""The most urgent first: the order of a rule's levels, whatever is written."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a condition between its `and`s and `or`s, for people who ask which one decided."""

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
    """Who is called as well, once an alert has been firing for so long: one step of a rule's."""

    after_ms: int
    to: str


@dataclass(frozen=True, slots=True)
class RuleRef:
    """What a rule looks at beside its own KPI: the alerts of another rule, or with `rule` "" a KPI
    whose target is missed.

    `subject`: the KPI that the alerts belong to, or a composite rule's own. `severity` None:
    any. `whole`: a rule that watches a KPI as a whole. A series there and one of the rule that
    looks belong together where the dimensions at `theirs` equal those at `ours`.
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
    """A condition over alerts: `is` names a place in `CompositeRule.dependencies`."""

    op: Literal["is", "not", "and", "or"]
    parts: tuple[Term, ...] = ()
    place: int = 0

    def holds(self, firing: Sequence[bool]) -> bool:
        """Whether it is true while these fire."""
        if self.op == "is":
            return firing[self.place]
        if self.op == "not":
            return not self.parts[0].holds(firing)
        whole = all if self.op == "and" else any
        return whole(part.holds(firing) for part in self.parts)

    def places(self) -> frozenset[int]:
        """What it looks at."""
        if self.op == "is":
            return frozenset({self.place})
        return frozenset().union(*(part.places() for part in self.parts))


_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class RuleOverride(Generic[_R]):
    """A rule as it is for the series whose dimensions equal `match`; `rule` None: not at all."""

    match: Mapping[str, Scalar]
    rule: _R | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFields(Generic[_R]):
    """What all rules have: who is called, what they read, and how alerts end.

    `overrides`: the rule as it is for the series that match; the last matching one holds.
    """

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

    `features` are what its conditions ask of a series' history, as columns `f0…fn`. A series is
    evaluated once its first window is `min_history_ms` old. `on_no_data`: what a window without a
    value, or with fewer than `min_events` events, does: nothing, what `clear` or what `when` does.
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
    """One severity of an absence rule: fires after so long without an event."""

    severity: Severity
    no_data_for_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsenceRule(RuleFields["AbsenceRule"]):
    """Fires when the KPI, or one of its known series, has had no event for `no_data_for_ms` of a
    level; of a series not before its first event is `min_history_ms` old."""

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

    Its series are by the dimensions that all these share. `when` is false while none of them fires,
    and `clear` true. `dependencies` include those of its overrides, so that places mean the same in
    all. `kpi` is its subject: what alerts have in place of a KPI's name; no KPI has that name.
    """

    dependencies: tuple[RuleRef, ...]
    levels: tuple[CompositeLevel, ...]
    by: tuple[str, ...]
    for_ms: int = 0
    expire_after_ms: int

    @property
    def kpi(self) -> str:
        """Whose alerts they are, in the place of a KPI."""
        return RULE_SUBJECT + self.name


Rule = ThresholdRule | AbsenceRule | CompositeRule
AnyLevel = Level | AbsenceLevel | CompositeLevel

RULE_SUBJECT = "rule/"
"""What the subject of a composite rule begins with; no KPI's name does."""


def dependencies(rule: Rule) -> tuple[RuleRef, ...]:
    """What a rule looks at, beside its own KPI."""
    return (*(rule.dependencies if isinstance(rule, CompositeRule) else ()), *rule.depends_on)


AnyRule = TypeVar("AnyRule", bound=Rule)


def variants(rule: AnyRule) -> list[AnyRule]:
    """A rule, and what its overrides make of it."""
    others = [override.rule for override in rule.overrides if override.rule is not None]
    return [rule, *cast("list[AnyRule]", others)]


def override_for(rule: Rule, by: Sequence[str], dimensions: Dimensions) -> int | None:
    """Which override of a rule holds for a series: the last that matches; None: none does."""
    wanted = [override.match for override in rule.overrides]
    matching = [number for number, match in enumerate(wanted) if matches(by, dimensions, match)]
    return matching[-1] if matching else None


def as_for(rule: AnyRule, by: Sequence[str], dimensions: Dimensions) -> AnyRule | None:
    """A rule as it is for one series; None: it is not evaluated there."""
    number = override_for(rule, by, dimensions)
    return rule if number is None else cast("AnyRule | None", rule.overrides[number].rule)


def is_whole(rule: Rule) -> bool:
    """Whether a rule watches a KPI as a whole, not its series."""
    return isinstance(rule, AbsenceRule) and rule.per == "kpi"
