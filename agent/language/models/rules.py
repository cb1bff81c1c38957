"""The section `rules`: conditions, silences, pace and objectives, and their overrides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from agent.core.model.rules import Severity
from agent.core.model.windows import CalendarUnit
from agent.language.models.base import AnyEscalation, Strict
from agent.language.models.values import (
    DimensionValue,
    Duration,
    FlappingText,
    LabelName,
    Number,
    PositiveDuration,
    PromiseText,
    SeverityDurations,
    SeverityTexts,
    Shape,
    Text,
    Url,
    form,
    mapping_or_text,
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


class ConditionSpec(Strict):
    """When an alert fires and ends: the fields of a rule that an override may say otherwise."""

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
    no_data_for: Silences | None = Field(
        None,
        description="Fires when no event has come for this long; or one time for each severity.",
        examples=["30m"],
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
        None, description="A series is evaluated once its first window is this old."
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
    severity: Severity | None = Field(
        None, description="warning if not given; of an override, the rule's."
    )


class RuleOverrideSpec(ConditionSpec):
    """What is different about a rule for the series whose dimensions match."""

    match: dict[str, DimensionValue] = Field(
        min_length=1, description="Dimension: value; all must match.", examples=[{"region": "apac"}]
    )
    off: bool = Field(False, description="The rule is not evaluated for these series.")


class RuleSpec(ConditionSpec):
    """When to alert: a condition on a KPI's value and its history (when), or its silence
    (no_data_for); without a KPI, a condition over other rules."""

    kpi: Text | None = Field(
        None,
        description="The KPI it watches. Without one, `when` puts other rules together.",
        examples=["orders"],
    )
    on: Literal["closed", "current"] | None = Field(
        None,
        description="Evaluate closed windows (default), or also the current value of the open one.",
    )
    overrides: list[RuleOverrideSpec] = Field(
        default_factory=list,
        description="What is different for some series; the last that matches holds.",
    )
    per: Literal["series", "kpi"] | None = Field(
        None, description="With no_data_for: watch each known series, or the KPI as a whole."
    )
    depends_on: list[Text] | None = Field(
        None,
        min_length=1,
        description="While one of these rules fires, this one's alerts are inhibited. A KPI or an "
        "event stands for the absence rules that watch it.",
        examples=[["orders_silent"]],
    )
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
        None, description="Who is also notified when it continues. Default: the KPI's."
    )
    labels: dict[LabelName, Text] = Field(
        default_factory=dict, description="More labels of the alert, for routing."
    )
