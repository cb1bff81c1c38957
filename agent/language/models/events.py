"""The section `events`: contracts of event types, and their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from agent.core.decode.formats import FORMATS
from agent.core.model.field_types import EpochUnit
from agent.core.model.paths import Elements, Path
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
    by_form,
)
from agent.language.problems import suggest, wrong


class TimeSpec(Strict):
    """The path and format of an event's time."""

    path: AnyPath = Field(description="The path of the time; of its date, with `time_of_day`.")
    time_of_day: AnyPath | None = Field(
        None,
        description="The path of the time of day, if it is in a field of its own; must be text. "
        "The time is the date, a space and the time of day.",
    )
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


def _of_array(path: Path) -> Path:
    """The path of an array, also with its elements: `records[]`."""
    return path[:-1] if path[-1] == Elements() else path


class EnvelopeSpec(Strict):
    """An envelope with its options."""

    debezium: DebeziumSpec | None = Field(None, description="Change events of database rows.")
    list: Annotated[AnyPath, AfterValidator(_of_array)] | None = Field(
        None,
        description="The path of the array of events in the record, also in the elements of "
        "another: resourceLogs[].scopeLogs[].logRecords.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> EnvelopeSpec:
        if (self.debezium is None) == (self.list is None):
            raise wrong("should name one envelope", "{list: path} or {debezium: {ops: [c]}}")
        return self


EnvelopeText = Literal["cloudevents", "connect", "debezium", "list"]

if TYPE_CHECKING:
    AnyEnvelope = EnvelopeText | EnvelopeSpec
else:
    AnyEnvelope = by_form(mapping=EnvelopeSpec, text=EnvelopeText)

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
"""The defaults that an envelope gives for type, time and id."""


class TopicPattern(Strict):
    """Topics by a pattern."""

    pattern: Pattern = Field(
        description="A regular expression for whole topic names, as in Kafka's "
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
    _Topics = Annotated[list[Topic], Field(min_length=1), AfterValidator(_differ)]
    AnyTopic = by_form(text=Topic, list=_Topics, mapping=TopicPattern)


class EventSpec(Strict):
    """The contract of one event type."""

    topic: AnyTopic = Field(
        description="The Kafka topic. A list: the event comes from all of them; "
        "{pattern: shop-.*}: from all topics that match.",
        examples=["support"],
    )
    format: FormatName = Field("json", description="The format of the topic's records.")
    schema_: Text | None = Field(
        None,
        alias="schema",
        description="The schema of the records: a file beside this one (.avsc, .proto, descriptor "
        "set), or `registry` if each record names its own. `registry` if not given, for avro and "
        "protobuf; json needs none.",
        examples=["order.avsc"],
    )
    message: Text | None = Field(
        None, description="The Protobuf message of the records. The first of the file if not given."
    )
    subject: Text | None = Field(
        None,
        description="The schema registry's subject of the records. Without it, "
        "<topic>-value, or the only <topic>-<record> of the topic. RecordNameStrategy registers "
        "schemas under the full name of the record.",
        examples=["shop.Order"],
    )
    key_subject: Text | None = Field(
        None,
        description="The schema registry's subject of the records' keys. <topic>-key if not given.",
    )
    type_field: TypeField | None = Field(
        ("type",),
        validate_default=False,
        json_schema_extra={"default": "type"},
        description="The path of the event type in an event. `none`: all events of the topic are "
        "of this type.",
    )
    type: Text | None = Field(
        None,
        description="The value of the event type. The event's name if not given. Two contracts "
        "may have the same type, such as an order and its lines.",
    )
    time: AnyTime = Field(
        description="The path of the event's time: ISO 8601, or epoch seconds, milliseconds, "
        "microseconds or nanoseconds. `record`: the record's timestamp. A list: the first path "
        "with a value.",
        examples=["created_at"],
    )
    envelope: AnyEnvelope | None = Field(
        None,
        description="The envelope of the events in a record: cloudevents, debezium, connect "
        "({schema, payload}), list. Paths begin in the event; {envelope: path} begins in the "
        "envelope.",
    )
    decode: InnerTexts | None = Field(
        None,
        description="Strings in the event that contain encoded values, by path: `json`, `base64 "
        "json`, `base64 gzip json`; or a decimal: `base64 decimal(2)`.",
        examples=[{"message.data": "base64 json"}],
    )
    each: EachPath | None = Field(
        None,
        description="The array in the event whose elements are the events of this contract; paths "
        "in an element begin with it: line_items[].price. `[]`: the event is an array.",
        examples=["line_items"],
    )
    timezone: TimeZone | None = Field(None, description="The time zone of times without an offset.")
    id: Identity | None = Field(
        None,
        description="The path of the event's id: an event that is sent twice counts once. A list: "
        "the values together are the id.",
    )
    lateness: Duration | None = Field(
        None, description="How long a window waits for late events after its end."
    )
    max_future: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be after the time at which the broker received "
        "it.",
    )
    max_past: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be before the time at which the broker received "
        "it.",
    )
    idle_after: PositiveDuration | None = Field(
        None,
        description="A source partition without events for this long no longer holds back the "
        "others.",
    )
    duplicate_window: PositiveDuration | None = Field(
        None,
        description="For how long an event's id is remembered at most, in event time.",
    )
    max_bytes: int | None = Field(None, gt=0, description="The largest event, in bytes.")
    description: Text | None = Field(None, description="What the event means.")
    owner: Text | None = Field(
        None, description="Who is responsible for the events at their producer."
    )
    team: Text | None = Field(None, description="The team that produces them.")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, value: Any) -> Any:
        """Add the envelope's defaults for type, time and id."""
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
    computed: dict[FieldName, Text] = Field(
        default_factory=dict,
        description="Fields computed from others, lookups included: name: SQL.",
        examples=[{"size": "if(amount >= 100, 'large', 'small')"}],
    )
    lookup: dict[FieldName, AnyLookupField] = Field(
        default_factory=dict,
        description="Fields that come from lookups, by the event's key: name: lookup.column, or "
        "name: {column, key}.",
    )
