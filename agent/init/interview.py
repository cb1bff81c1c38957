"""Decides the parts of a draft: proposes what follows from the sample, and asks options and
people."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path as FilePath

from agent.core.model.paths import Path, Root
from agent.core.model.printable import printable
from agent.errors import EnvironmentFault, KpiAgentError, RulesError
from agent.init import identity, inference
from agent.init.drafted import (
    EventDraft,
    TimeDraft,
    as_list,
    is_event_name,
    with_own_names,
)
from agent.init.fields import FieldDraft, fields_of
from agent.init.lines import (
    around_of,
    event_name,
    kpis_of_lines,
    lines_of,
    profile_of,
    time_of_lines,
    values_in,
)
from agent.init.measures import kpis_of
from agent.init.naming import snake
from agent.init.places import (
    RECORD_TIME,
    chosen_names,
    chosen_path,
    chosen_paths,
    read_path,
    shown,
)
from agent.init.reading import Sample
from agent.init.sample import Occurrence, Seen, left_out, named, profile
from agent.init.spelling import is_either
from agent.init.times import lateness_of, time_of, times_of, times_with_gaps, with_time_of_day
from agent.init.topics import chosen, common_name, samples
from agent.replay.event_files import STANDARD_INPUT, batches_of, event_file

Ask = Callable[[str, str, str], str]
"""Asks a question: the name of an option, the question and the proposed answer to the answer."""


def from_sample(names: Sequence[str], ask: Ask) -> tuple[list[EventDraft], dict[str, list[int]]]:
    """Draft contracts from files of a sample, by type of event; with the times (ms) of each. Raises
    KpiAgentError if that is not possible."""
    drafts: list[EventDraft] = []
    times: dict[str, list[int]] = {}
    refused: list[RulesError] = []
    for sample in _samples(names, ask):
        for draft, of_draft in _drafts_of(sample, {*times}, refused, ask):
            drafts.append(draft)
            times[draft.event] = of_draft
    if not drafts:
        raise refused[0]
    for refusal in refused:
        sys.stderr.write(f"left out: {printable(refusal.message)}\n")
    return with_own_names(drafts), times


def _drafts_of(
    sample: Sample, used: Collection[str], refused: list[RulesError], ask: Ask
) -> Iterator[Timed]:
    """The drafts of the events of a sample; `used`: the names of other events. Types that can't be
    drafted are added to `refused`."""
    path, groups = _by_type(sample, common_name(sample.topics), ask)
    for kind, rows in groups.items():
        part = sample.of(rows)
        name = f"{sample.topics[0]}.{kind}" if kind in used else kind
        try:
            draft, at = _event(name, kind, path, part, ask)
        except RulesError as error:
            refused.append(error)
            continue
        has_time = draft.times != [TimeDraft(RECORD_TIME)] or part.is_timestamped
        if not has_time and len(groups) > 1 and not lines_of(part.events, timed=True):
            refused.append(RulesError(f"{kind}: no event of this type has a time"))
            continue
        timed = (
            _lines(draft, at, part.events) if has_time else _timed_lines(draft, part.events, ask)
        )
        yield from timed if timed and not has_time else [(draft, at), *timed]


def _samples(names: Sequence[str], ask: Ask) -> list[Sample]:
    """The samples of files, by topic. Topics that the records don't name are asked for."""
    files = [event_file(name) for name in names]
    if None in files:
        raise EnvironmentFault(f"{names[files.index(None)]}: no such file")
    batches = chain.from_iterable(batches_of(file) for file in files if file)
    of_topics = samples(batch for batch, _ in batches)
    if not of_topics:
        raise KpiAgentError("the sample contains no JSON object", "Write one event per line.")
    stem = "events" if names[0] == STANDARD_INPUT else FilePath(names[0]).name.split(".")[0]
    by_file = re.sub(r"[^A-Za-z0-9._-]+", "-", stem) or "events"
    of_topics = [
        sample if sample.topics else replace(sample, topics=[by_file]) for sample in of_topics
    ]
    proposed = ",".join(topic for sample in of_topics for topic in sample.topics)
    answer = ask("topic", "The Kafka topic", proposed)
    return of_topics if answer == proposed else chosen(of_topics, answer)


def _by_type(sample: Sample, topic: str, ask: Ask) -> tuple[Path | None, dict[str, list[int]]]:
    """The path of the type, and the indices of the events of each."""
    events = sample.events
    own = snake(topic)
    path: Path | None
    if sample.envelope is not None and sample.envelope.name == "cloudevents":
        path = _TYPE
    elif sample.envelope is not None and sample.envelope.name == "debezium":
        tables = {event.at(_TABLE) for event in events}
        path = _TABLE if len(tables) > 1 and None not in tables else None
        own = f"{own}.changed"
    else:
        seen = profile(events)
        inferred = inference.type_of(seen, len(events))
        if inferred is not None and inference.is_operation(seen[inferred]):
            inferred, own = None, f"{own}.changed"
        proposed = "none" if inferred is None else shown(inferred)
        answer = ask("type_field", "The field that names the event's type", proposed)
        is_inferred = inferred is not None and answer == shown(inferred)
        path = inferred if is_inferred else chosen_path(answer)
    groups: dict[str, list[int]] = {}
    for row, event in enumerate(events):
        kind = own if path is None else event.at(path)
        if isinstance(kind, str):
            groups.setdefault(kind, []).append(row)
    if not groups:
        raise KpiAgentError(f"no event of the sample has a text at {shown(path or ())}")
    return path, groups


_TYPE: Path = (Root("envelope"), "type")
_TABLE: Path = (Root("envelope"), "source", "table")


def _event(
    name: str, kind: str, path: Path | None, sample: Sample, ask: Ask
) -> tuple[EventDraft, list[int]]:
    """The draft of one event type (`kind`) of the sample, and the times of its events."""
    if not is_event_name(name):
        raise RulesError(f"{name!r} can't be the name of an event")
    events = sample.events
    seen = profile(events)
    draft = EventDraft(
        name,
        sample.topics,
        path,
        type=kind,
        envelope=sample.envelope,
        decode=sample.decode,
    )
    if any(inner.codings[-1] == "decimal" for inner in sample.decode):
        draft.notes["decode"] = "the schema says how many decimals there are: 2 is a guess"
    times = _time(draft, sample, seen, ask)
    _identify(draft, events, seen, ask)
    late = lateness_of(times)
    if late > 10_000:
        draft.lateness_ms = -(-late // 60_000) * 60_000
        draft.notes["lateness"] = "the most that an event of the sample came behind another"
    _measure(draft, seen, times, ask)
    return draft, times


def _measure(draft: EventDraft, seen: Mapping[Path, Seen], times: Sequence[int], ask: Ask) -> None:
    """Set the fields and KPIs of an event, and their dimensions; `times`: of its events."""
    type_path = () if draft.type_field is None else (draft.type_field,)
    fields, constant = fields_of(seen, {*draft.ids, *type_path})
    draft.kpis, no_measures = kpis_of(draft.event, fields, seen)
    draft.fields = [f for f in fields if not is_only_time(f, draft)]
    unused = no_measures | constant | left_out(seen)
    draft.left_out = named({at: why for at, why in unused.items() if at not in _times_of(draft)})
    window, why = inference.window_of(times)
    draft.window = ask("window", f"{draft.event}: the window of its KPIs", window)
    if draft.window == window:
        draft.notes["window"] = why
    count = max((part.count for part in seen.values()), default=0)
    split, why = inference.split_of(
        draft.fields, seen, count, inference.windows_in(times, _known(draft.window))
    )
    proposed = ",".join(split) or "none"
    by = ask("by", f"{draft.event}: the fields to split its KPIs by", proposed)
    draft.by = chosen_names(by)
    if why and by == proposed:
        draft.notes["by"] = why


def _times_of(draft: EventDraft) -> set[Path]:
    paths = {time.path for time in draft.times}
    return paths | {time.time_of_day for time in draft.times if time.time_of_day is not None}


def is_only_time(field: FieldDraft, draft: EventDraft) -> bool:
    """Whether a field is the event's time, and no KPI subtracts from it."""
    of_kpis = any(re.search(rf"\b{field.name}\b", kpi.value) for kpi in draft.kpis)
    return field.path in _times_of(draft) and not of_kpis


_SAYS_TIME: Mapping[str, Path] = {
    "cloudevents": (Root("envelope"), "time"),
    "debezium": (Root("envelope"), "source", "ts_ms"),
}
"""The path of the event's time in an envelope."""


def _time(draft: EventDraft, sample: Sample, seen: Mapping[Path, Seen], ask: Ask) -> list[int]:
    """Set the path of the time; returns the times of the events in order."""
    events = sample.events
    path = _SAYS_TIME.get("" if draft.envelope is None else draft.envelope.name)
    if path is not None and all(event.at(path) is not None for event in events):
        return times_of((event.at(path) for event in events), draft.timezone)
    best = time_of(seen, len(events))
    paths = [best] if best else times_with_gaps(seen, events)
    proposed = shown(paths[0]) if paths else "record"
    answer = ask("time", f"{draft.event}: when it happened", proposed)
    if answer != proposed:
        paths = [read_path(answer)]
        if paths != [RECORD_TIME] and all(event.at(paths[0]) is None for event in events):
            raise RulesError(
                f"{draft.event}: no event has a field {answer}", "Name another with --time."
            )
    if paths in ([], [RECORD_TIME]):
        draft.times = [TimeDraft(RECORD_TIME)]
        draft.notes["time"] = "no field can be read as a time in every event"
        return []
    times = [TimeDraft(path, seen[path].format if path in seen else None) for path in paths]
    times[0], texts = with_time_of_day(times[0], seen, events)
    draft.times, format = times, times[0].format
    values: list[object] = [*texts] or [_first(event, paths) for event in events]
    if sample.is_timestamped and None in values:
        draft.times = [*draft.times, TimeDraft(RECORD_TIME)]
    if texts:
        is_naive = times_of(texts, "UTC", format) != times_of(texts, "Asia/Tokyo", format)
    else:
        is_naive = any(_is_naive(seen[path]) for path in paths if path in seen)
    if is_naive:
        draft.timezone = ask("timezone", f"{draft.event}: the zone of its times", "UTC")
        draft.notes["time"] = f"without an offset: taken for {draft.timezone}"
    if format is not None and is_either(texts or seen[paths[0]].values, format):
        draft.notes["time"] += "; day and month may be the other way round"
    return times_of(values, draft.timezone, format)


def _first(event: Occurrence, paths: Sequence[Path]) -> object:
    values = (event.at(path) for path in paths)
    return next((value for value in values if value is not None), None)


def _is_naive(seen: Seen) -> bool:
    """Whether a field has times without an offset."""
    return bool(seen.naive) or (seen.format is not None and "%z" not in seen.format)


def _identify(
    draft: EventDraft, events: Sequence[Occurrence], seen: Mapping[Path, Seen], ask: Ask
) -> None:
    """Set the id of an event: a field, a position in a log, or the key of records that are
    repeated."""
    if draft.envelope is not None and draft.envelope.name in identity.IDENTIFIES:
        return
    paths, why = _identity(draft, events, seen)
    proposed = ",".join(map(shown, paths)) or "none"
    answer = ask("id", f"{draft.event}: what identifies an event", proposed)
    if answer != proposed:
        paths = chosen_paths(answer)
        why = None
    draft.ids = paths
    again, _ = identity.repeats(events, paths)
    if again:
        why = f"{again} of {len(events):,} events repeat one: taken for retries"
    if why is not None:
        draft.notes["id"] = why


def _identity(
    draft: EventDraft, events: Sequence[Occurrence], seen: Mapping[Path, Seen]
) -> tuple[tuple[Path, ...], str | None]:
    """The paths of an identity, and why there is none. The id of a row does not identify its
    changes."""
    is_row = draft.envelope is not None and draft.envelope.name == "debezium"
    number = None if is_row else identity.id_of(seen, len(events), draft.event)
    if number is None:
        if positions := identity.positions_of(events):
            return positions, None
        again, other = identity.repeats(events, _KEY)
        return (_KEY, None) if again and not other and not is_row else ((), None)
    again, other = identity.repeats(events, (number,))
    is_strong = identity.is_strong(number)
    if other > (identity.MOST_CHANGED * len(events) if is_strong else 0):
        why = f"{other} of {len(events):,} events repeat one with other values"
        return (), f"{shown(number)} is no identity: {why}"
    if not is_strong and (touched := identity.touched(seen, number)):
        why = f"{shown(number)} may come again, as {shown(touched)} changes: no identity"
        return (), why
    return (number,), None


_KEY: tuple[Path, ...] = ((Root("key_text"),),)


def _known(window: str) -> str:
    """A window of those that samples are tried with."""
    return window if window in inference.WINDOWS else "1h"


Timed = tuple[EventDraft, list[int]]
"""A draft, and the times of its events (ms)."""


def _timed_lines(draft: EventDraft, events: Sequence[Occurrence], ask: Ask) -> list[Timed]:
    """A contract for the lines of records without a time, if the lines have times."""
    timed = []
    for path in lines_of(events, timed=True):
        seen = profile_of(events, path)
        name, time = event_name(draft.event, path), time_of_lines(seen)
        if time is None or not is_event_name(name):
            continue
        format = seen[time].format
        line = replace(draft, event=name, each=path, times=[TimeDraft(time, format)], notes={})
        times = times_of(values_in(events, path, time), line.timezone, format)
        _measure(line, around_of(events, path) | seen, times, ask)
        is_carried = draft.envelope is None and not draft.decode and not draft.ids
        timed.append((as_list(line) if is_carried else line, times))
    return timed


def _lines(draft: EventDraft, times: list[int], events: Sequence[Occurrence]) -> list[Timed]:
    """A contract for the lines of an event, if they have a number to measure."""
    timed = []
    for path in lines_of(events, timed=False):
        seen = profile_of(events, path)
        name = event_name(draft.event, path)
        around = around_of(events, path)
        fields, constant = fields_of(around | seen, ())
        kpis, no_measures = kpis_of_lines(name, fields, seen)
        if not kpis or not is_event_name(name):
            continue
        own = [field.name for field in inference.needed_splits(fields, around | seen)]
        outer = [field for field in fields if field.path in around]
        own += [field.name for field in outer if field.name in draft.by]
        used = {field.name for field in fields}
        draft.fields = [f for f in draft.fields if f.path[: len(path)] != path]
        splits = [f for f in draft.fields if f.name in draft.by and f.name not in used]
        if not own and not splits:
            count = max(part.count for part in seen.values())
            windows = inference.windows_in(times, _known(draft.window))
            for able in (outer, fields):
                own = own or inference.split_of(able, around | seen, count, windows)[0]
        line = replace(
            draft,
            event=name,
            each=path,
            fields=[*fields, *splits],
            kpis=kpis,
            by=[*own, *(field.name for field in splits)],
            notes={key: why for key, why in draft.notes.items() if key in ("time", "by")},
            left_out=named(constant | no_measures | left_out(seen)),
        )
        timed.append((line, times))
        draft.by = [name for name in draft.by if name in {field.name for field in draft.fields}]
        if not draft.by:
            draft.notes.pop("by", None)
        draft.left_out = {at: why for at, why in draft.left_out.items() if at != shown(path)}
    return timed
