"""What a contract and its KPIs are likely to be, inferred from names and values."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from statistics import median
from typing import Any, Literal

import sqlglot
from pydantic import TypeAdapter, ValidationError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from agent.core.decode.time_text import parse_time
from agent.core.model.events import FieldType
from agent.init.sample import Seen
from agent.language.models.paths import AnyPath
from agent.language.models.values import EventName, WindowText

_FIELD_PATH: TypeAdapter[Any] = TypeAdapter(AnyPath)
_EVENT_NAME: TypeAdapter[str] = TypeAdapter(EventName)
_WINDOW: TypeAdapter[Any] = TypeAdapter(WindowText)
TYPE_NAMES = ("type", "event", "event_type", "eventType", "kind", "event_name", "name")
MOST_TYPES = 20
_TIME_NAMES = ("time", "timestamp", "ts", "date", "datetime", "at", "when")
_SPLITS = ("region", "country", "city", "channel", "market", "store", "device", "plan", "language")
_PEOPLE = ("customer", "user", "account", "client", "member", "rider", "visitor")
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

UNITS = {
    "seconds": "seconds", "secs": "seconds", "sec": "seconds", "ms": "milliseconds",
    "millis": "milliseconds", "milliseconds": "milliseconds", "minutes": "minutes",
    "mins": "minutes", "hours": "hours", "days": "days", "bytes": "bytes", "ratio": "ratio",
    "share": "ratio", "eur": "eur", "usd": "usd", "gbp": "gbp", "chf": "chf", "percent": "percent",
    "stars": "stars", "units": "units",
}  # fmt: skip
"""What the last word of a field's name says about its unit."""
DURATIONS = frozenset({"seconds", "milliseconds", "minutes", "hours", "days"})
_SUMS = frozenset({
    "amount", "total", "revenue", "units", "quantity", "qty", "items", "bytes", "eur", "usd", "gbp",
    "chf", "cost",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldDraft:
    """A field of a contract: its name in the rules, and what is promised of it."""

    name: str
    path: str
    type: FieldType
    required: bool = False
    minimum: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class KpiDraft:
    """A KPI: its SQL, and in which direction it is better."""

    name: str
    value: str
    unit: str | None
    better: Literal["higher", "lower"]
    counts: bool = False


@dataclass(slots=True)
class EventDraft:
    """An event type with its KPIs. `notes` say why something is as it is, by what it is about."""

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
    taken: set[str] = set()
    made = []
    for draft in drafts:
        kpis = []
        for kpi in draft.kpis:
            kpis.append(replace(kpi, name=_free(kpi.name, taken)))
            taken.add(kpis[-1].name)
        made.append(replace(draft, kpis=kpis))
    return made


def _free(name: str, taken: Container[str]) -> str:
    """A name, numbered where it is taken."""
    numbered = (f"{name}_{i}" for i in count(2))
    return next(one for one in chain((name,), numbered) if one not in taken)


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
    for path in TYPE_NAMES:
        found = seen.get(path)
        whole = found is not None and found.type == "string" and found.known == events
        if found and whole and found.distinct <= min(MOST_TYPES, max(events // 5, 1)):
            return path
    return None


def time_field(seen: Mapping[str, Seen], events: int) -> str | None:
    """The field that is most likely when it happened: one that can be read as a time in every
    event, by its name first."""
    whole = [s for s in seen.values() if s.known == events and s.times == events]
    return min(whole, key=_time_rank).path if whole else None


def _time_rank(seen: Seen) -> tuple[int, int]:
    last = seen.path.rpartition(".")[2].lower()
    if last.endswith(("_at", "_time", "_ts", "timestamp")) or last in _TIME_NAMES:
        return 0, seen.path.count(".")
    return (1 if seen.type == "string" else 2), seen.path.count(".")


def id_field(seen: Mapping[str, Seen], events: int, event: str) -> str | None:
    """The field that identifies an event: by its name, and as its values hardly repeat."""
    last = snake(event).rpartition("_")[0] or snake(event)
    names = ("id", "event_id", "uuid", f"{snake(event)}_id", f"{last}_id", snake(event), last)
    for name in names:
        found = seen.get(name)
        if found and found.known == events and found.type in ("string", "integer"):
            most = max(found.values.values(), default=0)
            if found.distinct >= min(events, 1000) * 0.99 and most <= 3:
                return name
    return None


def fields_of(seen: Mapping[str, Seen], events: int, without: Iterable[str]) -> list[FieldDraft]:
    """The fields that KPIs may use: those of one type, under names that SQL takes."""
    found: dict[str, FieldDraft] = {}
    for path, one in seen.items():
        kind = one.type
        if kind is None or path in without or not _is_valid(_FIELD_PATH, path):
            continue
        if any(path.startswith(f"{other}.") for other in seen):
            continue  # a value in some events, an object in others
        name = snake(path.rpartition(".")[2])
        if name in found:
            name = snake(path)
        if not _is_column(name):
            name += "_value"
        name = _free(name, found)
        least = 0.0 if one.is_numeric and (one.least or 0) >= 0 else None
        found[name] = FieldDraft(name, path, kind, one.known == events, least, unit_of(name, kind))
    return list(found.values())


def _is_column(name: str) -> bool:
    """Whether SQL takes a name for that of a column, as it doesn't take `select`."""
    try:
        tree = sqlglot.parse_one(f"select count({name})", dialect="duckdb")
    except SqlglotError:
        return False
    return any(column.name == name for column in tree.find_all(exp.Column))


def kpis_of(event: str, fields: Sequence[FieldDraft]) -> list[KpiDraft]:
    """How many there are; of each number its sum, its mean or its slow end; how many people."""
    prefix = snake(event)
    made = [KpiDraft(f"{prefix}_events", "count(*)", None, "higher", counts=True)]
    for one in fields:
        words = set(one.name.split("_"))
        if one.type in ("integer", "float") and not words & {"id", "code", "number", "zip"}:
            if one.unit in DURATIONS:
                value, ending, better = f"quantile({one.name}, 0.95)", "_p95", "lower"
            elif words & _SUMS:
                # Prometheus keeps `_total` for counters.
                ending = "_sum" if one.name.endswith("total") else ""
                value, better = f"sum({one.name})", "higher"
            else:
                value, ending, better = f"avg({one.name})", "_mean", "higher"
            made.append(KpiDraft(f"{prefix}_{one.name}{ending}", value, one.unit, better))  # type: ignore[arg-type]
        elif words & set(_PEOPLE):
            made.append(
                KpiDraft(f"{prefix}_{one.name}s", f"count(distinct {one.name})", None, "higher")
            )
    return made


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
        and f.required
        and 2 <= seen[f.path].distinct <= MOST_SERIES
        and not set(f.name.split("_")) & set(_PEOPLE)
    ]
    able.sort(key=lambda f: (f.name not in _SPLITS, seen[f.path].distinct))
    for one in able:
        if median(seen[one.path].values.values()) / windows >= LEAST_OF_SERIES:
            return one.name, f"{seen[one.path].distinct} values in the sample"
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
    found = []
    for event in events:
        value: Any = event
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        at = None if value is None else parse_time(str(value), timezone)
        found += [] if at is None else [at]
    return found


def unit_of(name: str, kind: FieldType) -> str | None:
    """What a field's name says about its unit."""
    return UNITS.get(name.rpartition("_")[2]) if kind in ("integer", "float") else None


def snake(text: str) -> str:
    """A name as KPIs and fields are called: `invoice.placedAt` is `invoice_placed_at`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}".rstrip("_")


def _filled(times: Sequence[int], span: int) -> list[int]:
    counts: dict[int, int] = {}
    for at in times:
        counts[at // span] = counts.get(at // span, 0) + 1
    return list(counts.values())
