"""The language of the rules as pydantic models: shape and single values.

What needs more than one value (a field that must exist in a contract, bounds in the wrong order) is
judged in `agent.language.checks`. Spans are integer milliseconds once validated. The models also
make
the JSON Schema, so every field says what it means and how it is written.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from agent.core.model.plan import Better, FieldType, Severity
from agent.core.model.windows import CalendarUnit
from agent.language.models.values import (
    Benchmark,
    ClockText,
    Country,
    DateText,
    DimensionValue,
    DottedPath,
    Duration,
    EventName,
    FieldName,
    FlappingText,
    LabelName,
    MomentText,
    Name,
    Number,
    OnDays,
    PositiveDuration,
    PromiseText,
    SeverityDurations,
    SeverityTexts,
    Shape,
    Text,
    TimeZone,
    Topic,
    TypeField,
    Unit,
    Url,
    WindowText,
    form,
    mapping_or_text,
    wrong,
)


class Strict(BaseModel):
    """No unknown fields, no guessing of types: `"5"` is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class EscalationSpec(Strict):
    """Who is called as well when an alert goes on firing; of a list, one after the other."""

    after: PositiveDuration = Field(
        description="How long the alert has to have been firing.", examples=["30m"]
    )
    to: Text = Field(description="Who is called then.", examples=["head-of-support"])


def _in_turn(steps: list[EscalationSpec]) -> list[EscalationSpec]:
    for first, second in pairwise(steps):
        if second.after <= first.after:
            message = f"{second.to} is called no later than {first.to}"
            raise wrong(message, "name the steps in turn, each with a longer `after`")
    called = [step.to for step in steps]
    for one in called:
        if called.count(one) > 1:
            raise wrong(f"{one} is called twice", "keep one step")
    return steps


if TYPE_CHECKING:
    AnyEscalation = EscalationSpec | list[EscalationSpec]
else:
    AnyEscalation = Annotated[
        Annotated[EscalationSpec, Tag("<mapping>")]
        | Annotated[
            list[EscalationSpec], Field(min_length=1), AfterValidator(_in_turn), Tag("<list>")
        ],
        Discriminator(form),
    ]


class Defaults(Strict):
    """What holds wherever an event or a KPI doesn't say otherwise."""

    timezone: TimeZone | None = Field(
        None,
        description="Time zone of times without an offset, and of calendar windows. UTC if "
        "not given.",
    )
    lateness: Duration | None = Field(
        None, description="How long a window waits for stragglers after its end. 10s if not given."
    )
    max_future: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be ahead of the time at which the broker got "
        "it. 1h if not given.",
    )
    max_past: PositiveDuration | None = Field(
        None,
        description="How far an event's time may lie before the time at which the broker got it. "
        "10950d, thirty years, if not given.",
    )
    idle_after: PositiveDuration | None = Field(
        None,
        description="A source partition without events for this long no longer holds up the "
        "others. 30s if not given.",
    )
    duplicate_window: PositiveDuration | None = Field(
        None,
        description="For how long an event's id is remembered, in event time, where a window is "
        "open for longer. 15m if not given.",
    )
    max_bytes: int | None = Field(
        None, gt=0, description="The largest event, in bytes. 1048576 if not given."
    )
    owner: Text | None = Field(None, description="Who answers for what names no owner itself.")
    team: Text | None = Field(None, description="The team of what names no team itself.")
    escalation: AnyEscalation | None = Field(
        None, description="Of the alerts of rules and KPIs that say none themselves."
    )


class FieldSpec(Strict):
    """One field of an event."""

    type: FieldType = Field(description="The field's type in the JSON.", examples=["string"])
    path: DottedPath | None = Field(
        None,
        description="Where the field is in the JSON, with dots: user.id. Its name if not given.",
    )
    required: bool = Field(False, description="Whether events without it are rejected.")
    minimum: Number | None = Field(
        None, description="The smallest value allowed, inclusive. Numbers only."
    )
    maximum: Number | None = Field(
        None, description="The largest value allowed, inclusive. Numbers only."
    )
    unit: Unit | None = Field(None, description="The unit of a number, for readers.")
    description: Text | None = Field(None, description="What the field means.")


def _short_field(type_name: FieldType) -> FieldSpec:
    return FieldSpec.model_validate({"type": type_name})


if TYPE_CHECKING:
    AnyField = FieldSpec  # the short form is made into the long one
else:
    AnyField = Annotated[
        Annotated[FieldSpec, Tag("<mapping>")]
        | Annotated[FieldType, AfterValidator(_short_field), Tag("<text>")],
        Discriminator(form),
    ]


class EventSpec(Strict):
    """What a team promises of one event type."""

    topic: Topic = Field(description="The Kafka topic.", examples=["support"])
    type_field: TypeField = Field(
        "type",
        description="The field, with dots where nested, whose value names the event type. "
        "`none`: every event of the topic is of this type.",
    )
    time: DottedPath = Field(
        description="The field that holds the event's time: ISO 8601, or epoch seconds, "
        "milliseconds, microseconds or nanoseconds.",
        examples=["created_at"],
    )
    timezone: TimeZone | None = Field(None, description="The time zone of times without an offset.")
    id: DottedPath | None = Field(
        None, description="The field that identifies the event: one that is sent twice counts once."
    )
    lateness: Duration | None = Field(
        None, description="How long a window waits for stragglers after its end."
    )
    max_future: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be ahead of the time at which the broker got it.",
    )
    max_past: PositiveDuration | None = Field(
        None,
        description="How far an event's time may lie before the time at which the broker got it.",
    )
    idle_after: PositiveDuration | None = Field(
        None,
        description="A source partition without events for this long no longer holds up the "
        "others.",
    )
    duplicate_window: PositiveDuration | None = Field(
        None,
        description="For how long an event's id is remembered, in event time, where a window is "
        "open for longer.",
    )
    max_bytes: int | None = Field(None, gt=0, description="The largest event, in bytes.")
    description: Text | None = Field(None, description="What the event means.")
    fields: dict[FieldName, AnyField] = Field(
        default_factory=dict,
        description="The fields that KPIs may use: name: type, or name: {type, required, "
        "minimum, …}.",
    )


if TYPE_CHECKING:
    Bound = float | str
else:
    Bound = Annotated[
        Annotated[Number, Tag("<number>")] | Annotated[Benchmark, Tag("<text>")],
        Discriminator(form),
    ]


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
        "ISO week or day. The first target of the list may leave it out.",
        examples=["2027-Q1"],
    )


if TYPE_CHECKING:
    AnyTarget = TargetSpec | list[TargetStepSpec]
else:
    AnyTarget = Annotated[
        Annotated[TargetSpec, Tag("<mapping>")]
        | Annotated[list[TargetStepSpec], Field(min_length=1), Tag("<list>")],
        Discriminator(form),
    ]


class OverrideSpec(Strict):
    """Another target for the series whose dimensions match."""

    match: dict[str, DimensionValue] = Field(
        min_length=1, description="Dimension: value; all must match.", examples=[{"region": "apac"}]
    )
    target: AnyTarget = Field(
        description="The target of these series, or a list of them by date, as for the KPI."
    )


class KpiSpec(Strict):
    """A KPI: SQL over the rows of an event, or arithmetic over other KPIs."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What the KPI says, in a sentence.")
    unit: Unit | None = Field(
        None, description="The unit, in lower case: seconds, eur. `ratio` for shares from 0 to 1."
    )
    better: Better = Field("higher", description="Whether higher or lower values are better.")
    owner: Text | None = Field(None, description="Who answers for the KPI.")
    team: Text | None = Field(None, description="The owner's team.")
    escalation: AnyEscalation | None = Field(
        None, description="Who is called as well when an alert on the KPI goes on."
    )
    objective: Text | None = Field(
        None,
        description="The objective that the KPI serves; needed where none weighs it.",
    )
    visibility: Literal["public", "private"] | None = Field(
        None,
        description="private: its series are those of single people, and are shown to themselves "
        "and the owner only. public if not given.",
    )
    person: Text | None = Field(
        None,
        description="Of a private KPI, the dimension that names the person.",
        examples=["employee"],
    )
    export: Literal["hashed", "named"] | None = Field(
        None,
        description="How a private KPI's people are told in metrics, topics and alerts: under a "
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
        description="The value to reach; or a list of targets, each `from` a date on. The target "
        "of a window is the one that holds when it starts.",
    )
    overrides: list[OverrideSpec] = Field(
        default_factory=list,
        description="Other targets for some series; the last that matches holds.",
    )
    max_series: int = Field(
        10_000,
        gt=0,
        description="The most series; what comes beyond is folded into one called __other__.",
    )
    max_state_bytes: int = Field(
        2**30,
        gt=0,
        description="The most bytes that the rows of all series may have; beyond it, new series "
        "are folded into __other__, too.",
    )
    expire_after: PositiveDuration | None = Field(
        None,
        description="A series without events for this long is forgotten. 7d or ten windows if "
        "not given, whichever is longer.",
    )
    backfill: PositiveDuration | None = Field(
        None,
        description="A KPI that is new, or defined anew, is given its past: the events of so long "
        "are read from their topic, beside the live flow.",
        examples=["30d"],
    )


class PaceSpec(Strict):
    """What the running total of a period should come to."""

    period: CalendarUnit = Field(description="The period, of the calendar.", examples=["month"])
    target: Number = Field(description="What the period's total should be at its end.")
    shape: Shape = Field(
        "line",
        description="How a period fills up: `line`, evenly; `last 3`, as the last three did.",
        examples=["last 3"],
    )


Conditions = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[SeverityTexts, Tag("<mapping>")],
    Discriminator(form),
]
Silences = Annotated[
    Annotated[PositiveDuration, Tag("<text>")] | Annotated[SeverityDurations, Tag("<mapping>")],
    Discriminator(mapping_or_text),
]


class RuleOverrideSpec(Strict):
    """What is different about a rule for the series whose dimensions match."""

    match: dict[str, DimensionValue] = Field(
        min_length=1, description="Dimension: value; all must match.", examples=[{"region": "apac"}]
    )
    when: Conditions | None = Field(None, description="The condition of these series.")
    clear: Conditions | None = Field(None, description="When an alert of these series ends.")
    no_data_for: Silences | None = Field(
        None,
        description="Of a rule with no_data_for: how long no event may come from these series.",
    )
    for_: Duration | None = Field(
        None, alias="for", description="How long the condition must hold for these series."
    )
    keep_firing_for: Duration | None = Field(
        None, description="How long the end of the condition must hold for these series."
    )
    min_events: int | None = Field(
        None, ge=0, description="Windows of these series with fewer events count as no data."
    )
    min_history: PositiveDuration | None = Field(
        None, description="These series are judged once their first window is this old."
    )
    on_no_data: Literal["keep", "resolve", "alert"] | None = Field(
        None, description="What a window of these series does without a value."
    )
    flapping: FlappingText | None = Field(
        None, description="When an alert of these series flaps.", examples=["3 in 1h"]
    )
    pace: PaceSpec | None = Field(
        None, description="Where the running total of these series should end."
    )
    objective: PromiseText | None = Field(
        None,
        description="The share that is promised of these series, over a period.",
        examples=["99% over 30d"],
    )
    severity: Severity | None = Field(
        None, description="The severity for these series, where there is one condition."
    )
    off: bool = Field(False, description="The rule is not judged for these series.")


class RuleSpec(Strict):
    """When to alert: a condition on a KPI's value and its history (when), or its silence
    (no_data_for); without a KPI, a condition over other rules."""

    kpi: Text | None = Field(
        None,
        description="The KPI it watches. Without one, `when` puts other rules together.",
        examples=["orders"],
    )
    when: Conditions | None = Field(
        None,
        description="SQL over value, events, target and what was before, as in change('1 week') "
        "< -20%: fires when true. Or one condition for each severity. Without `kpi`: and, or, not "
        "over names of rules (of any severity, or name.critical) and of KPIs (that miss their "
        "target).",
    )
    clear: Conditions | None = Field(
        None,
        description="SQL: a firing alert ends when this is true. If not given, when `when` is "
        "false. Without `kpi`: over names, as `when`.",
    )
    on: Literal["closed", "current"] | None = Field(
        None,
        description="Judge closed windows (default), or also the current value of the open one.",
    )
    for_: Duration | None = Field(
        None,
        alias="for",
        description="How long the condition must hold, in event time, before it fires.",
    )
    keep_firing_for: Duration | None = Field(
        None, description="How long the end of the condition must hold before the alert ends."
    )
    min_events: int | None = Field(
        None, ge=0, description="Windows with fewer events count as no data."
    )
    min_history: PositiveDuration | None = Field(
        None, description="A series is judged once its first window is this old."
    )
    on_no_data: Literal["keep", "resolve", "alert"] | None = Field(
        None,
        description="What a window without a value, or with too few events, does to the alert: "
        "nothing (keep, the default), end it (resolve), or count as the condition (alert).",
    )
    flapping: FlappingText | None = Field(
        None,
        description="An alert that has fired so often within such a time keeps firing until its "
        "end has held for that time.",
        examples=["3 in 1h"],
    )
    pace: PaceSpec | None = Field(
        None,
        description="Where the running total of a period should end. Without `when`, fires when "
        "the projected end misses the target.",
    )
    objective: PromiseText | None = Field(
        None,
        description="For a ratio KPI: the share that is promised, over a period. Without `when`, "
        "fires by the published windows and burn rates.",
        examples=["99.5% over 30d"],
    )
    overrides: list[RuleOverrideSpec] = Field(
        default_factory=list,
        description="What is different for some series; the last that matches holds.",
    )
    no_data_for: Silences | None = Field(
        None,
        description="Fires when no event has come for this long; or one time for each severity.",
        examples=["30m"],
    )
    per: Literal["series", "kpi"] | None = Field(
        None, description="With no_data_for: watch each known series, or the KPI as a whole."
    )
    depends_on: list[Text] | None = Field(
        None,
        min_length=1,
        description="While one of these rules fires, this one's alerts are silenced. A KPI or an "
        "event stands for the absence rules that watch it.",
        examples=[["orders_silent"]],
    )
    severity: Severity | None = Field(None, description="warning if not given.")
    summary: Text | None = Field(
        None,
        description='One line for the person called: "{{ region }} answers in {{ value | '
        'humanize }}".',
    )
    description: Text | None = Field(
        None, description="What to know and to do; a template like summary."
    )
    runbook: Url | None = Field(None, description="The page that says what to do.")
    owner: Text | None = Field(
        None, description="Who answers for the rule. The KPI's owner if not given."
    )
    team: Text | None = Field(None, description="Whose alert it is. The KPI's team if not given.")
    escalation: AnyEscalation | None = Field(
        None, description="Who is called as well when it goes on. The KPI's if not given."
    )
    labels: dict[LabelName, Text] = Field(
        default_factory=dict, description="More labels of the alert, for routing."
    )


class ObjectiveSpec(Strict):
    """What the company wants: a weighted set of KPIs and other objectives."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What it means to reach it.")
    owner: Text | None = Field(None, description="Who answers for it.")
    team: Text | None = Field(None, description="The owner's team.")
    kpis: dict[str, Number] = Field(
        default_factory=dict,
        description="KPI: weight. Weights are positive; all of an objective are scaled to add up "
        "to 1.",
        examples=[{"orders": 1}],
    )
    objectives: dict[str, Number] = Field(
        default_factory=dict,
        description="Objective: weight, of the objectives that this one is made of.",
        examples=[{"growth": 1}],
    )


class MaintenanceSpec(Strict):
    """Time that is taken out of alerts, targets and baselines: once, recurring, or on holidays."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What is done, and why.")
    from_: MomentText | None = Field(
        None,
        alias="from",
        description="When it begins: 2027-03-06T22:00, or a date. With every or holidays: since "
        "when it comes back.",
    )
    until: MomentText | None = Field(
        None, description="When it is over; a date is its first instant."
    )
    timezone: TimeZone | None = Field(
        None, description="The time zone of its days and hours. That of the defaults if not given."
    )
    every: Literal["day", "week", "month", "year"] | None = Field(
        None, description="How often it comes back."
    )
    on: OnDays | None = Field(
        None,
        description="The days on which it comes back, one or a list: sunday (every week); 1, last "
        "day, first sunday (every month); 12-24 (every year).",
        examples=["sunday"],
    )
    at: ClockText | None = Field(
        None, description='When it begins on these days: "02:00". Whole days if not given.'
    )
    for_: PositiveDuration | None = Field(
        None, alias="for", description="How long it lasts from then on."
    )
    holidays: Country | None = Field(
        None,
        description="The public holidays of a country, by its ISO 3166 code, or of a part of it: "
        "GB, GB-SCT.",
        examples=["GB"],
    )
    kpis: list[Text] | None = Field(
        None,
        min_length=1,
        description="The KPIs that it is of, with all that are computed from them. All if not "
        "given.",
    )
    match: dict[str, DimensionValue] = Field(
        default_factory=dict,
        description="Dimension: value. Only the series that match are in maintenance.",
        examples=[{"region": "apac"}],
    )


SECTIONS: dict[str, type[Strict]] = {
    "events": EventSpec,
    "kpis": KpiSpec,
    "rules": RuleSpec,
    "objectives": ObjectiveSpec,
    "maintenance": MaintenanceSpec,
}
"""The sections that declare something by name."""


class FileSpec(Strict):
    """A file of rules. Any number of files in a folder make one set."""

    version: Literal[1] = Field(1, description="The version of this language.")
    defaults: Defaults | None = Field(
        None, description="What holds wherever nothing else is said, in all files of the folder."
    )
    events: dict[EventName, EventSpec] = Field(
        default_factory=dict, description="Event type: what its producers promise."
    )
    kpis: dict[Name, KpiSpec] = Field(default_factory=dict, description="The KPIs, by name.")
    rules: dict[Name, RuleSpec] = Field(
        default_factory=dict, description="The alert rules, by name."
    )
    objectives: dict[Name, ObjectiveSpec] = Field(
        default_factory=dict, description="The objectives, by name."
    )
    maintenance: dict[Name, MaintenanceSpec] = Field(
        default_factory=dict,
        description="Time that is taken out of alerts, targets and baselines, by name.",
    )
