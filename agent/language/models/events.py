"""The section `events`: contracts of event types, and their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag

from agent.core.model.events import FieldType
from agent.language.models.base import Strict
from agent.language.models.lookups import AnyLookupField
from agent.language.models.values import (
    DottedPath,
    Duration,
    FieldName,
    Number,
    PositiveDuration,
    Text,
    TimeZone,
    Topic,
    TypeField,
    Unit,
    form,
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
    lookup: dict[FieldName, AnyLookupField] = Field(
        default_factory=dict,
        description="Fields that the event lacks, from lookups, by its key: name: lookup.column, "
        "or name: {column, key}.",
    )
