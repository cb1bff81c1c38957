"""Contracts of events as they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import polars as pl

from agent.core.model.events import (
    REGISTRY,
    ComputedField,
    Contract,
    Envelope,
    FieldType,
    LookupField,
    Schema,
    TimeSource,
    Topics,
)
from agent.core.model.lookups import Lookup
from agent.core.model.windows import DAY_MS, HOUR_MS
from agent.language.compile.fields import make_field, time_format
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.events import EventSpec, TopicPattern
from agent.language.models.lookups import LookupFieldSpec
from agent.language.sql.types import Typed, is_decimal, scale_of

LATENESS_MS = 10_000
MAX_FUTURE_MS = HOUR_MS
MAX_PAST_MS = 10_950 * DAY_MS
"""Thirty years: an earlier time is mostly no time, or an epoch in another unit."""
IDLE_AFTER_MS = 30_000
DUPLICATE_WINDOW_MS = 15 * 60_000
"""Three times what a FIFO queue of Amazon SQS remembers a message for (its deduplication interval),
and longer than a Kafka producer tries (delivery.timeout.ms, 2m)."""
MAX_BYTES = 1024 * 1024
"""Kafka's own default for the largest message (broker setting message.max.bytes), about."""


def first_given(*options: int | None) -> int:
    """The first that is not None; the last always is."""
    return next(option for option in options if option is not None)


def make_contract(
    declared: Declared,
    entry: Entry[EventSpec],
    lookups: Mapping[str, Lookup],
    computed: Mapping[str, pl.Expr],
    columns: Mapping[str, Typed],
) -> Contract:
    """The contract of an event type, defaults filled in. `computed`: what the `as` of its fields
    compiled to; `columns`: the fields computed from others."""
    model, defaults = entry.model, declared.defaults
    times = model.time if isinstance(model.time, list) else [model.time]
    return Contract(
        name=entry.name,
        topics=make_topics(model),
        type_path=model.type_field,
        type_value=model.type or entry.name,
        times=tuple(
            TimeSource(spec.path, time_format(spec.format, spec.unit), spec.time_of_day)
            for spec in times
        ),
        timezone=zone_of(declared, model.timezone),
        ids=model.id or (),
        lateness_ms=first_given(model.lateness, defaults.lateness, LATENESS_MS),
        max_future_ms=first_given(model.max_future, defaults.max_future, MAX_FUTURE_MS),
        idle_after_ms=first_given(model.idle_after, defaults.idle_after, IDLE_AFTER_MS),
        max_bytes=first_given(model.max_bytes, defaults.max_bytes, MAX_BYTES),
        fields=tuple(
            make_field(name, spec, computed.get(name)) for name, spec in model.fields.items()
        ),
        duplicate_window_ms=first_given(
            model.duplicate_window, defaults.duplicate_window, DUPLICATE_WINDOW_MS
        ),
        max_past_ms=first_given(model.max_past, defaults.max_past, MAX_PAST_MS),
        format=model.format,
        envelope=_envelope(model),
        decode=model.decode or (),
        each=model.each,
        schema=_schema(declared, entry),
        subject=model.subject,
        key_subject=model.key_subject,
        lookups=tuple(
            _lookup_field(declared, name, spec, lookups) for name, spec in model.lookup.items()
        ),
        computed=tuple(
            _computed_field(name, text, columns[name])
            for name, text in model.computed.items()
            if name in columns
        ),
        description=model.description or "",
        owner=model.owner or defaults.owner,
        team=model.team or defaults.team,
    )


def make_topics(model: EventSpec) -> Topics:
    """The topics that an event comes from."""
    if isinstance(model.topic, TopicPattern):
        return Topics(pattern=model.topic.pattern)
    return Topics((model.topic,) if isinstance(model.topic, str) else tuple(model.topic))


def _lookup_field(
    declared: Declared, name: str, spec: LookupFieldSpec, lookups: Mapping[str, Lookup]
) -> LookupField:
    lookup = declared.lookups[spec.lookup].model
    return LookupField(
        name=name,
        lookup=spec.lookup,
        column=spec.of_lookup,
        keys=spec.keys(lookup),
        type=lookup.type_of(spec.of_lookup) or "string",
        digest=lookups[spec.lookup].digests[spec.of_lookup],
        unit=spec.unit,
    )


def _computed_field(name: str, sql: str, typed: Typed) -> ComputedField:
    is_exact = is_decimal(typed.type)
    type_ = cast(FieldType, "decimal" if is_exact else typed.type)
    return ComputedField(name, type_, sql, typed.expr, scale_of(typed.type) if is_exact else 0)


def _envelope(model: EventSpec) -> Envelope | None:
    spec = model.envelope
    if spec is None or isinstance(spec, str):
        return None if spec is None else Envelope(spec)
    if spec.debezium is not None:
        return Envelope("debezium", ops=tuple(spec.debezium.ops))
    return Envelope("list", path=spec.list or ())


def _schema(declared: Declared, entry: Entry[EventSpec]) -> Schema | Literal["registry"] | None:
    """The schema of an event's records; None: they need none."""
    is_plain = entry.model.format == "json" and entry.model.schema_ is None
    return None if is_plain else declared.schemas.get(entry.name, REGISTRY)
