"""The language of rule tests as pydantic models: shape and single values.

`agent.ruletests.resolve` checks what needs the rules (names, dimensions) or the time zone. The JSON
Schema is made of the models, so every field has a description.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag

from agent.language.models.base import Strict
from agent.language.models.values import Number, PositiveDuration, Text, TimeZone, form
from agent.language.problems import wrong

TimeText = Annotated[Text, Field(examples=["10:05", "+20m", "2026-03-02 10:05"])]
"""A time of the test: time of day, since its start, or with a date (`agent.ruletests.times`)."""

NONE = "none"
"""How a window without a value is written."""


PhaseName = Literal["inactive", "pending", "firing", "resolved", "inhibited"]
StateName = Literal["no_data", "met", "at_risk", "missed"]
OutcomeName = Literal["folded", "rejected", "late", "duplicate", "empty", "ignored"]


def _value_text(value: str) -> str:
    if value != NONE:
        raise wrong(
            f"'{value}' is not a value", "a number, or `none` where the window has no value"
        )
    return value


class EventsSpec(Strict):
    """One event, or one that is repeated. Every other key is a field of the event's contract; of a
    list of values, each event takes the next."""

    model_config = ConfigDict(extra="allow")

    type: Text = Field(
        description="The event type, as under `events:` of the rules.",
        examples=["ticket.answered"],
    )
    at: TimeText | None = Field(
        None, description="When it happened. The test's start if not given."
    )
    arrives: TimeText | None = Field(
        None,
        description="When it reached the broker, where that is not when it happened: events come "
        "in the order of their arrival, whatever order they are written in.",
    )
    every: PositiveDuration | None = Field(
        None, description="Repeat the event so often, from `from` to just before `until`."
    )
    from_: TimeText | None = Field(
        None, alias="from", description="With every: the first. The test's start if not given."
    )
    until: TimeText | None = Field(None, description="With every: the end, not included.")
    fields: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields whose names are words of this language: type, at, from, id, …",
    )
    id: Any = Field(
        None,
        description="The id, in the field that the contract names. Each event has its own if not "
        "given.",
    )


class ValuesSpec(Strict):
    """Values of consecutive windows, with the number of events that each holds."""

    values: Annotated[
        Annotated[Text, Tag("<text>")] | Annotated[Number, Tag("<number>")], Discriminator(form)
    ] = Field(
        description="One value a window: 240x10 (ten windows of 240), 700, 100+5x4 (100, 105, 110, "
        "115), _ (no data), 300@12 (of twelve events).",
        examples=["240x10 700 _x3"],
    )
    events: int | None = Field(
        None,
        ge=0,
        description="The events of each window with a value. If not given, as many as the rules of "
        "the KPI ask for (min_events), at least one.",
    )


class WindowSpec(Strict):
    """What a closed window must be."""

    value: (
        Annotated[
            Annotated[Number, Tag("<number>")]
            | Annotated[str, AfterValidator(_value_text), Tag("<text>")],
            Discriminator(form),
        ]
        | None
    ) = Field(None, description="The value; `none` for a window that has none.")
    tolerance: Number | None = Field(None, ge=0, description="How far the value may be off.")
    events: int | None = Field(None, ge=0, description="How many events it holds.")


class AlertSpec(Strict):
    """An alert, with its value and texts."""

    alert: Text = Field(
        description='The rule, its series, severity and phase: slow{region="emea"} critical '
        "firing. The severity may be left out where the rule has one; the phase is firing then.",
        examples=['slow_support{region="emea"} critical firing'],
    )
    value: Number | None = Field(None, description="The value of its last transition.")
    summary: Text | None = Field(None, description="The summary of its last transition, in full.")
    description: Text | None = Field(None, description="The description of its last transition.")


_Window = Annotated[
    Annotated[WindowSpec, Tag("<mapping>")]
    | Annotated[Number, Tag("<number>")]
    | Annotated[str, AfterValidator(_value_text), Tag("<text>")],
    Discriminator(form),
]
_Windows = Annotated[
    Annotated[dict[TimeText, _Window], Field(min_length=1), Tag("<mapping>")]
    | Annotated[Text, Tag("<text>")]
    | Annotated[Number, Tag("<number>")],
    Discriminator(form),
]
_Objective = Annotated[
    Annotated[StateName, Tag("<text>")] | Annotated[Number, Tag("<number>")], Discriminator(form)
]
_Alert = Annotated[
    Annotated[AlertSpec, Tag("<mapping>")] | Annotated[Text, Tag("<text>")], Discriminator(form)
]
_Values = Annotated[
    Annotated[ValuesSpec, Tag("<mapping>")]
    | Annotated[Text, Tag("<text>")]
    | Annotated[Number, Tag("<number>")],
    Discriminator(form),
]


class ExpectSpec(Strict):
    """What must come out. Whatever else is written: an alert that fires and is not named here fails
    the test."""

    windows: dict[Text, _Windows] = Field(
        default_factory=dict,
        description="KPI and series: the values of closed windows, by their ends; or those of "
        "consecutive windows from the start, as under `series`. Others are not looked at.",
        examples=[{'response_time{region="emea"}': {"10:05": 240}}],
    )
    targets: dict[Text, dict[TimeText, StateName]] = Field(
        default_factory=dict,
        description="KPI and series: the target state of closed windows, by their ends.",
        examples=[{'response_time{region="emea"}': {"10:05": "missed"}}],
    )
    objectives: dict[Text, dict[TimeText, _Objective]] = Field(
        default_factory=dict,
        description="Objective: its state or its score (0 to 1) at an instant, from the windows "
        "that have closed by then.",
        examples=[{"growth": {"10:05": "met", "10:10": 0.95}}],
    )
    alerts_at: dict[TimeText, list[_Alert]] = Field(
        default_factory=dict,
        description="At an instant: exactly these alerts are pending or firing.",
        examples=[{"10:15": ['slow_support{region="emea"} critical firing']}],
    )
    transitions: dict[Text, dict[TimeText, PhaseName]] | None = Field(
        None,
        description="Exactly these transitions: the alert, and by time its new phase. {} for "
        "none at all.",
        examples=[{'slow_support{region="emea"} critical': {"10:15": "firing"}}],
    )
    outcomes: dict[OutcomeName, int] | None = Field(
        None,
        description="The outcomes of the events: exactly these numbers. If not given, every event "
        "must be folded (of a file: anything goes).",
        examples=[{"folded": 12, "late": 1}],
    )
    tolerance: Number | None = Field(
        None,
        ge=0,
        description="How far values may be off. If not given, they agree to nine digits.",
    )


class TestSpec(Strict):
    """One test: what comes in (events, series or file), and what must come out."""

    __test__ = False  # not a test of pytest's

    description: Text | None = Field(None, description="What it shows, and why that matters.")
    timezone: TimeZone | None = Field(
        None, description="Time zone of the times without an offset. The file's if not given."
    )
    start: TimeText | None = Field(
        None,
        description="When the test begins: a date, a time, or both. The file's if not given, else "
        "midnight of 2024-01-01.",
    )
    until: TimeText | None = Field(
        None,
        description="When it ends. If not given, at the last event or window that is given, or at "
        "the latest time that is expected.",
    )
    rules: list[Text] | None = Field(
        None, description="The rules that it looks at. All if not given."
    )
    events: list[EventsSpec] | None = Field(
        None, min_length=1, description="Events that come in: windows are computed from them."
    )
    series: dict[Text, _Values] | None = Field(
        None,
        min_length=1,
        description="Values of closed windows, without events: KPI and series, and a value for "
        "each window from the start.",
        examples=[{'response_time{region="emea"}': "240x10 700 _x3"}],
    )
    file: Text | None = Field(
        None, description="Events from a file, NDJSON, plain or gzipped; beside the test file."
    )
    lookups: dict[Text, list[dict[str, Any]]] = Field(
        default_factory=dict,
        description="The rows of lookups in topics. Without `from`, each is valid always.",
        examples=[{"rates": [{"currency": "USD", "rate": 0.96}]}],
    )
    expect: ExpectSpec = Field(description="What must come out.", examples=["{alerts_at: {…}}"])


class TestFileSpec(Strict):
    """A file of rule tests, beside the rules: its name ends in _test.yaml."""

    __test__ = False

    version: Literal[1] = Field(1, description="The version of this language.")
    timezone: TimeZone | None = Field(
        None, description="Time zone of the tests' times without an offset. UTC if not given."
    )
    start: TimeText | None = Field(None, description="When the tests begin, if they do not say.")
    tests: dict[Text, TestSpec] = Field(
        default_factory=dict, description="The tests, by name: what each shows, in a sentence."
    )
