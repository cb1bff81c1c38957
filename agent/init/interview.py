"""Questions and their answers: what a sample shows is proposed, and options and people decide."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

from agent.core.model.events import FIELD_DTYPES, FieldType
from agent.core.model.printable import printable
from agent.errors import EnvironmentFault, RulesError
from agent.init import inference
from agent.init.enveloped import Sample, read
from agent.init.inference import EventDraft
from agent.init.measures import FieldDraft, kpis_of
from agent.init.naming import snake, unit_of
from agent.init.sample import Seen, flat, left_out, profile
from agent.replay.event_files import STANDARD_INPUT, event_file, records_of

Ask = Callable[[str, str, str], str]
"""From an option's name, a question and what is proposed to the answer."""


def from_sample(names: Sequence[str], ask: Ask) -> tuple[list[EventDraft], dict[str, list[int]]]:
    """What the files of a sample show, by type of event; and the times (ms) of each.

    Raises EnvironmentFault or RulesError where nothing can be made of them.
    """
    sample = _sample(names)
    stem = "events" if names[0] == STANDARD_INPUT else Path(names[0]).name.split(".")[0]
    topic = ask("topic", "The Kafka topic", re.sub(r"[^A-Za-z0-9._-]+", "-", stem) or "events")
    path, groups = _by_type(sample, topic, ask)
    drafts, times, refused = [], {}, []
    for name, rows in groups.items():
        try:
            draft, at = _event(name, topic, path, _part(sample, rows), ask)
        except RulesError as error:
            refused.append(error)
            continue
        drafts.append(draft)
        times[name] = at
    if not drafts:
        raise refused[0]
    for refusal in refused:
        sys.stderr.write(f"left out: {printable(refusal.message)}\n")
    return inference.with_own_names(drafts), times


def _sample(names: Sequence[str]) -> Sample:
    files = [event_file(name) for name in names]
    if None in files:
        raise EnvironmentFault(f"{names[files.index(None)]}: no such file")
    sample = read(chain.from_iterable(records_of(file) for file in files if file))
    if not sample.events:
        raise EnvironmentFault("the sample holds no JSON object")
    return sample


def _part(sample: Sample, rows: Sequence[int]) -> Sample:
    """Some of the events."""
    return replace(
        sample,
        events=[sample.events[row] for row in rows],
        types=[sample.types[row] for row in rows] if sample.types else (),
        times=[sample.times[row] for row in rows] if sample.times else (),
    )


def _by_type(sample: Sample, topic: str, ask: Ask) -> tuple[str, dict[str, list[int]]]:
    """The path of the type, and the numbers of the events of each."""
    events = sample.events
    if sample.types:
        path, kinds = inference.OF_ENVELOPE, list(sample.types)
    elif sample.envelope == "debezium":
        path, kinds = inference.OF_ENVELOPE, [f"{snake(topic)}.changed"] * len(events)
    else:
        inferred = inference.type_field(profile(events), len(events))
        path = ask("type_field", "The field that names the event's type", inferred or "none")
        kinds = [snake(topic) if path == "none" else dict(flat(e)).get(path) for e in events]
    groups: dict[str, list[int]] = {}
    for row, kind in enumerate(kinds):
        if isinstance(kind, str):
            groups.setdefault(kind, []).append(row)
    if not groups:
        raise EnvironmentFault(f"no event of the sample has a text at {path}")
    return path, groups


def _event(
    name: str, topic: str, path: str, sample: Sample, ask: Ask
) -> tuple[EventDraft, list[int]]:
    """One event type of the sample, and the times of its events."""
    if not inference.is_event_name(name):
        raise RulesError(f"{name!r} can't be the name of an event")
    events = sample.events
    seen = profile(events)
    made = EventDraft(name, topic, path, _time(name, sample, seen, ask), envelope=sample.envelope)
    times = _times(made, sample, seen, ask)
    if sample.envelope not in inference.IDENTIFIES:
        _identify(made, events, seen, ask)
    late = inference.lateness_of(times)
    if late > 10_000:
        made.lateness_ms = -(-late // 60_000) * 60_000
        made.notes["lateness"] = "the most that an event of the sample came behind another"
    kept = {path, made.time, *(made.id or "").split(",")}
    made.fields = inference.fields_of(seen, kept)
    made.kpis, no_measures = kpis_of(name, made.fields, seen)
    made.left_out = no_measures | left_out(events, seen)
    window, why = inference.window_of(times)
    made.window = ask("window", f"{name}: the window of its KPIs", window)
    if made.window == window:
        made.notes["window"] = why
    known = made.window if made.window in inference.WINDOWS else "1h"
    split, why = inference.split_of(made.fields, seen, times, known)
    by = ask("by", f"{name}: the fields to split its KPIs by", split or "none")
    made.by = [] if by == "none" else [name.strip() for name in by.split(",")]
    if why and by == (split or "none"):
        made.notes["by"] = why
    return made, times


def _time(name: str, sample: Sample, seen: Mapping[str, Seen], ask: Ask) -> str:
    """Where it stands when an event happened."""
    if sample.times:
        return inference.OF_ENVELOPE
    inferred = inference.time_field(seen, len(sample.events)) or inference.RECORD_TIME
    time = ask("time", f"{name}: when it happened", inferred)
    if time not in seen and time != inference.RECORD_TIME:
        raise RulesError(f"{name}: no event has a field {time}", "Name another with --time.")
    return time


def _times(made: EventDraft, sample: Sample, seen: Mapping[str, Seen], ask: Ask) -> list[int]:
    """The times of the events, in order; the draft says how they are read."""
    if made.time == inference.OF_ENVELOPE:
        return inference.times_of([{"at": at} for at in sample.times], "at", made.timezone)
    if made.time == inference.RECORD_TIME:
        made.notes["time"] = "no field can be read as a time in every event"
        return []
    if seen[made.time].naive:
        made.timezone = ask("timezone", f"{made.event}: the zone of its times", "UTC")
        made.notes["time"] = f"without an offset: taken for {made.timezone}"
    return inference.times_of(sample.events, made.time, made.timezone)


def _identify(
    made: EventDraft, events: Sequence[dict[str, Any]], seen: Mapping[str, Seen], ask: Ask
) -> None:
    """What identifies an event."""
    identity = inference.id_field(seen, len(events), made.event)
    number = ask("id", f"{made.event}: what identifies an event", identity or "none")
    if number == "none":
        return
    made.id = number
    values = [identity_of(event, number) for event in events]
    again = len(values) - len(set(values))
    if again:
        made.notes["id"] = f"{again} of {len(values):,} events repeat one: taken for retries"


def identity_of(event: dict[str, Any], paths: str) -> tuple[Any, ...]:
    """The values that identify an event; `paths` has commas between them."""
    values = dict(flat(event))
    return tuple(values.get(path) for path in paths.split(","))


def from_answers(ask: Ask) -> list[EventDraft]:
    """A contract without a sample: what is asked for, and no thresholds."""
    event = ask("event", "The event's type", "order.placed")
    topic = ask("topic", "The Kafka topic", snake(event).partition("_")[0] + "s")
    path = ask("type_field", "The field that names the type", "type")
    made = EventDraft(
        event, topic, path, ask("time", "The field that says when it happened", "time")
    )
    made.timezone = ask("timezone", "The zone of times without an offset", "UTC")
    number = ask("id", "The field that identifies an event", "none")
    made.id = None if number == "none" else number
    made.fields = _fields(ask("fields", "What KPIs may use, as name:type,…", ""))
    made.kpis, made.left_out = kpis_of(event, made.fields)
    made.window = ask("window", "The window of its KPIs", "1h")
    by = ask("by", "The fields to split its KPIs by", "none")
    made.by = [] if by == "none" else [name.strip() for name in by.split(",")]
    return inference.with_own_names([made])


def _fields(text: str) -> list[FieldDraft]:
    """`amount:float,region:string`."""
    drafts = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        path, _, kind = part.partition(":")
        if kind not in FIELD_DTYPES:
            known = ", ".join(FIELD_DTYPES)
            raise RulesError(f"{part!r} is not name:type", f"The types are {known}.")
        name = snake(path.rpartition(".")[2])
        of_kind = cast(FieldType, kind)
        drafts.append(FieldDraft(name, path, of_kind, unit=unit_of(name)))
    return drafts
