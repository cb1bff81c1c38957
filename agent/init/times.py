"""Finds the time of an event, and the order in which events came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.time_formats import parse_formatted
from agent.core.decode.time_text import parse_time
from agent.core.model.field_types import TimeFormat
from agent.core.model.paths import Path, Root
from agent.init.drafted import TimeDraft
from agent.init.naming import TIME_WORDS, snake, words_of
from agent.init.places import ABOUT_EVENT, depth, keys_before, name_of, written
from agent.init.sample import Occurrence, Seen
from agent.init.spelling import time_format

_BUSINESS = frozenset({
    "occurred", "happened", "created", "create", "placed", "ordered", "paid", "booked", "booking",
    "start", "started", "event", "opened", "commit", "op", "derived",
})  # fmt: skip
_LOADING = frozenset({
    "processed", "processing", "ingested", "ingest", "received", "receive", "loaded", "load",
    "inserted", "sent", "arrived", "arrival", "approximate", "updated", "modified", "synced",
    "sync", "published", "exported", "end", "ended", "expires", "expiry", "etl", "collector",
    "upload", "uploaded", "observed", "indexed", "current", "first", "send", "emitted", "extracted",
    "creation",
})  # fmt: skip
"""Words in the names of times at which an event was handled, or its entity last changed."""
_PLAIN_TIMES = frozenset({
    "time", "timestamp", "ts", "datetime", "date_time", "time_stamp", "tstamp", "at",
})  # fmt: skip
_DATE_AND_CLOCK = (("date", "time"), ("day", "time"), ("dat", "zet"), ("dt", "tm"))
"""How the names of a date and its time of day differ; the last two are SAP's (ERDAT and ERZET)."""
_LEAST_CONSTANT = 5
"""A time that is the same in so many events is not the event's."""
_MOST_LATE_MS = 3_600_000
"""A time that goes back by more, while another doesn't, is of an earlier step."""
_MOST_SHUFFLED_MS = 600_000
"""The same of two times whose names are as good: the start and the end of a job of minutes."""


def time_of(seen: Mapping[Path, Seen], events: int) -> Path | None:
    """The field with the time of an event: a readable time in every event, judged by its name
    first. None: there is none."""
    whole = [s for s in _times(seen) if s.known == events]
    return whole[0].path if whole else None


def times_with_gaps(seen: Mapping[Path, Seen], events: Sequence[Occurrence]) -> list[Path]:
    """The fields of which the first one present is the time of an event, if no field is in every
    event; empty, if most events have none."""
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
    """The fields with times, the best first."""
    able = [s for s in seen.values() if s.known and _is_when(s) and written(s.path) is not None]
    able = [s for s in able if 0 not in s.path]
    return sorted(able, key=_time_rank)


def _is_when(seen: Seen) -> bool:
    return seen.is_time or seen.format is not None


def _time_rank(seen: Seen) -> tuple[bool | int, ...]:
    """The rank of a time, lower is better: one that differs, with a time of day and in the order of
    the events; not of handling; in the event; named as a time; nearly in order; named as that of
    the event; with a short name, near the top."""
    *above, last = keys_before(seen.path)
    words = words_of(last)
    named = 0 if set(words) & TIME_WORDS else 1 if seen.type == "string" else 2
    return (
        seen.distinct == 1 and seen.known >= _LEAST_CONSTANT,
        seen.days == seen.known,
        seen.late_ms > _MOST_LATE_MS,
        bool(set(words) & _LOADING),
        isinstance(seen.path[0], Root),
        named,
        seen.late_ms > _MOST_SHUFFLED_MS,
        _time_tier(words, [snake(key) for key in above]),
        len(words),
        depth(seen.path),
    )


def _time_tier(words: Sequence[str], above: Sequence[str]) -> int:
    """0: named as the time of the event; 1: a time at which something happened; 2: another."""
    is_plain = "_".join(words).removesuffix("_ms").removesuffix("_utc") in _PLAIN_TIMES
    # What captures changes writes when the database made them below `source`.
    is_about = bool(above) and (above[-1] in ABOUT_EVENT or above[-1] == "source")
    if {"occurred", "happened"} & {*words} or (is_plain and is_about):
        return 0
    if len(words) == 2 and words[0] == "event":
        return 0
    return 1 if is_plain or {*words} & _BUSINESS else 2


def has_time(seen: Mapping[Path, Seen], events: int) -> bool:
    """Whether the events have a time of their own, not only of their handling."""
    able = (s for s in _times(seen) if s.known >= events / 2)
    return any(not set(words_of(name_of(s.path))) & _LOADING for s in able)


def lateness_of(times: Sequence[int]) -> int:
    """How far an event was behind an earlier one at most, in ms."""
    newest, worst = times[0] if times else 0, 0
    for at in times:
        newest = max(newest, at)
        worst = max(worst, newest - at)
    return worst


def with_time_of_day(
    time: TimeDraft, seen: Mapping[Path, Seen], events: Sequence[Occurrence]
) -> tuple[TimeDraft, list[str]]:
    """A date with the time of day that is beside it and named alike, and the text of both in each
    event; the time as it is, and no texts, if there is none."""
    *above, last = time.path
    name = snake(str(last))
    names = [name.replace(date, clock) for date, clock in _DATE_AND_CLOCK if date in name]
    for path, beside in seen.items():
        is_named = path[:-1] == (*above,) and snake(str(path[-1])) in names
        if not is_named or beside.type != "string" or beside.known < len(events):
            continue
        texts = [f"{event.at(time.path)} {event.at(path)}" for event in events]
        if len(times_of(texts, "UTC")) == len(texts):
            return TimeDraft(time.path, None, path), texts
        if (format := time_format({*texts})) is not None:
            return TimeDraft(time.path, format, path), texts
    return time, []


def times_of(values: Iterable[Any], timezone: str, format: str | None = None) -> list[int]:
    """Values as times (ms), in their order; unreadable ones are left out."""
    if format is not None:
        texts = pl.Series([value if isinstance(value, str) else None for value in values])
        us, readable = parse_formatted(texts.cast(pl.String), TimeFormat(format=format), timezone)
        return [int(at) for at in np.asarray(us)[readable] // 1000]
    read = (None if value is None else parse_time(str(value), timezone) for value in values)
    return [at for at in read if at is not None]
