"""The section `kpis`: SQL over the events of a type, or over other KPIs, and their targets; and the
section `objectives`: weighted sets of KPIs, or of other objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag

from agent.core.model.kpis import Better
from agent.language.models.base import AnyEscalation, Strict
from agent.language.models.values import (
    Benchmark,
    DateText,
    DimensionValue,
    Number,
    PositiveDuration,
    Text,
    TimeZone,
    Unit,
    WindowText,
    by_form,
    form,
)

if TYPE_CHECKING:
    Bound = float | str
else:
    Bound = by_form(number=Number, text=Benchmark)


class TargetSpec(Strict):
    """The value a KPI should reach: at_most, at_least or between, with a warning band inside."""

    at_most: Bound | None = Field(
        None,
        description="The target is met up to this value: a number, or `kpi(name)`, the value of "
        "another KPI in the same window.",
    )
    at_least: Bound | None = Field(
        None,
        description="The target is met from this value on: a number, or `kpi(name)`, the value of "
        "another KPI in the same window.",
    )
    between: list[Number] | None = Field(
        None, min_length=2, max_length=2, description="The target is met between these two values."
    )
    warn: (
        Annotated[
            Annotated[Number, Tag("<number>")]
            | Annotated[Benchmark, Tag("<text>")]
            | Annotated[list[Number], Field(min_length=2, max_length=2), Tag("<list>")],
            Discriminator(form),
        ]
        | None
    ) = Field(
        None,
        description="Beyond this value, inside the target, the KPI is at risk. Two values "
        "with between.",
    )


class TargetStepSpec(TargetSpec):
    """A target from a date on."""

    from_: DateText | None = Field(
        None,
        alias="from",
        description="The first day of the target, in the KPI's time zone: a year, quarter, month, "
        "ISO week or day. The first target of the list may omit it.",
        examples=["2027-Q1"],
    )


if TYPE_CHECKING:
    AnyTarget = TargetSpec | list[TargetStepSpec]
else:
    _Steps = Annotated[list[TargetStepSpec], Field(min_length=1)]
    AnyTarget = by_form(mapping=TargetSpec, list=_Steps)


class OverrideSpec(Strict):
    """Another target for series whose dimensions match."""

    match: dict[str, DimensionValue] = Field(
        min_length=1, description="Dimension: value; all must match.", examples=[{"region": "apac"}]
    )
    target: AnyTarget = Field(
        description="The target of these series, or a list of them by date, as for the KPI."
    )


class KpiSpec(Strict):
    """A KPI: SQL over the rows of an event, or arithmetic over other KPIs."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What the KPI measures, in a sentence.")
    unit: Unit | None = Field(
        None, description="The unit, in lower case: seconds, eur. `ratio` for shares from 0 to 1."
    )
    better: Better = Field("higher", description="Whether higher or lower values are better.")
    owner: Text | None = Field(None, description="Who is responsible for the KPI.")
    team: Text | None = Field(None, description="The owner's team.")
    escalation: AnyEscalation | None = Field(
        None, description="Who else is notified when an alert of the KPI keeps firing."
    )
    objective: Text | None = Field(
        None,
        description="The objective that the KPI serves, for KPIs without a weight in any "
        "objective.",
    )
    visibility: Literal["public", "private"] | None = Field(
        None,
        description="private: each series is about one person, and only that person and the owner "
        "see it. public if not given.",
    )
    person: Text | None = Field(
        None,
        description="The dimension of a private KPI that names the person. In any other KPI, the "
        "field that does: windows of fewer than `minimum_people` are hidden.",
        examples=["employee"],
    )
    minimum_people: int | None = Field(
        None,
        gt=0,
        description="The minimum number of people of a window that is shown, if the KPI has a "
        "`person` or rolls up a private KPI. 5 if not given; 1 shows every window.",
    )
    export: Literal["hashed", "named"] | None = Field(
        None,
        description="How a private KPI's people appear in metrics, topics and alerts: under a "
        "keyed hash (default), or by name.",
    )
    from_: Annotated[
        Annotated[Text, Tag("<text>")] | Annotated[list[Text], Field(min_length=1), Tag("<list>")],
        Discriminator(form),
    ] = Field(
        alias="from",
        description="The event it is computed from; or a list of KPIs.",
        examples=["ticket.answered"],
    )
    where: Text | None = Field(None, description="SQL: which events count.")
    value: Text = Field(
        description="SQL: the KPI's value, from aggregates such as count(*), avg(x), "
        "quantile(x, 0.95).",
        examples=["count(*)"],
    )
    by: list[Text] | None = Field(
        None, description="The fields by which the KPI is split into series."
    )
    window: WindowText | None = Field(
        None,
        description="5m (tumbling), 5m every 1m (hopping), or day, week, month, quarter, year "
        "of the calendar.",
        examples=["5m"],
    )
    timezone: TimeZone | None = Field(
        None, description="The time zone of calendar windows, and of the dates of targets."
    )
    target: AnyTarget | None = Field(
        None,
        description="The value to reach; or a list of targets, each `from` a date on. A window "
        "has the target that applies when it starts.",
        examples=[{"at_least": 100}],
    )
    overrides: list[OverrideSpec] = Field(
        default_factory=list,
        description="Other targets for some series; the last one that matches applies.",
    )
    max_series: int = Field(
        10_000,
        gt=0,
        description="The maximum number of series; all others are folded into one called "
        "__other__.",
    )
    max_state_bytes: int = Field(
        2**30,
        gt=0,
        description="The maximum number of bytes of the rows of all series; beyond it, new series "
        "are folded into __other__, too.",
    )
    expire_after: PositiveDuration | None = Field(
        None,
        description="A series without events for this long expires. 7d or ten windows if not "
        "given, whichever is longer.",
    )
    backfill: PositiveDuration | None = Field(
        None,
        description="How much of its past a KPI computes when it is new or its definition "
        "changed. The events are read from their topic, beside the live flow.",
        examples=["30d"],
    )


class ObjectiveSpec(Strict):
    """An objective of the company: a weighted set of KPIs and other objectives."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What it means to reach the objective.")
    owner: Text | None = Field(None, description="Who is responsible for it.")
    team: Text | None = Field(None, description="The owner's team.")
    kpis: dict[str, Number] = Field(
        default_factory=dict,
        description="KPI: weight. Weights are positive; those of an objective are scaled to add "
        "up to 1.",
        examples=[{"orders": 1}],
    )
    objectives: dict[str, Number] = Field(
        default_factory=dict,
        description="Objective: weight, for objectives that are part of this one.",
        examples=[{"growth": 1}],
    )
