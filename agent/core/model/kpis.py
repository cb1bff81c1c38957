"""KPIs: their partial aggregates, targets and series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import polars as pl

from agent.core.model.events import Scalar
from agent.core.model.windows import Window

Dimensions = tuple[Scalar, ...]
"""One series of a KPI: its dimension values, in the order of `Kpi.by`."""

SeriesRef = tuple[str, Dimensions | None]
"""A series: its KPI or the subject of a composite rule, and its dimensions; None: the KPI as a
whole."""
Better = Literal["higher", "lower"]

OTHER = "__other__"
"""The value of every dimension of the series that collects what exceeds a KPI's `max_series`."""


def dimension_of(value: Scalar) -> Scalar:
    """An event's value as a dimension. A backslash before the text `__other__` (and one more before
    a text that is already escaped) distinguishes it from `OTHER`."""
    return "\\" + value if isinstance(value, str) and _is_reserved(value) else value


def event_value_of(dimension: Scalar) -> Scalar:
    """The event value of a dimension: the reverse of `dimension_of`."""
    if isinstance(dimension, str) and dimension[:1] == "\\" and _is_reserved(dimension):
        return dimension[1:]
    return dimension


def _is_reserved(text: str) -> bool:
    return text.endswith(OTHER) and text.lstrip("\\") == OTHER


class PartialKind(StrEnum):
    """The mergeable partial aggregates that every SQL aggregate is split into."""

    COUNT = "count"  # rows (no argument) or non-null arguments
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STDDEV = "stddev"
    STDDEV_POP = "stddev_pop"
    VARIANCE = "variance"
    VAR_POP = "var_pop"
    FIRST = "first"
    LAST = "last"
    ARG_MIN = "arg_min"
    ARG_MAX = "arg_max"
    DISTINCT = "distinct"
    QUANTILE = "quantile"
    QUANTILE_CONT = "quantile_cont"
    MODE = "mode"
    SUM_DISTINCT = "sum(distinct)"
    MEAN_DISTINCT = "avg(distinct)"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class Partial:
    """One partial aggregate of a KPI.

    `argument` is an expression over the contract's columns (None: count(*)), `filter` the boolean
    expression of its FILTER clause, `q` the quantile of a QUANTILE, `order` the expression that
    ARG_MIN and ARG_MAX rank rows by. `whole`: the argument is an integer, and sums and extremes
    stay exact integers; `whole_order`: `order` is an integer. The final value of partial i is the
    column `a{i}` of `Kpi.value`.
    """

    kind: PartialKind
    argument: pl.Expr | None = None
    filter: pl.Expr | None = None
    q: float | None = None
    whole: bool = False
    order: pl.Expr | None = None
    whole_order: bool = False


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast of text in a KPI's SQL that may fail. `fields`: the fields that it reads; `failed`:
    whether it fails in a row for which the KPI's `where` is true."""

    fields: tuple[str, ...]
    failed: pl.Expr


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds of a KPI's value; None: not set.

    `at_least` and `at_most` together mean between. The warn bounds lie inside them. `kpis`: bounds
    that are another KPI's value in the same window, as (name of the bound, KPI).
    """

    at_least: float | None = None
    at_most: float | None = None
    warn_at_least: float | None = None
    warn_at_most: float | None = None
    kpis: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TargetOverride:
    """The target of the series whose dimensions equal `match` (empty: all series), for windows that
    start at `from_ms` or later (None: all windows). The last matching override applies. `since` is
    `from_ms` as declared, for people."""

    match: Mapping[str, Scalar]
    target: Target
    from_ms: int | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Kpi:
    """A base KPI over the rows of a contract, or a derived KPI over other KPIs.

    - Base: `contract` is set, `partials` are folded from the rows for which `where` is true, and
      `value` is an expression over `a0…an`, the final values of the partials. `partials[0]` is
      always count(*) without filter: the window's number of events.
    - Derived: `contract` is None, and `value` is an expression over columns named after `inputs`,
      which have the same `by` and `window`. A roll-up's inputs have more dimensions in `by`, and
      its `value` aggregates over their series.
    - `max_series`, `max_state_bytes`: bounds of the number of series and of the size of their rows.
      Beyond either, new series are folded into `__other__`.
    - `placement`: the dimensions whose values determine the state partition of a series (None: all
      of `by`). KPIs that depend on each other share it (`agent.language.compile.coupling`).
    - `slice_ms`: the window's slice, or a finer one if a rule evaluates current values.
    - `fingerprint` changes if and only if the KPI's state becomes unusable: with value, where, by,
      window, slice, or how the contract reads its fields.
    - `objective`: the objective that the KPI states.
    - `person`: the dimension that identifies a person, which makes the KPI private. `named`: people
      appear by name anyway.
    - `backfill_ms`: how much of its past a base KPI without state computes from the source topic.
    - `whole`: its values are whole numbers. `casts`: the casts in its SQL that may fail.
    - `minimum_people`: a window of fewer people is hidden (None: no window is). `people` identifies
      them: for a base KPI a field, which its last `people_partials` partials count; for a roll-up
      of a private KPI a dimension of its inputs.
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
    casts: tuple[Cast, ...] = ()
    minimum_people: int | None = None
    people_partials: int = 0
    people: str | None = None

    @property
    def metric(self) -> str:
        """`kpi_<name>_<unit>`: the Prometheus name of the closed value."""
        return metric_name(self.name, self.unit)

    @property
    def current_metric(self) -> str:
        """The metric of the window that is still open."""
        return metric_name(self.name, self.unit, "current")

    @property
    def target_metric(self) -> str:
        """The metric of the bounds that apply to each series, by `band`."""
        return metric_name(self.name, self.unit, "target")

    @property
    def has_target(self) -> bool:
        """Whether any series has a target."""
        return self.target is not None or bool(self.overrides)

    @property
    def has_retention(self) -> bool:
        """Whether the value of a window needs the state of the window before it."""
        return any(p.kind is PartialKind.RETENTION for p in self.partials)


def title_of(name: str) -> str:
    """The title of what has none: `response_time` is `Response time`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


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
    """`kpi_<name>[_<middle>][_<unit>]`, without repeating a unit that ends the name, by the naming
    conventions of Prometheus."""
    parts = ["kpi", kpi]
    if unit and kpi.endswith(f"_{unit}"):
        parts[1] = kpi[: -len(unit) - 1]
    if middle:
        parts.append(middle)
    if unit:
        parts.append(unit)
    return "_".join(parts)
