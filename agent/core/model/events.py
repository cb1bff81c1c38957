"""Event contracts: the topic, schema, time, identity and fields of an event type."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import polars as pl

from agent.core.model.field_types import FIELD_DTYPES, FieldType, TextRule, TimeFormat, ValueFormat
from agent.core.model.paths import Path, path_text

SchemaKind = Literal["AVRO", "PROTOBUF", "JSON"]
"""The schema types of a Confluent schema registry."""

REGISTRY: Literal["registry"] = "registry"
"""Instead of a schema: each record names one in the registry."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema: its text, and (name, text) of the schemas that it references, each after those that
    it references itself. `message`: the Protobuf message that records are; "": the message that the
    record names, or else the first in the schema."""

    kind: SchemaKind
    text: str
    references: tuple[tuple[str, str], ...] = ()
    message: str = ""

    @property
    def format(self) -> str:
        """The format of its records, as an event's `format` names it."""
        return self.kind.lower()


__all__ = [
    "FIELD_DTYPES",
    "Coding",
    "ComputedField",
    "Contract",
    "Envelope",
    "EnvelopeName",
    "Field",
    "FieldType",
    "InnerText",
    "LookupField",
    "Restated",
    "Scalar",
    "TimeSource",
    "Topics",
]

EnvelopeName = Literal["cloudevents", "connect", "debezium", "list"]
Coding = Literal["base64", "gzip", "json", "decimal"]


Scalar = str | int | bool | None
"""A dimension's value. `check` rejects dimensions of type float."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract.

    `minimum` and `maximum` are inclusive, and for numbers only. `scale` is the number of decimals
    of a decimal. `format`: how the value is written if not as JSON; `text`: what a string must
    satisfy (both in `agent.core.model.field_types`). `as_sql` is the SQL that computes the field
    from the value at `path`, as declared, and `computed` the same as an expression over a column
    `value`.
    """

    name: str
    path: Path
    type: FieldType
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    scale: int = 0
    format: ValueFormat | None = None
    text: TextRule | None = None
    description: str = ""
    as_sql: str | None = None
    computed: pl.Expr | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LookupField:
    """A field joined from a lookup: `column` of the row whose key equals the event's fields `keys`;
    null without such a row. `digest` is a digest of the column's content."""

    name: str
    lookup: str
    column: str
    keys: tuple[str, ...]
    type: FieldType
    digest: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class ComputedField:
    """A field computed from others of the event, lookups included: `sql`, as declared, and `value`,
    the same over the columns of the contract's table."""

    name: str
    type: FieldType
    sql: str
    value: pl.Expr = field(compare=False)
    scale: int = 0


@dataclass(frozen=True, slots=True)
class TimeSource:
    """The path of an event's time, and its format; None: the format is recognised.

    `time_of_day`: the path of the text that, after a space, completes the date at `path`; an event
    that lacks one of the two has no time here.
    """

    path: Path
    format: TimeFormat | None = None
    time_of_day: Path | None = None

    def __str__(self) -> str:
        return " and ".join(map(path_text, self.paths))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that are read."""
        return (self.path,) if self.time_of_day is None else (self.path, self.time_of_day)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where in a record its events are: one of `agent.core.decode.envelopes`.

    `path`: for `list`, the path of the array. `ops`: for `debezium`, the operations that count:
    create (c), update (u), delete (d) and snapshot read (r).
    """

    name: EnvelopeName
    path: Path = ()
    ops: tuple[str, ...] = ("c", "u", "d")

    @property
    def has_schema(self) -> bool:
        """Whether records may have their schema beside them."""
        return self.name in ("connect", "debezium")


@dataclass(frozen=True, slots=True)
class InnerText:
    """An encoded string in an event. `codings`: its encodings, the outermost first. `scale`: for
    the coding `decimal` (an unscaled integer in two's complement), its number of decimals."""

    path: Path
    codings: tuple[Coding, ...]
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Topics:
    """The source topics of a contract: by name, or all topics whose full names match `pattern`,
    including topics that are created later."""

    names: tuple[str, ...] = ()
    pattern: str | None = None

    def __contains__(self, topic: object) -> bool:
        if self.pattern is None:
            return topic in self.names
        # An event without a topic, as in a rule test, has the pattern itself as its topic.
        return isinstance(topic, str) and (topic == self.pattern or _matches(self.pattern, topic))

    def __str__(self) -> str:
        return ", ".join(self.names) if self.pattern is None else f"{{pattern: {self.pattern}}}"

    @property
    def default(self) -> str:
        """The topic of events that name none."""
        return self.names[0] if self.pattern is None else self.pattern

    def shared_with(self, other: Topics) -> str | None:
        """A topic that both contain, or the pattern that both have. None: there is none, as far as
        can be known without the broker: two different patterns may match the same topic."""
        if self.pattern is not None and self.pattern == other.pattern:
            return self.pattern
        both = [name for name in (*self.names, *other.names) if name in self and name in other]
        return next(iter(both), None)

    @property
    def is_one(self) -> bool:
        """Whether this is exactly one topic, also if others are created."""
        return len(self.names) == 1


@lru_cache(maxsize=10_000)
def _matches(pattern: str, topic: str) -> bool:
    """Whether a full name matches, in the syntax of all patterns in rules (Rust's regex crate)."""
    return bool(pl.Series([topic]).str.contains(f"^(?:{pattern})$").item())


@dataclass(frozen=True, slots=True)
class Restated:
    """How a log is read to compute windows again: no event is late, and only events with a time in
    `[from_ms, until_ms)` count. `lateness_ms` is the lateness that the contract declares; it bounds
    how long an id is remembered, as if all events had arrived in the order of their times."""

    from_ms: int
    until_ms: int
    lateness_ms: int


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one event type between the team that produces it and the agent.

    - `type_path`: where an event states its type, which must equal `type_value`. None: every event
      of the topics has this type.
    - `times`: the event's time is the first of these that is not null.
    - `ids`: the event's identity is all values at these paths; an event that lacks one has none.
      `duplicate_window_ms`: how long an id is remembered at most.
    - `max_past_ms`: an event this much older than its record's timestamp is rejected (None: never).
    - `format`: a name in `agent.core.decode.formats`. `schema`: the schema of all records,
      `"registry"` if each record names its own, None if the format has none.
    - `subject`, `key_subject`: the subjects of the schemas of records and of their keys in the
      registry (None: named after the topic).
    - `each`: an array in the event; each of its elements is a row, and all share the event's
      verdict.
    - `owner`, `team`: who is responsible for the events.
    - `restated`: set only in plans that compute windows again (`agent.core.restatement`).
    """

    name: str
    topics: Topics
    type_path: Path | None
    type_value: str
    times: tuple[TimeSource, ...]
    timezone: str
    ids: tuple[Path, ...]
    lateness_ms: int
    max_future_ms: int
    idle_after_ms: int
    max_bytes: int
    fields: tuple[Field, ...]
    duplicate_window_ms: int
    max_past_ms: int | None = None
    format: str = "json"
    envelope: Envelope | None = None
    decode: tuple[InnerText, ...] = ()
    each: Path | None = None
    schema: Schema | Literal["registry"] | None = None
    subject: str | None = None
    key_subject: str | None = None
    lookups: tuple[LookupField, ...] = ()
    computed: tuple[ComputedField, ...] = ()
    description: str = ""
    owner: str | None = None
    team: str | None = None
    restated: Restated | None = None

    @property
    def names_schemas(self) -> bool:
        """Whether no record can be read without the registry's schema that it names."""
        return self.schema == REGISTRY and self.format != "json"

    @property
    def types(self) -> dict[str, FieldType]:
        """The types of the contract's columns: its fields, those joined from lookups, and those
        computed from them."""
        columns: tuple[Field | LookupField | ComputedField, ...]
        columns = (*self.fields, *self.lookups, *self.computed)
        return {field.name: field.type for field in columns}

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths that are read from an event."""
        of_type = () if self.type_path is None else (self.type_path,)
        times = tuple(path for source in self.times for path in source.paths)
        return (*of_type, *times, *self.ids, *(field.path for field in self.fields))
