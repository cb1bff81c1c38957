"""What a contract is likely to be, inferred from names and values: type, time, identity, window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.time_formats import parse_formatted
from agent.core.decode.time_text import parse_time
from agent.core.model.field_types import TimeFormat
from agent.core.model.paths import Path, Root
from agent.init.fields import FieldDraft
from agent.init.naming import MONEY, PEOPLE, snake, words_of
from agent.init.places import depth, keys_before, name_of, written
from agent.init.sample import Occurrence, Seen

TYPE_NAMES = (
    "type", "event", "event_type", "kind", "event_name", "detail_type", "resource_type",
    "message_type", "action", "name",
)  # fmt: skip
_ABOUT_EVENT = frozenset({
    "event", "header", "headers", "meta", "metadata", "attributes", "message_attributes", "context",
    "envelope",
})  # fmt: skip
"""Objects in which a type is that of the event."""
OPERATIONS = frozenset({
    "insert", "update", "delete", "remove", "modify", "create", "upsert", "replace", "read",
    "bootstrap-insert", "c", "u", "d", "r", "i",
})  # fmt: skip
"""Values of a type that say what was done to a row, not what happened."""
_DIRECTIONS = frozenset({
    "credit", "debit", "cr", "dr", "in", "out", "buy", "sell", "inbound", "outbound",
})  # fmt: skip
"""Values that say which way something went."""
MOST_TYPES = 20
IDENTIFIES = ("cloudevents",)
"""Envelopes that say themselves what identifies an event."""
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
_POSITIONS: Sequence[tuple[Path, ...]] = (
    tuple((Root("envelope"), "source", name) for name in ("file", "pos", "row")),
    ((Root("envelope"), "source", "lsn"),),
    tuple((Root("envelope"), "source", name) for name in ("scn", "commit_scn")),
    (("xid",), ("xoffset",)),
    (("kinesis", "partitionKey"), ("kinesis", "sequenceNumber")),
)
"""Positions in the logs of databases and streams, which identify what was read there: MySQL,
PostgreSQL and Oracle by Debezium, Maxwell, Kinesis."""
_SPLITS = (
    "op", "region", "country", "city", "channel", "market", "store", "device", "plan", "language",
    "tenant", "service", "status", "state", "stage",
)  # fmt: skip
_NO_SPLITS = frozenset({
    "id", "ids", "key", "hash", "number", "no", "nr", "sequence", "reference", "phone", "uuid",
    "url", "uri", "path", "email", "token", "address", "message", "body", "text", "subject",
    "description", "title", "version",
})  # fmt: skip
"""Words in the names of what has ever more values, or says little."""
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


def type_of(seen: Mapping[Path, Seen], events: int) -> Path | None:
    """What names the type of an event: a field, or a header or key. None: they are all of one."""
    able = [s for s in seen.values() if s.type == "string" and s.known == events]
    able = [s for s in able if s.distinct <= min(MOST_TYPES, max(events // 5, 1))]
    ranked = [(rank, s) for s in able if (rank := _type_rank(s)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1].path if ranked else None


def _type_rank(seen: Seen) -> tuple[bool, int, int, int] | None:
    """Of two types, the better one has the smaller rank: one that differs, near the top."""
    is_constant = seen.distinct == 1
    name = name_of(seen.path).removeprefix("x_")
    root = seen.path[0]
    if root == Root("key_text"):
        named = all(value.count(".") and value.replace(".", "").isalpha() for value in seen.values)
        return (is_constant, 3, 0, 0) if named else None
    if isinstance(root, Root) and root.part != "header":
        return None
    if name not in TYPE_NAMES or written(seen.path) is None:
        return None
    above = [snake(key) for key in keys_before(seen.path)[:-1]]
    if above and (is_constant or above[-1] not in _ABOUT_EVENT):
        return None
    where = 1 if isinstance(root, Root) else 2 if above else 0
    return is_constant, where, TYPE_NAMES.index(name), depth(seen.path)


def is_operation(seen: Seen, others: frozenset[str] = frozenset()) -> bool:
    """Whether the values of a type say what was done to a row, or one of some others."""
    return all(str(value).lower() in OPERATIONS | others for value in seen.values)


def time_of(seen: Mapping[Path, Seen], events: int) -> Path | None:
    """The field that says when an event happened: one that can be read as a time in every event, by
    its name first. None: there is none."""
    whole = [s for s in _times(seen) if s.known == events]
    return whole[0].path if whole else None


def times_with_gaps(seen: Mapping[Path, Seen], events: Sequence[Occurrence]) -> list[Path]:
    """The fields of which the first that is there says when an event happened, where none is in
    every event; empty, where most events have none."""
    able = _times(seen)
    main = next((s for s in able if s.known >= len(events) / 2), None)
    paths: list[Path] = []
    missing = list(events)
    for candidate in [main, *able] if main is not None else []:
        left = [event for event in missing if event.at(candidate.path) is None]
        if len(left) < len(missing):
            paths, missing = [*paths, candidate.path], left
    return paths


def _times(seen: Mapping[Path, Seen]) -> list[Seen]:
    """The fields that hold times, the best first."""
    able = [s for s in seen.values() if s.known and _is_when(s) and written(s.path) is not None]
    able = [s for s in able if 0 not in s.path]
    return sorted(able, key=_time_rank)


def _is_when(seen: Seen) -> bool:
    return seen.is_time or seen.format is not None


def _time_rank(seen: Seen) -> tuple[bool, bool, int, bool, int]:
    """Of two times, the better one has the smaller rank: not when it was handled, in the event, a
    time by its name, when something happened, and near the top."""
    above = keys_before(seen.path)[:-1]
    words = set(words_of(name_of(seen.path)))
    named = 0 if words & _TIME_WORDS else 1 if seen.type == "string" else 2
    # What captures changes writes when the database made them below `source`.
    happened = bool(words & _BUSINESS) or above[-1:] == ["source"]
    is_around = isinstance(seen.path[0], Root)
    return bool(words & _LOADING), is_around, named, not happened, depth(seen.path)


def id_of(seen: Mapping[Path, Seen], events: int, event: str) -> Path | None:
    """The field that identifies an event: by its name, and as its values hardly repeat."""
    last = snake(event).rpartition("_")[0] or snake(event)
    own = ("id", f"{snake(event)}_id", f"{last}_id", "transaction_id", snake(event), last)
    rank = {name: i for i, name in reversed(list(enumerate((*_EVENT_IDS, *own))))}
    able = [s for s in seen.values() if _identifies(s, events, rank)]
    return min(able, key=lambda s: (rank[name_of(s.path)], depth(s.path))).path if able else None


def is_strong(path: Path) -> bool:
    """Whether a field identifies events by its name alone."""
    return name_of(path) in _EVENT_IDS


def touched(seen: Mapping[Path, Seen]) -> Path | None:
    """When the entity was last changed that an event is the state of; None: it is of none."""
    words = {"updated", "modified"}
    return next(
        (at for at, s in seen.items() if s.is_time and {*words_of(name_of(at))} & words), None
    )


def positions_of(events: Sequence[Occurrence]) -> tuple[Path, ...]:
    """The position in a log that identifies each event; empty: there is none."""
    for paths in _POSITIONS:
        positions = [tuple(event.at(path) for path in paths) for event in events]
        if (
            positions
            and all(None not in values for values in positions)
            and len({*positions}) == len(positions)
        ):
            return paths
    return ()


MOST_CHANGED = 0.01
"""An identity comes again with other values in so few events at most."""


def repeats(events: Sequence[Occurrence], paths: Sequence[Path]) -> tuple[int, int]:
    """How many events have an identity that one before them had; and how many of these have
    something else in them."""
    first: dict[tuple[Any, ...], Any] = {}
    again = other = 0
    for event in events:
        identity = tuple(event.at(path) for path in paths)
        if not identity or None in identity:
            continue
        before = first.setdefault(identity, event)
        if before is not event:
            again += 1
            other += before.value != event.value
    return again, other


def _identifies(seen: Seen, events: int, names: Mapping[str, int]) -> bool:
    """Whether a field may be the identity; below the top only one that says so is of the event."""
    name = name_of(seen.path)
    if name not in names or written(seen.path) is None or not _is_own(seen.path):
        return False
    if len(keys_before(seen.path)) > 1 and name not in _EVENT_IDS:
        return False
    if seen.known != events or seen.type not in ("string", "integer"):
        return False
    return seen.distinct >= min(events, 1000) / 2


def _is_own(path: Path) -> bool:
    """Whether a field is the event's, not its record's or that of something in it."""
    return not isinstance(path[0], Root) and 0 not in path


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
    operation = next((f for f in fields if _is_operation(f, seen[f.path])), None)
    currency = next((f for f in fields if f.name.endswith("currency")), None)
    if not any(f.is_number and _is_money(f) for f in fields):
        currency = None
    needed = [field for field in (operation, currency) if field is not None]
    if needed:
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


def lateness_of(times: Sequence[int]) -> int:
    """The most that an event came behind an earlier one, in ms."""
    newest, worst = times[0] if times else 0, 0
    for at in times:
        newest = max(newest, at)
        worst = max(worst, newest - at)
    return worst


def times_of(values: Iterable[Any], timezone: str, format: str | None = None) -> list[int]:
    """The times that values are (ms), in their order, those that can be read."""
    if format is not None:
        texts = pl.Series([value if isinstance(value, str) else None for value in values])
        us, readable = parse_formatted(texts.cast(pl.String), TimeFormat(format=format), timezone)
        return [int(at) for at in np.asarray(us)[readable] // 1000]
    read = (None if value is None else parse_time(str(value), timezone) for value in values)
    return [at for at in read if at is not None]


def windows_in(times: Sequence[int], window: str) -> int:
    """How many windows have events."""
    return len(_filled(times, WINDOWS[window]))


def _filled(times: Sequence[int], span: int) -> list[int]:
    counts: dict[int, int] = {}
    for at in times:
        counts[at // span] = counts.get(at // span, 0) + 1
    return list(counts.values())
