"""The section `events`: contracts of event types, and their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from agent.core.decode.formats import FORMATS
from agent.core.model.field_types import EpochUnit
from agent.language.models.base import Strict
from agent.language.models.fields import EPOCH_UNIT, TIME_FORMAT, AnyField, TimeFormatText
from agent.language.models.lookups import AnyLookupField
from agent.language.models.paths import AnyPath, Identity, PathForm, TypeField
from agent.language.models.values import (
    Duration,
    FieldName,
    PositiveDuration,
    Text,
    TimeZone,
    Topic,
    wrong,
)
from agent.language.problems import suggest


class TimeSpec(Strict):
    """Where an event's time is, and how it is written."""

    path: AnyPath = Field(description="Where the time is.")
    format: TimeFormatText | None = Field(None, description=TIME_FORMAT)
    unit: EpochUnit | None = Field(None, description=EPOCH_UNIT)


def _time_form(value: Any) -> Any:
    """A path alone is the short form; `record` is the record's own timestamp."""
    if value == "record":
        return {"path": {"record": "timestamp"}}
    if isinstance(value, TimeSpec) or (isinstance(value, dict) and "path" in value):
        return value
    return {"path": value}


if TYPE_CHECKING:
    AnyTime = TimeSpec | list[TimeSpec]
else:
    _OneTime = Annotated[
        TimeSpec, BeforeValidator(_time_form, json_schema_input_type=PathForm | TimeSpec)
    ]
    AnyTime = Annotated[
        Annotated[_OneTime, Tag("<one>")]
        | Annotated[list[_OneTime], Field(min_length=1), Tag("<list>")],
        Discriminator(lambda value: "<list>" if isinstance(value, list) else "<one>"),
    ]


def _format(name: str) -> str:
    if name not in FORMATS:
        raise wrong(f"unknown format '{name}'", suggest(name, FORMATS, "formats"))
    return name


FormatName = Annotated[
    str, AfterValidator(_format), Field(json_schema_extra={"enum": sorted(FORMATS)})
]


class EventSpec(Strict):
    """What a team promises of one event type."""

    topic: Topic = Field(description="The Kafka topic.", examples=["support"])
    format: FormatName = Field("json", description="The format of the topic's records.")
    schema_: Text | None = Field(
        None,
        alias="schema",
        description="What the records are read with: a file beside this one (.avsc, .proto, "
        "descriptor set), or `registry`, where each record names its own. Of avro and protobuf, "
        "`registry` if not given; json has none.",
        examples=["order.avsc"],
    )
    message: Text | None = Field(
        None, description="The Protobuf message that records are; the first of the file."
    )
    type_field: TypeField | None = Field(
        ("type",),
        validate_default=False,
        json_schema_extra={"default": "type"},
        description="The path of what names the event type. `none`: every event of the topic is "
        "of this type.",
    )
    time: AnyTime = Field(
        description="The path of the event's time: ISO 8601, or epoch seconds, milliseconds, "
        "microseconds or nanoseconds. `record`: the record's timestamp. Of a list, the first that "
        "is there.",
        examples=["created_at"],
    )
    timezone: TimeZone | None = Field(None, description="The time zone of times without an offset.")
    id: Identity | None = Field(
        None,
        description="The path of what identifies the event: one that is sent twice counts once. "
        "A list: all of them together.",
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
    owner: Text | None = Field(None, description="Who answers for the events, at their producer.")
    team: Text | None = Field(None, description="The team that produces them.")
    fields: dict[FieldName, AnyField] = Field(
        default_factory=dict,
        description="The fields that KPIs may use: name: type, or name: {type, required, "
        "minimum, …}.",
    )
    lookup: dict[FieldName, AnyLookupField] = Field(
        default_factory=dict,
        description="Fields that the event lacks, from lookups, by its key: name: lookup.column, "
        "or name: {column, key}.",
    )
