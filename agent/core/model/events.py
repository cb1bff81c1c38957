"""Event contracts: what is promised of an event type on its topic."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.field_types import FIELD_DTYPES, FieldType, TextRule, ValueFormat

__all__ = ["FIELD_DTYPES", "Contract", "Field", "FieldType", "Path", "Scalar"]

Scalar = str | int | bool | None
"""A dimension's value. Floats are refused as dimensions at `check`."""

Path = tuple[str, ...]
"""A place in a JSON object: `user.id` is `("user", "id")`."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a contract. `minimum` and `maximum` are inclusive; numbers only.

    `scale`: the decimals of a decimal. `format` says how the value is written, where it is not as
    JSON has it; `text` what a string has to be (`agent.core.model.field_types`).
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


@dataclass(frozen=True, slots=True)
class Contract:
    """What a product team promises of one event type.

    `type_path` None: every event of the topic is of this type; else the event whose value there
    equals `type_value`. An event further back than `max_past_ms` before its record's timestamp is
    rejected (None: none is). `duplicate_window_ms`: how long an id is remembered at most.
    """

    name: str
    topic: str
    type_path: Path | None
    type_value: str
    time_path: Path
    timezone: str
    id_path: Path | None
    lateness_ms: int
    max_future_ms: int
    idle_after_ms: int
    max_bytes: int
    fields: tuple[Field, ...]
    duplicate_window_ms: int
    max_past_ms: int | None = None
