"""Event contracts: what is promised of an event type on its topic."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import polars as pl

from agent.core.model.field_types import FIELD_DTYPES, FieldType, TextRule, TimeFormat, ValueFormat
from agent.core.model.paths import Path
from agent.core.model.schemas import Schema

__all__ = [
    "FIELD_DTYPES",
    "Coding",
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
"""A dimension's value. Floats are refused as dimensions at `check`."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract. `minimum` and `maximum` are inclusive; numbers only.

    `scale`: the decimals of a decimal. `format` says how the value is written, where it is not as
    JSON has it; `text` what a string has to be (`agent.core.model.field_types`). `as_sql` is what
    is made of the value, as written, and `computed` the same over a column `value`.
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
    """A field that the event lacks: `column` of the row of a lookup whose key equals the event's
    fields `keys`; null where there is none. `digest` stands for all that the column holds."""

    name: str
    lookup: str
    column: str
    keys: tuple[str, ...]
    type: FieldType
    digest: str
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class TimeSource:
    """Where an event's time stands, and how it is written, if it is not to be recognised."""

    path: Path
    format: TimeFormat | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where in a record its events are: one of `agent.core.decode.envelopes`.

    `path`: of `list`, where the array stands. `ops`: of `debezium`, the operations that count:
    create, update, delete, and read, by a snapshot.
    """

    name: EnvelopeName
    path: Path = ()
    ops: tuple[str, ...] = ("c", "u", "d")


@dataclass(frozen=True, slots=True)
class InnerText:
    """A string in an event that holds something else. `codings`: what was done to it, from the
    outside in. `scale`: of a decimal, which is the unscaled number in two's complement."""

    path: Path
    codings: tuple[Coding, ...]
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics that events come from: those with these names, or all whose whole names match
    `pattern`, also those that appear later."""

    names: tuple[str, ...] = ()
    pattern: str | None = None

    def __contains__(self, topic: object) -> bool:
        if self.pattern is None:
            return topic in self.names
        # What comes of no topic, such as an event of a test, stands under the pattern itself.
        return isinstance(topic, str) and (topic == self.pattern or _matches(self.pattern, topic))

    def __str__(self) -> str:
        return ", ".join(self.names) if self.pattern is None else f"{{pattern: {self.pattern}}}"

    @property
    def default(self) -> str:
        """The one topic for events that don't say theirs."""
        return self.names[0] if self.pattern is None else self.pattern

    def shared_with(self, other: Topics) -> str | None:
        """A topic that both have, or their pattern; None: they have none, as far as names tell."""
        if self.pattern is not None and self.pattern == other.pattern:
            return self.pattern
        both = [name for name in (*self.names, *other.names) if name in self and name in other]
        return next(iter(both), None)

    @property
    def is_one(self) -> bool:
        """Whether there is only one, whatever appears."""
        return len(self.names) == 1


@lru_cache(maxsize=10_000)
def _matches(pattern: str, topic: str) -> bool:
    """Whether a whole name matches, by the one syntax that patterns have in rules: Rust's."""
    return bool(pl.Series([topic]).str.contains(f"^(?:{pattern})$").item())


@dataclass(frozen=True, slots=True)
class Restated:
    """How a log is read to compute windows again: no event is late, and only those from `from_ms`
    up to `until_ms` count. `lateness_ms` is the contract's own: an id repeats an event as if all
    had come in the order of their times."""

    from_ms: int
    until_ms: int
    lateness_ms: int


@dataclass(frozen=True, slots=True)
class Contract:
    """What a product team promises of one event type.

    `type_path` None: every event of the topics is of this type; else the event whose value there
    equals `type_value`. The event's time is the first of `times` that is not null. Its identity are
    the values at `ids`, all of them; an event that lacks one of them has none. An event further
    back than `max_past_ms` before its record's timestamp is rejected (None: none is). `owner` and
    `team` answer for the events. `duplicate_window_ms`: how long an id is remembered at most.
    `format` is the name of one of `agent.core.decode.formats`, `schema` that of all records,
    `"registry"` where each names its own, None where there is none. `subject` and `key_subject` are
    those of the schemas in the registry (None: by the topic's name). With `each`, the contract is
    of the elements of that array in the event: each is a row, and all have the event's verdict.
    `restated`: None but in a plan that computes windows again (`agent.core.restatement`).
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
    description: str = ""
    owner: str | None = None
    team: str | None = None
    restated: Restated | None = None

    @property
    def types(self) -> dict[str, FieldType]:
        """The types of an event's columns: of its fields, and of those from lookups."""
        own = {field.name: field.type for field in self.fields}
        return own | {field.name: field.type for field in self.lookups}

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that is read of an event."""
        of_type = () if self.type_path is None else (self.type_path,)
        times = tuple(source.path for source in self.times)
        return (*of_type, *times, *self.ids, *(field.path for field in self.fields))
