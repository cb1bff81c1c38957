"""The compiled plan: what runs. `spec` makes it from YAML; the core imports no file format.

Everything here is frozen and valid once built. All times are integer milliseconds since the Unix
epoch (UTC), all spans integer milliseconds, all intervals half open `[start, end)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Literal, TypeVar, cast

import polars as pl

from agent.core.model.history import Feature
from agent.core.model.schedules import Schedule
from agent.core.model.windows import FixedWindow, Window

Scalar = str | int | bool | None
"""A dimension's value. Floats are refused as dimensions at `check`."""

Dimensions = tuple[Scalar, ...]
"""One series of a KPI: its dimension values, in the order of `Kpi.by`."""

FieldType = Literal["string", "integer", "float", "boolean"]
FIELD_DTYPES: Mapping[FieldType, type[pl.DataType]] = {
    "string": pl.String,
    "integer": pl.Int64,
    "float": pl.Float64,
    "boolean": pl.Boolean,
}

Severity = Literal["critical", "warning", "info", "page"]
SEVERITIES: tuple[Severity, ...] = ("page", "critical", "warning", "info")
"""The most urgent first: the order of a rule's levels, whatever is written."""
Better = Literal["higher", "lower"]
Path = tuple[str, ...]
"""A place in a JSON object: `user.id` is `("user", "id")`."""

OTHER = "__other__"
"""Every dimension of the series that takes in what exceeds a KPI's `max_series`."""


def dimension_of(value: Scalar) -> Scalar:
    """An event's value as a dimension: a text that reads `__other__` gets a backslash before it,
    and one that has backslashes before that one more, so that none is taken for `OTHER`."""
    return "\\" + value if isinstance(value, str) and _is_reserved(value) else value


def event_value_of(dimension: Scalar) -> Scalar:
    """What events have where a series has this dimension: the reverse of `dimension_of`."""
    if isinstance(dimension, str) and dimension[:1] == "\\" and _is_reserved(dimension):
        return dimension[1:]
    return dimension


def _is_reserved(text: str) -> bool:
    return text.endswith(OTHER) and text.lstrip("\\") == OTHER


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract. `minimum` and `maximum` are inclusive; numbers only."""

    name: str
    path: Path
    type: FieldType
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """What a product team promises of one event type.

    `type_path` None: every event of the topic is of this type; else the event whose value there
    equals `type_value`. An event further back than `max_past_ms` before its record's timestamp is
    rejected (None: none is). `duplicate_window_ms`: how long an id is remembered at most.
    """

    name: str
    topic: str
    type_path: Path | None
    type_value: str
    time_path: Path
    timezone: str
    id_path: Path | None
    lateness_ms: int
    max_future_ms: int
    idle_after_ms: int
    max_bytes: int
    fields: tuple[Field, ...]
    duplicate_window_ms: int
    max_past_ms: int | None = None


class PartialKind(StrEnum):
    """The mergeable partial aggregates that every SQL aggregate is split into."""

    COUNT = "count"  # rows (no argument) or non-null arguments
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STDDEV = "stddev"
    FIRST = "first"
    LAST = "last"
    DISTINCT = "distinct"
    QUANTILE = "quantile"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class Partial:
    """One partial aggregate of a KPI.

    `argument` is an expression over the contract's columns (None: count(*)); `filter` the boolean
    expression of its FILTER clause. `q` is the quantile asked of a QUANTILE. `whole`: the argument
    is an integer, which sums and extremes keep exactly. The final value of partial number i is
    column `a{i}` for `Kpi.value`.
    """

    kind: PartialKind
    argument: pl.Expr | None = None
    filter: pl.Expr | None = None
    q: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds of a KPI's value; None where not given.

    `at_least` and `at_most` both given: between. The warn bounds lie inside them. `kpis` are the
    bounds that are another KPI's value of the same window, as (name of the bound, KPI).
    """

    at_least: float | None = None
    at_most: float | None = None
    warn_at_least: float | None = None
    warn_at_most: float | None = None
    kpis: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TargetOverride:
    """The target of the series whose dimensions equal `match` (empty: of all), in the windows that
    start at `from_ms` or later (None: in all); the last matching one holds. `since` is that date as
    it is written, for people."""

    match: Mapping[str, Scalar]
    target: Target
    from_ms: int | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Kpi:
    """A KPI: a base one over a contract's rows, or a derived one over other KPIs.

    Base: `contract` is set, `partials` are folded from the rows for which `where` is true, and
    `value` is an expression over `a0…an`, the partials' finals. `partials[0]` is always count(*)
    without filter: the window's number of events.
    Derived: `contract` is None, `value` is an expression over columns named after `inputs`, all of
    which share this KPI's `by` and `window`; if they have more in `by`, `value` aggregates over
    their series.
    `max_series` and `max_state_bytes` bound the series and the size of their rows: beyond either,
    new series are folded into `__other__`.
    `placement` names the dimensions whose values say where a series lives; None: all of `by`. KPIs
    that must see each other share it (`agent.language.coupling`).
    `slice_ms` is the window's slice, or a finer one where a rule judges current values.
    `fingerprint` changes exactly when state of this KPI can not be carried on (value, where, by,
    window, slice, or the contract's reading of its fields). `objective` is the one that the KPI
    itself says it serves. `person` is the dimension that names a person, which makes the KPI
    private; `named`: people are told by name all the same. `backfill_ms` is how much of its past a
    base KPI without state is given from the source topic. `whole`: its values are whole numbers.
    """

    name: str
    title: str
    description: str
    unit: str | None
    better: Better
    owner: str | None
    team: str | None
    contract: str | None
    inputs: tuple[str, ...]
    where: pl.Expr | None
    partials: tuple[Partial, ...]
    value: pl.Expr
    by: tuple[str, ...]
    window: Window
    slice_ms: int
    lateness_ms: int
    target: Target | None
    overrides: tuple[TargetOverride, ...]
    max_series: int
    expire_after_ms: int
    fingerprint: str
    sql: str
    where_sql: str | None
    placement: tuple[str, ...] | None = None
    objective: str | None = None
    person: str | None = None
    named: bool = False
    backfill_ms: int | None = None
    max_state_bytes: int = 2**30
    whole: bool = False

    @property
    def metric(self) -> str:
        """`kpi_<name>_<unit>`: the Prometheus name of the closed value."""
        return metric_name(self.name, self.unit)

    @property
    def has_retention(self) -> bool:
        """Whether a window needs the window before it."""
        return any(p.kind is PartialKind.RETENTION for p in self.partials)


def matches(by: Sequence[str], dimensions: Dimensions, match: Mapping[str, Scalar]) -> bool:
    """Whether every dimension that `match` names has exactly the value it gives.

    True is not 1 here, and null only matches null.
    """
    values = dict(zip(by, dimensions, strict=True))
    return all(
        name in values and values[name] == wanted and type(values[name]) is type(wanted)
        for name, wanted in match.items()
    )


def metric_name(kpi: str, unit: str | None, middle: str = "") -> str:
    """`kpi_<name>[_<middle>][_<unit>]`, the unit said once: Prometheus naming conventions."""
    parts = ["kpi", kpi]
    if unit and kpi.endswith(f"_{unit}"):
        parts[1] = kpi[: -len(unit) - 1]
    if middle:
        parts.append(middle)
    if unit:
        parts.append(unit)
    return "_".join(parts)


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

    `home`: the KPI that the alerts belong to, or the `home` of a combination rule. `severity` None:
    any. `whole`: a rule that watches a KPI as a whole. A series there and one of the rule that
    looks belong together where the dimensions at `theirs` equal those at `ours`.
    """

    name: str
    home: str
    rule: str
    severity: Severity | None
    whole: bool
    theirs: tuple[int, ...]
    ours: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A condition over alerts: `is` names a place in `CombinationRule.heeds`."""

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


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Fires when `when` has held for `for_ms` of event time.

    `features` are what its conditions ask of a series' history, as columns `f0…fn`. A series is
    judged once its first window is `min_history_ms` old. `on_no_data`: what a window without a
    value, or with fewer than `min_events` events, does: nothing, what `clear` or what `when` does.
    `overrides`: the rule as it is for the series that match; the last matching one holds.
    """

    name: str
    kpi: str
    levels: tuple[Level, ...]
    on: Literal["closed", "current"]
    for_ms: int
    keep_firing_for_ms: int
    min_events: int
    summary: str
    description: str
    runbook: str | None
    owner: str | None
    team: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    escalation: tuple[Escalation, ...] = ()
    features: tuple[Feature, ...] = ()
    min_history_ms: int = 0
    on_no_data: OnNoData = "keep"
    flapping: Flapping | None = None
    overrides: tuple[RuleOverride[ThresholdRule], ...] = ()
    depends_on: tuple[RuleRef, ...] = ()


_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class RuleOverride(Generic[_R]):
    """A rule as it is for the series whose dimensions equal `match`; `rule` None: not at all."""

    match: Mapping[str, Scalar]
    rule: _R | None


@dataclass(frozen=True, slots=True)
class AbsenceLevel:
    """One severity of an absence rule: fires after so long without an event."""

    severity: Severity
    no_data_for_ms: int


@dataclass(frozen=True, slots=True)
class AbsenceRule:
    """Fires when the KPI, or one of its known series, has had no event for `no_data_for_ms` of a
    level; of a series not before its first event is `min_history_ms` old."""

    name: str
    kpi: str
    levels: tuple[AbsenceLevel, ...]
    per: Literal["series", "kpi"]
    keep_firing_for_ms: int
    summary: str
    description: str
    runbook: str | None
    owner: str | None
    team: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    escalation: tuple[Escalation, ...] = ()
    min_history_ms: int = 0
    flapping: Flapping | None = None
    overrides: tuple[RuleOverride[AbsenceRule], ...] = ()
    depends_on: tuple[RuleRef, ...] = ()


@dataclass(frozen=True, slots=True)
class CombinedLevel:
    """One severity of a combination rule. `clear` None: clears when `when` is false."""

    severity: Severity
    when: Term
    clear: Term | None
    when_sql: str
    clear_sql: str | None


@dataclass(frozen=True, slots=True)
class CombinationRule:
    """Fires when `when`, over the alerts of other rules, has held for `for_ms`.

    Its series are by the dimensions that all these share. `when` is false while none of them fires,
    and `clear` true. `heeds` are those of its overrides, too, so that places mean the same in all.
    `kpi` is its home: what stands where alerts name their KPI; it is the name of none.
    """

    name: str
    heeds: tuple[RuleRef, ...]
    levels: tuple[CombinedLevel, ...]
    by: tuple[str, ...]
    for_ms: int
    keep_firing_for_ms: int
    expire_after_ms: int
    summary: str
    description: str
    runbook: str | None
    owner: str | None
    team: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    escalation: tuple[Escalation, ...] = ()
    flapping: Flapping | None = None
    overrides: tuple[RuleOverride[CombinationRule], ...] = ()
    depends_on: tuple[RuleRef, ...] = ()

    @property
    def kpi(self) -> str:
        """Its home."""
        return HOME + self.name


Rule = ThresholdRule | AbsenceRule | CombinationRule
AnyLevel = Level | AbsenceLevel | CombinedLevel

HOME = "rule/"
"""What the home of a combination rule begins with; no KPI's name does."""


def heeds(rule: Rule) -> tuple[RuleRef, ...]:
    """What a rule looks at, beside its own KPI."""
    return (*(rule.heeds if isinstance(rule, CombinationRule) else ()), *rule.depends_on)


AnyRule = TypeVar("AnyRule", bound=Rule)


def variants(rule: AnyRule) -> list[AnyRule]:
    """A rule, and what its overrides make of it."""
    others = [override.rule for override in rule.overrides if override.rule is not None]
    return [rule, *cast("list[AnyRule]", others)]


def override_for(rule: Rule, by: Sequence[str], dimensions: Dimensions) -> int | None:
    """Which override of a rule holds for a series: the last that matches; None: none does."""
    wanted = [override.match for override in rule.overrides]
    found = [number for number, match in enumerate(wanted) if matches(by, dimensions, match)]
    return found[-1] if found else None


def as_for(rule: AnyRule, by: Sequence[str], dimensions: Dimensions) -> AnyRule | None:
    """A rule as it is for one series; None: it is not judged there."""
    number = override_for(rule, by, dimensions)
    return rule if number is None else cast("AnyRule | None", rule.overrides[number].rule)


def is_whole(rule: Rule) -> bool:
    """Whether a rule watches a KPI as a whole, not its series."""
    return isinstance(rule, AbsenceRule) and rule.per == "kpi"


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted set of KPIs and objectives. All weights are positive and together add up to 1."""

    name: str
    title: str
    description: str
    owner: str | None
    kpis: Mapping[str, float]
    objectives: Mapping[str, float] = field(default_factory=dict)
    team: str | None = None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Time that is taken out of alerts, targets and baselines.

    `kpis` are all it is of, those computed from others among them; `match` leaves of these the
    series whose dimensions equal it.
    """

    name: str
    title: str
    description: str
    kpis: frozenset[str]
    match: Mapping[str, Scalar]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything declared, compiled. `kpis` is in dependency order (inputs before derived).

    A rule comes after those that it looks at. `config_hash` identifies the rule set: the same YAML
    content gives the same hash.
    """

    contracts: Mapping[str, Contract]
    kpis: Mapping[str, Kpi]
    rules: Mapping[str, Rule]
    objectives: Mapping[str, Objective]
    config_hash: str
    maintenance: Mapping[str, Maintenance] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[str, ...]:
        """The source topics, sorted."""
        return tuple(sorted({c.topic for c in self.contracts.values()}))

    def contracts_of(self, topic: str) -> tuple[Contract, ...]:
        """The contracts of one topic, in order of name."""
        return tuple(c for _, c in sorted(self.contracts.items()) if c.topic == topic)

    def kpis_of(self, contract: str) -> tuple[Kpi, ...]:
        """The base KPIs over one contract."""
        return tuple(k for k in self.kpis.values() if k.contract == contract)

    def rules_of(self, kpi: str) -> tuple[Rule, ...]:
        """The rules over one KPI."""
        return tuple(r for r in self.rules.values() if r.kpi == kpi)

    def objectives_of(self, kpi: str) -> tuple[str, ...]:
        """The objectives that a KPI serves: those that weigh it, and the one it states; by name."""
        if kpi not in self.kpis:
            return ()  # a combination rule's alerts are no KPI's
        stated = self.kpis[kpi].objective
        return tuple(
            sorted(o for o, one in self.objectives.items() if kpi in one.kpis or o == stated)
        )

    @property
    def combinations(self) -> Mapping[str, CombinationRule]:
        """The combination rules, by their home."""
        return {r.kpi: r for r in self.rules.values() if isinstance(r, CombinationRule)}

    def by_of(self, home: str) -> tuple[str, ...] | None:
        """The dimensions of a KPI's series, or of a combination rule's; None: not declared."""
        if home in self.kpis:
            return self.kpis[home].by
        rule = self.rules.get(home.removeprefix(HOME)) if home.startswith(HOME) else None
        return rule.by if isinstance(rule, CombinationRule) else None

    def subject(self, home: str) -> Kpi | None:
        """What alerts with this home are about; None: it is not declared."""
        if home in self.kpis or not home.startswith(HOME):
            return self.kpis.get(home)
        rule = self.rules.get(home.removeprefix(HOME))
        return self.subject_of(rule) if isinstance(rule, CombinationRule) else None

    def subject_of(self, rule: Rule) -> Kpi:
        """What a rule is about: its KPI; of a combination rule, which is about no single one, what
        stands for one, without a name and a value."""
        return _stand_in(rule) if isinstance(rule, CombinationRule) else self.kpis[rule.kpi]

    def contracts_under(self, kpi: str) -> frozenset[str]:
        """The contracts that a KPI's value comes from, through its inputs."""
        found = self.kpis[kpi]
        if found.contract is not None:
            return frozenset({found.contract})
        return frozenset().union(*(self.contracts_under(name) for name in found.inputs))


def _stand_in(rule: CombinationRule) -> Kpi:
    words = rule.name.replace("_", " ")
    return Kpi(
        name="", title=words[:1].upper() + words[1:], description=rule.description, unit=None,
        better="lower", owner=rule.owner, team=rule.team, contract=None, inputs=(), where=None,
        partials=(), value=pl.lit(None), by=rule.by, window=FixedWindow(60_000, 60_000),
        slice_ms=60_000, lateness_ms=0, target=None, overrides=(), max_series=1,
        expire_after_ms=rule.expire_after_ms, fingerprint="", sql="", where_sql=None,
    )  # fmt: skip
