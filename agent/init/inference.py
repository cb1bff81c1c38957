"""What a contract and its KPIs are likely to be, inferred from names and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import sqlglot
from pydantic import TypeAdapter, ValidationError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from agent.core.decode.time_text import parse_time
from agent.init.measures import PEOPLE, FieldDraft, KpiDraft
from agent.init.naming import free, snake, unit_of, words_of
from agent.init.sample import Seen
from agent.language.models.paths import AnyPath
from agent.language.models.values import EventName, WindowText

_FIELD_PATH: TypeAdapter[Any] = TypeAdapter(AnyPath)
_EVENT_NAME: TypeAdapter[str] = TypeAdapter(EventName)
_WINDOW: TypeAdapter[Any] = TypeAdapter(WindowText)
TYPE_NAMES = (
    "type", "event", "event_type", "kind", "event_name", "detail_type", "resource_type", "name",
)  # fmt: skip
MOST_TYPES = 20
OF_ENVELOPE = "envelope"
"""Instead of a path: what the envelope says."""
IDENTIFIES = ("cloudevents", "debezium")
"""Envelopes whose events are not identified by a field of theirs: the one says what identifies an
event, the other's rows are what changed, not the change."""
RECORD_TIME = "record"
"""Instead of a path: the time of the record."""
_TIME_WORDS = frozenset({
    "time", "timestamp", "ts", "date", "datetime", "at", "when", "on", "start", "started", "es",
})  # fmt: skip
_BUSINESS = frozenset({
    "occurred", "happened", "created", "placed", "ordered", "paid", "booked", "booking", "start",
    "started", "event", "opened",
})  # fmt: skip
_LOADING = frozenset({
    "processed", "processing", "ingested", "ingest", "received", "loaded", "load", "inserted",
    "sent", "arrived", "arrival", "approximate", "updated", "modified", "synced", "sync",
    "published", "exported", "end", "ended", "expires", "expiry",
})  # fmt: skip
"""When an event was handled, or its entity last touched: not when it happened."""
_EVENT_IDS = ("event_id", "message_id", "insert_id", "uuid")
_SPLITS = ("region", "country", "city", "channel", "market", "store", "device", "plan", "language")
MOST_SERIES = 50
LEAST_OF_SERIES = 10
"""Events in a window of the middle series, for a KPI to be split by a field."""
LEAST_OF_WINDOW = 20
LEAST_WINDOWS = 30
MINUTE_MS = 60_000
WINDOWS = {
    "1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": 60 * MINUTE_MS,
    "day": 1440 * MINUTE_MS, "week": 7 * 1440 * MINUTE_MS,
}  # fmt: skip


@dataclass(slots=True)
class EventDraft:
    """An event type with its KPIs. `notes` say why something is as it is, by what it is about;
    `left_out` why a part of the events has no field or KPI, by its path."""

    event: str
    topic: str
    type_field: str
    time: str
    timezone: str = "UTC"
    id: str | None = None
    lateness_ms: int = 0
    fields: list[FieldDraft] = field(default_factory=list)
    kpis: list[KpiDraft] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    window: str = "1h"
    notes: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    envelope: str | None = None

    def slice_ms(self) -> int:
        """The slice in which the events of its KPIs are counted (ms)."""
        try:
            window = _WINDOW.validate_python(self.window)
        except ValidationError:
            return 0  # refused by the check
        return int(window.compile(self.timezone).slice_ms)


def with_own_names(drafts: Sequence[EventDraft]) -> list[EventDraft]:
    """The drafts with KPIs that are called differently, also of types that fold to one name.

    `order.paid` and `order-paid` are both `order_paid` as a KPI is called.
    """
    used: set[str] = set()
    made = []
    for draft in drafts:
        kpis = []
        for kpi in draft.kpis:
            kpis.append(replace(kpi, name=free(kpi.name, used)))
            used.add(kpis[-1].name)
        made.append(replace(draft, kpis=kpis))
    return made


def is_event_name(name: str) -> bool:
    """Whether an event can have the name."""
    return _is_valid(_EVENT_NAME, name)


def _is_valid(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


def type_field(seen: Mapping[str, Seen], events: int) -> str | None:
    """The field that names the type of an event; None: they are all of one."""
    at_top: dict[str, Seen] = {}
    for path, seen_field in seen.items():
        if "." not in path:
            at_top.setdefault(snake(path), seen_field)
    for name in TYPE_NAMES:
        candidate = at_top.get(name)
        whole = candidate is not None and candidate.type == "string" and candidate.known == events
        if candidate and whole and candidate.distinct <= min(MOST_TYPES, max(events // 5, 1)):
            return candidate.path
    return None


def time_field(seen: Mapping[str, Seen], events: int) -> str | None:
    """The field that is most likely when it happened: one that can be read as a time in every
    event, by its name first."""
    whole = [s for s in seen.values() if s.known == events and s.times == events]
    return min(whole, key=_time_rank).path if whole else None


def _time_rank(seen: Seen) -> tuple[bool, int, bool, int]:
    """Of two times, the better one has the smaller rank: not when it was handled, a time by its
    name, when something happened, and near the top."""
    above, _, last = seen.path.rpartition(".")
    words = set(words_of(last))
    named = 0 if words & _TIME_WORDS else 1 if seen.type == "string" else 2
    # What captures changes writes when the database made them below `source`.
    happened = bool(words & _BUSINESS) or above.endswith("source")
    return bool(words & _LOADING), named, not happened, seen.path.count(".")


def id_field(seen: Mapping[str, Seen], events: int, event: str) -> str | None:
    """The field that identifies an event, or several with commas between them: by its name, and as
    its values hardly repeat."""
    if {"specversion", "source", "id"} <= seen.keys():
        return "source,id"  # CloudEvents: the two together identify an event
    last = snake(event).rpartition("_")[0] or snake(event)
    own = ("id", f"{snake(event)}_id", f"{last}_id", "transaction_id", snake(event), last)
    rank = {name: i for i, name in enumerate((*_EVENT_IDS, *own))}
    able = [s for s in seen.values() if _identifies(s, events, rank)]
    return min(able, key=lambda s: (rank[_last(s)], s.path.count("."))).path if able else None


def _last(seen: Seen) -> str:
    return snake(seen.path.rpartition(".")[2])


def _identifies(seen: Seen, events: int, names: Mapping[str, int]) -> bool:
    """Whether a field may be the identity; below the top only one that says so is of the event."""
    if _last(seen) not in names or ("." in seen.path and _last(seen) not in _EVENT_IDS):
        return False
    if seen.known != events or seen.type not in ("string", "integer"):
        return False
    most = max(seen.values.values(), default=0)
    return seen.distinct >= min(events, 1000) * 0.99 and most <= 3


def fields_of(seen: Mapping[str, Seen], without: Iterable[str]) -> list[FieldDraft]:
    """The fields that KPIs may use: those of one type, under names that SQL takes.

    That all events of a sample have a field, or none is negative, is no promise of the producer's:
    nothing is required, and nothing has bounds.
    """
    made: dict[str, FieldDraft] = {}
    for path, seen_field in seen.items():
        kind = "float" if seen_field.is_number_in_text else seen_field.type
        if kind is None or path in without or not _is_valid(_FIELD_PATH, path):
            continue
        if any(path.startswith(f"{other}.") for other in seen):
            continue  # a value in some events, an object in others
        last = path.rpartition(".")[2]
        name = snake(last)
        if name in made:
            name = snake(path)
        if not _is_column(name):
            name += "_value"
        name = free(name, made)
        if seen_field.known and seen_field.times == seen_field.known and not seen_field.naive:
            kind = "timestamp"
        unit = unit_of(last) if kind in ("integer", "float") else None
        made[name] = FieldDraft(name, path, kind, unit, seen_field.is_number_in_text)
    return list(made.values())


def _is_column(name: str) -> bool:
    """Whether SQL takes a name for that of a column, as it doesn't take `select`."""
    try:
        tree = sqlglot.parse_one(f"select count({name})", dialect="duckdb")
    except SqlglotError:
        return False
    return any(column.name == name for column in tree.find_all(exp.Column))


def window_of(times: Sequence[int]) -> tuple[str, str]:
    """The smallest window that mostly has enough events, and why."""
    for name, span in WINDOWS.items():
        filled = _filled(times, span)
        if len(filled) >= LEAST_WINDOWS and median(filled) >= LEAST_OF_WINDOW:
            return name, f"mostly {median(filled):.0f} events each"
    return "day", "no shorter one has enough events"


def split_of(
    fields: Sequence[FieldDraft], seen: Mapping[str, Seen], times: Sequence[int], window: str
) -> tuple[str | None, str]:
    """The field to split the KPIs by, None for none, and why."""
    windows = max(len(_filled(times, WINDOWS[window])), 1)
    able = [
        f
        for f in fields
        if f.type in ("string", "boolean")
        and seen[f.path].known >= len(times)
        and 2 <= seen[f.path].distinct <= MOST_SERIES
        and not set(f.name.split("_")) & PEOPLE
    ]
    currencies = any(f.is_number for f in fields)
    able.sort(
        key=lambda f: (
            not (currencies and f.name.endswith("currency")),
            f.name not in _SPLITS,
            seen[f.path].distinct,
        )
    )
    for seen_field in able:
        if median(seen[seen_field.path].values.values()) / windows >= LEAST_OF_SERIES:
            return seen_field.name, f"{seen[seen_field.path].distinct} values in the sample"
    if able:
        return None, f"not by {able[0].name}: too few events for each of its values"
    return None, ""


def lateness_of(times: Sequence[int]) -> int:
    """The most that an event came behind an earlier one, in ms."""
    newest, worst = times[0] if times else 0, 0
    for at in times:
        newest = max(newest, at)
        worst = max(worst, newest - at)
    return worst


def times_of(events: Iterable[Mapping[str, Any]], path: str, timezone: str) -> list[int]:
    """The times of events, in their order, those that can be read."""
    times = []
    for event in events:
        value: Any = event
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        at = None if value is None else parse_time(str(value), timezone)
        times += [] if at is None else [at]
    return times


def _filled(times: Sequence[int], span: int) -> list[int]:
    counts: dict[int, int] = {}
    for at in times:
        counts[at // span] = counts.get(at // span, 0) + 1
    return list(counts.values())
