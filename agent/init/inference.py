"""Infers the parts of a contract from names and values: type, splits, window."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import median

from agent.core.model.paths import Path, Root
from agent.init.fields import FieldDraft
from agent.init.naming import MONEY, PEOPLE, snake
from agent.init.places import ABOUT_EVENT, depth, is_header, keys_before, name_of, written
from agent.init.sample import Seen

TYPE_NAMES = (
    "type", "event", "event_type", "kind", "event_name", "detail_type", "resource_type",
    "message_type", "event_code", "payload_type", "type_id", "topic", "action", "name",
)  # fmt: skip
_WEAK_NAMES = frozenset({"topic", "action", "name"})
"""Names of the type of an event only if no other field has one."""
_EVENT_NAME = re.compile(r"\w+([._/:-]\w+)+")
_LEVELS = frozenset({
    "trace", "debug", "info", "normal", "notice", "warn", "warning", "error", "critical", "alert",
    "fatal", "emergency",
})  # fmt: skip
"""Values of a type that are severities."""
OPERATIONS = frozenset({
    "insert", "update", "delete", "remove", "modify", "create", "upsert", "replace", "read",
    "bootstrap-insert", "load", "c", "u", "d", "r", "i",
})  # fmt: skip
"""Values of a type that are operations on a row."""
_DIRECTIONS = frozenset({
    "credit", "debit", "cr", "dr", "crdt", "dbit", "in", "out", "buy", "sell", "inbound",
    "outbound",
})  # fmt: skip
"""Values that are directions."""
_VALUES = frozenset({"value", "reading", "measurement"})
_KINDS_OF_VALUE = frozenset({"measurand", "metric", "unit", "units", "uom"})
"""Last words in the names of values of all kinds, and of their kind."""
MOST_TYPES = 20
_SPLITS = (
    "op", "region", "country", "city", "channel", "market", "store", "device", "plan", "language",
    "tenant", "service", "status", "state", "stage",
)  # fmt: skip
_NO_SPLITS = frozenset({
    "id", "ids", "key", "hash", "number", "no", "nr", "sequence", "reference", "phone", "uuid",
    "url", "uri", "path", "email", "token", "address", "message", "body", "text", "subject",
    "description", "title", "version", "sku", "ean", "isbn",
})  # fmt: skip
"""Words in the names of fields with ever more values, or of little use."""
MOST_SERIES = 50
LEAST_OF_SERIES = 10
"""The least events in a window of the median series, for a KPI to be split by a field."""
LEAST_OF_WINDOW = 20
LEAST_WINDOWS = 30
MINUTE_MS = 60_000
WINDOWS = {
    "1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": 60 * MINUTE_MS,
    "day": 1440 * MINUTE_MS, "week": 7 * 1440 * MINUTE_MS,
}  # fmt: skip


def type_of(seen: Mapping[Path, Seen], events: int) -> Path | None:
    """The field, header or key with the type of an event. None: all events are of one type."""
    able = [s for s in seen.values() if s.type == "string" and s.known == events]
    able = [s for s in able if s.distinct <= min(MOST_TYPES, max(events // 5, 1))]
    ranked = [(rank, s) for s in able if (rank := _type_rank(s)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1].path if ranked else None


def _type_rank(seen: Seen) -> tuple[bool, int, int, int] | None:
    """The rank of a type field, lower is better: one that differs, near the top."""
    is_constant = seen.distinct == 1
    name = _type_name(seen.path)
    root = seen.path[0]
    if root == Root("key_text"):
        named = all(value.count(".") and value.replace(".", "").isalpha() for value in seen.values)
        return (is_constant, 3, 0, 0) if named else None
    if isinstance(root, Root) and root.part != "header":
        return None
    if not _may_be_type(name, seen):
        return None
    above = [snake(key) for key in keys_before(seen.path)[:-1]]
    if above and (is_constant or above[-1] not in ABOUT_EVENT):
        return None
    is_weak = name in _WEAK_NAMES
    where = 1 if isinstance(root, Root) else 3 if is_weak else 2 if above else 0
    return is_constant, where, TYPE_NAMES.index(name), depth(seen.path)


def _may_be_type(name: str, seen: Seen) -> bool:
    if name not in TYPE_NAMES or written(seen.path) is None:
        return False
    if all(value.lower() in _LEVELS for value in seen.values):
        return False
    if name in _WEAK_NAMES and seen.distinct == 1:
        return False
    return name != "topic" or all(map(_EVENT_NAME.fullmatch, seen.values))


def _type_name(path: Path) -> str:
    """The type-like part of a field's name: `X-GitHub-Event` and `webhookEvent` are events."""
    name = name_of(path).removeprefix("x_")
    endings = ("event_type", "event_name", "event", *(("topic",) if is_header(path) else ()))
    return next((end for end in endings if name.endswith(f"_{end}")), name)


def is_operation(seen: Seen, others: frozenset[str] = frozenset()) -> bool:
    """Whether the values of a type are operations on a row, or among some others."""
    return all(str(value).lower() in OPERATIONS | others for value in seen.values)


def window_of(times: Sequence[int]) -> tuple[str, str]:
    """The smallest window that mostly has enough events, and why."""
    for name, span in WINDOWS.items():
        filled = _filled(times, span)
        if len(filled) >= LEAST_WINDOWS and median(filled) >= LEAST_OF_WINDOW:
            return name, f"mostly {median(filled):.0f} events each"
    return "day", "no shorter one has enough events"


def split_of(
    fields: Sequence[FieldDraft], seen: Mapping[Path, Seen], events: int, windows: int
) -> tuple[list[str], str]:
    """The fields to split the KPIs by, and why. `windows`: how many the sample has."""
    if needed := needed_splits(fields, seen):
        what = " and ".join(field.name for field in needed)
        return [field.name for field in needed], f"sums over any {what} say nothing"
    able = [f for f in fields if _splits(f, seen[f.path], events) and seen[f.path].distinct >= 2]
    able.sort(key=lambda f: (_split_rank(f), seen[f.path].distinct))
    for field in able:
        if median(seen[field.path].values.values()) / max(windows, 1) >= LEAST_OF_SERIES:
            return [field.name], f"{seen[field.path].distinct} values in the sample"
    if able:
        return [], f"not by {able[0].name}: too few events for each of its values"
    return [], ""


def needed_splits(fields: Sequence[FieldDraft], seen: Mapping[Path, Seen]) -> list[FieldDraft]:
    """The fields over whose values sums are meaningless: operations, what is measured, and the
    currency."""
    operation = next((f for f in fields if _is_operation(f, seen[f.path])), None)
    currency = next((f for f in fields if _is_currency(f)), None)
    if not any(f.is_number and _is_money(f) for f in fields):
        currency = None
    kind = next((f for f in fields if _is_kind_of_value(f, seen[f.path])), None)
    if not any(f.is_number and f.name.split("_")[-1] in _VALUES for f in fields):
        kind = None
    return [field for field in (operation, kind, currency) if field is not None]


def _is_kind_of_value(field: FieldDraft, seen: Seen) -> bool:
    """Whether a field says what a value beside it is of."""
    is_named = field.name.split("_")[-1] in _KINDS_OF_VALUE
    return is_named and field.type == "string" and seen.distinct > 1


def _is_currency(field: FieldDraft) -> bool:
    words = field.name.removesuffix("_code").split("_")
    return field.type == "string" and words[-1] in ("currency", "ccy")


def split_by_names(fields: Sequence[FieldDraft]) -> list[str]:
    """The fields to split the KPIs by if no values are known: enums, and fields whose names suggest
    few values."""
    currency = next(filter(_is_currency, fields), None)
    if currency is not None and any(f.is_number and _is_money(f) for f in fields):
        return [currency.name]
    able = [f for f in fields if f.type == "string" and not _says_little(f)]
    able = [f for f in able if f.values or _split_rank(f) < len(_SPLITS)]
    able.sort(key=lambda f: (not f.values, _split_rank(f)))
    return [field.name for field in able[:1]]


def _says_little(field: FieldDraft) -> bool:
    return bool({*field.name.split("_")} & (PEOPLE | _NO_SPLITS))


def _is_operation(field: FieldDraft, seen: Seen) -> bool:
    return field.type == "string" and seen.distinct > 1 and is_operation(seen, _DIRECTIONS)


def _is_money(field: FieldDraft) -> bool:
    return bool({*field.name.split("_")} & MONEY)


def _split_rank(field: FieldDraft) -> int:
    words = [field.name, *field.name.split("_")]
    return min((_SPLITS.index(word) for word in words if word in _SPLITS), default=len(_SPLITS))


def _splits(field: FieldDraft, seen: Seen, events: int) -> bool:
    words = {*field.name.split("_")}
    if field.type not in ("string", "boolean") or seen.known < events or words & PEOPLE:
        return False
    return seen.distinct <= MOST_SERIES and not words & _NO_SPLITS


def windows_in(times: Sequence[int], window: str) -> int:
    """How many windows have events."""
    return len(_filled(times, WINDOWS[window]))


def _filled(times: Sequence[int], span: int) -> list[int]:
    counts: dict[int, int] = {}
    for at in times:
        counts[at // span] = counts.get(at // span, 0) + 1
    return list(counts.values())
