"""The section `rules`: conditions, absence, pace and SLOs, and their overrides."""

from __future__ import annotations

from collections.abc import Iterator
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
    SeverityDurations,
    SeverityTexts,
    Shape,
    SloText,
    Text,
    Url,
    form,
    mapping_or_text,
)
from agent.language.source import Place


class PaceSpec(Strict):
    """The target for the running total of a period."""

    period: CalendarUnit = Field(description="The calendar period.", examples=["month"])
    target: Number = Field(description="The total at the end of the period.")
    shape: Shape = Field(
        "line",
        description="The expected course of a period: `line`, evenly; `last 3`, as in the last "
        "three periods.",
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
        description="SQL over value, events, target and history, as in change('1 week') < -20%: "
        "the rule fires while it is true. Or one condition for each severity. Without `kpi`: and, "
        "or, not over names of rules (of any severity, or name.critical) and of KPIs (that miss "
        "their target).",
        examples=["value > 600 and events >= 5"],
    )
    clear: Conditions | None = Field(
        None,
        description="SQL: a firing alert resolves when this is true. If not given, when `when` is "
        "false. Without `kpi`: over names, as `when`.",
    )
    no_data_for: Silences | None = Field(
        None,
        description="Fires after this long without an event; or one duration for each severity.",
        examples=["30m"],
    )
    for_: Duration | None = Field(
        None,
        alias="for",
        description="How long the condition must hold, in event time, before it fires.",
    )
    keep_firing_for: Duration | None = Field(
        None, description="How long `clear` must hold before the alert resolves."
    )
    min_events: int | None = Field(
        None, ge=0, description="Windows with fewer events count as no data."
    )
    min_history: PositiveDuration | None = Field(
        None, description="A series is evaluated only once its first window is this old."
    )
    on_no_data: Literal["keep", "resolve", "alert"] | None = Field(
        None,
        description="What a window without a value, or with too few events, does to the alert: "
        "nothing (keep, the default), resolve it (resolve), or count as true (alert).",
    )
    flapping: FlappingText | None = Field(
        None,
        description="An alert that fires this often within this time keeps firing until `clear` "
        "has held for that time.",
        examples=["3 in 1h"],
    )
    pace: PaceSpec | None = Field(
        None,
        description="The target for the running total of a period. Without `when`, fires when the "
        "projected total misses it.",
    )
    objective: SloText | None = Field(
        None,
        description="For a ratio KPI: the objective (SLO), a share over a period. Without `when`, "
        "fires by the published windows and burn rates.",
        examples=["99.5% over 30d"],
    )
    severity: Severity | None = Field(
        None, description="The severity. warning if not given; in an override, the rule's."
    )


class RuleOverrideSpec(ConditionSpec):
    """What differs in a rule for series whose dimensions match."""

    match: dict[str, DimensionValue] = Field(
        min_length=1, description="Dimension: value; all must match.", examples=[{"region": "apac"}]
    )
    off: bool = Field(False, description="The rule is not evaluated for these series.")


class RuleSpec(ConditionSpec):
    """When to alert: a condition on a KPI's value and its history (when), or the absence of its
    events (no_data_for); without a KPI, a condition over other rules."""

    kpi: Text | None = Field(
        None,
        description="The KPI to watch. Without one, `when` combines other rules.",
        examples=["orders"],
    )
    on: Literal["closed", "current"] | None = Field(
        None,
        description="Evaluate closed windows (default), or also the current value of the open one.",
    )
    overrides: list[RuleOverrideSpec] = Field(
        default_factory=list,
        description="What differs for some series; the last one that matches applies.",
    )
    per: Literal["series", "kpi"] | None = Field(
        None, description="With no_data_for: watch each known series, or the KPI as a whole."
    )
    depends_on: list[Text] | None = Field(
        None,
        min_length=1,
        description="While one of these rules fires, the alerts of this rule are inhibited. A KPI "
        "or an event means the absence rules that watch it.",
        examples=[["orders_silent"]],
    )
    summary: Text | None = Field(
        None,
        description='One line for the person on call: "{{ region }} answers in {{ value | '
        'with_unit }}".',
    )
    description: Text | None = Field(
        None, description="What to know and what to do; a template, as summary."
    )
    runbook: Url | None = Field(None, description="The address of the runbook.")
    owner: Text | None = Field(
        None, description="Who is responsible for the rule. The KPI's owner if not given."
    )
    team: Text | None = Field(
        None, description="The team that gets the alert. The KPI's team if not given."
    )
    escalation: AnyEscalation | None = Field(
        None,
        description="Who else is notified when the alert keeps firing. The KPI's escalation if "
        "not given.",
    )
    labels: dict[LabelName, Text] = Field(
        default_factory=dict,
        description="Additional labels of the alert, for routing.",
        examples=[{"area": "shop"}],
    )

    def placed(self) -> Iterator[tuple[Place, ConditionSpec]]:
        """The conditions of the rule and of its overrides as written, with their places."""
        yield (), self
        yield from ((("overrides", i), override) for i, override in enumerate(self.overrides))

    def overridden(self, override: RuleOverrideSpec) -> RuleSpec:
        """The rule with what an override says otherwise. The rule's `clear` belongs to its `when`:
        an override with a `when` has a `clear` of its own, or none."""
        names = ConditionSpec.model_fields
        given = {n: said for n in names if (said := getattr(override, n)) is not None}
        if "when" in given:
            given.setdefault("clear", None)
        return self.model_copy(update=given)
