"""The section `events`: contracts of event types, and their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from agent.core.decode.formats import FORMATS
from agent.core.model.field_types import EpochUnit
from agent.language.models.base import Strict
from agent.language.models.fields import EPOCH_UNIT, TIME_FORMAT, AnyField, Pattern, TimeFormatText
from agent.language.models.lookups import AnyLookupField
from agent.language.models.paths import (
    AnyPath,
    EachPath,
    Identity,
    InnerTexts,
    PathForm,
    TypeField,
)
from agent.language.models.values import (
    Duration,
    FieldName,
    PositiveDuration,
    Text,
    TimeZone,
    Topic,
    form,
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


class DebeziumSpec(Strict):
    """Which change events count."""

    ops: list[Literal["c", "u", "d", "r"]] = Field(
        ["c", "u", "d"],
        min_length=1,
        description="The operations that count: c (create), u (update), d (delete), r (read by a "
        "snapshot).",
    )


class EnvelopeSpec(Strict):
    """An envelope with what it has to know."""

    debezium: DebeziumSpec | None = Field(None, description="Change events of database rows.")
    list: AnyPath | None = Field(None, description="Where in the record the array of events is.")

    @model_validator(mode="after")
    def _is_one(self) -> EnvelopeSpec:
        if (self.debezium is None) == (self.list is None):
            raise wrong("should name one envelope", "{list: path} or {debezium: {ops: [c]}}")
        return self


EnvelopeText = Literal["cloudevents", "connect", "debezium", "list"]

if TYPE_CHECKING:
    AnyEnvelope = EnvelopeText | EnvelopeSpec
else:
    AnyEnvelope = Annotated[
        Annotated[EnvelopeSpec, Tag("<mapping>")] | Annotated[EnvelopeText, Tag("<text>")],
        Discriminator(form),
    ]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "cloudevents": {
        "type_field": {"envelope": "type"},
        "time": [{"envelope": "time"}, "record"],
        "id": [{"envelope": "source"}, {"envelope": "id"}],
    },
    "debezium": {
        "type_field": "none",
        "time": [*({"envelope": f"source.ts_{unit}"} for unit in ("us", "ms")), "record"],
    },
}
"""What an envelope says of type, time and identity; a contract may say otherwise."""


class TopicPattern(Strict):
    """Topics by a pattern."""

    pattern: Pattern = Field(
        description="A regular expression that whole names of topics match, as in Kafka's "
        "subscribe(pattern). A topic that appears later is read from its first record. Topics "
        "whose names begin with __ and the agent's own never match.",
        examples=["shop-.*"],
    )


def _differ(value: list[str]) -> list[str]:
    for topic in value:
        if value.count(topic) > 1:
            raise wrong(f"names the topic '{topic}' twice", "keep one")
    return value


if TYPE_CHECKING:
    AnyTopic = str | list[str] | TopicPattern
else:
    AnyTopic = Annotated[
        Annotated[Topic, Tag("<text>")]
        | Annotated[list[Topic], Field(min_length=1), AfterValidator(_differ), Tag("<list>")]
        | Annotated[TopicPattern, Tag("<mapping>")],
        Discriminator(form),
    ]


class EventSpec(Strict):
    """What a team promises of one event type."""

    topic: AnyTopic = Field(
        description="The Kafka topic. A list: the event comes from all of them; "
        "{pattern: shop-.*}: from all topics that match.",
        examples=["support"],
    )
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
    type: Text | None = Field(
        None,
        description="The value that names the event type. The event's name if not given: two "
        "contracts may be about one type, such as an order and its lines.",
    )
    time: AnyTime = Field(
        description="The path of the event's time: ISO 8601, or epoch seconds, milliseconds, "
        "microseconds or nanoseconds. `record`: the record's timestamp. Of a list, the first that "
        "is there.",
        examples=["created_at"],
    )
    envelope: AnyEnvelope | None = Field(
        None,
        description="Where in a record the events are: cloudevents, debezium, connect "
        "({schema, payload}), list. Paths begin in the event; {envelope: path} reaches what stands "
        "around it.",
    )
    decode: InnerTexts | None = Field(
        None,
        description="Strings in the event that hold something else, by their path: `json`, "
        "`base64 json`, `base64 gzip json`; or a decimal: `base64 decimal(2)`.",
        examples=[{"message.data": "base64 json"}],
    )
    each: EachPath | None = Field(
        None,
        description="The array in the event whose elements the contract is about; paths of fields "
        "of an element begin with it: line_items[].price. `[]`: the event is an array.",
        examples=["line_items"],
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

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, value: Any) -> Any:
        """An envelope says where type, time and identity are, unless the contract does."""
        if not isinstance(value, dict):
            return value
        envelope = value.get("envelope")
        names = [envelope] if isinstance(envelope, str) else list(envelope or ())
        return (_DEFAULTS.get(str(names[0]), {}) if names else {}) | value

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
