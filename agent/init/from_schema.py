"""Drafts a contract from the registered schema of a topic, without a sample: names and types
decide, and no thresholds are proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from agent.core.decode.schema_shape import Shape, record_name, shape_of
from agent.core.decode.schemas import SchemaError
from agent.core.model.events import REGISTRY, Envelope, SchemaKind
from agent.core.model.paths import Elements, Path, Root, path_text
from agent.errors import EnvironmentFault
from agent.init import identity, inference
from agent.init.drafted import Encoding, EventDraft, TimeDraft, with_own_names
from agent.init.interview import Ask, is_only_time
from agent.init.lines import event_name
from agent.init.measures import kpis_of, measures_of
from agent.init.naming import TIME_WORDS, snake, words_of
from agent.init.places import (
    RECORD_TIME,
    chosen_names,
    chosen_path,
    chosen_paths,
    name_of,
    read_path,
    shown,
    written,
)
from agent.init.sample import Seen, named
from agent.init.schema_fields import Leaf, fields_of_schema, leaves_of, with_schema
from agent.init.times import time_of
from agent.kafka.registered import Registered

BY_SCHEMA: Path = (Root("schema"),)
_CHANGE = frozenset({"op", "source", "after"})
"""Members of Debezium's records."""


def from_schema(registered: Registered, topic: str, ask: Ask) -> list[EventDraft]:
    """Draft a contract from a topic's schema. Raises EnvironmentFault if it can't be read, or is
    not of an object."""
    shape, envelope = event_shape(registered)
    is_promise = _is_promise(registered.schema.kind, envelope)
    record = record_name(registered.schema)
    own = f"{snake(topic)}.changed" if envelope else snake(record.rpartition(".")[2] or topic)
    name = ask("event", "The event's type", own)
    draft = EventDraft(
        name, (topic,), None, envelope=envelope, encoding=encoding_of(registered, topic)
    )
    draft.notes["topic"] = f"fields by subject {registered.subject}, schema {registered.number}"
    # A subject that is called after the record is mostly one of several in its topic.
    by_record = (
        registered.subject in (record, f"{topic}-{record}") and registered.schema.format != "json"
    )
    proposed = path_text(BY_SCHEMA) if by_record else "none"
    type_field = ask("type_field", "The field that names the event's type", proposed)
    draft.type_field = chosen_path(type_field)
    if draft.type_field == BY_SCHEMA:
        draft.type, draft.encoding = record, replace(draft.encoding, subject=None)
    leaves = list(leaves_of(shape))
    if envelope is None:
        _time(draft, leaves, ask)
        _identify(draft, leaves, ask)
    of_type = () if draft.type_field is None else (draft.type_field,)
    fields, left_out = fields_of_schema(leaves, {*draft.ids, *of_type}, is_promise)
    draft.kpis, no_measures = kpis_of(name, fields)
    draft.fields = [field for field in fields if not is_only_time(field, draft)]
    draft.left_out = named(no_measures | left_out)
    draft.window = ask("window", f"{name}: the window of its KPIs", "1h")
    split = inference.split_by_names(draft.fields)
    by = ask("by", f"{name}: the fields to split its KPIs by", ",".join(split) or "none")
    draft.by = chosen_names(by)
    if draft.by and draft.by == split:
        draft.notes["by"] = "by its name: no sample shows how many series that makes"
    return with_own_names([draft, *_lines(draft, leaves, is_promise)])


def beside_sample(draft: EventDraft, registered: Registered) -> EventDraft:
    """A draft of a sample, with what the schema of its records says of the fields."""
    shape, envelope = event_shape(registered)
    is_promise = _is_promise(registered.schema.kind, envelope)
    return with_schema(draft, shape, is_promise) if draft.envelope == envelope else draft


def asking_for_kinds(ask: Ask) -> Ask:
    """The same questions, of a sample whose records differ in their schemas' names."""

    def asked(name: str, question: str, proposed: str) -> str:
        is_open = name == "type_field" and proposed == "none"
        return ask(name, question, path_text(BY_SCHEMA) if is_open else proposed)

    return asked


def event_shape(registered: Registered) -> tuple[Shape, Envelope | None]:
    """The shape of the events in a schema's records, and their envelope."""
    where = f"subject {registered.subject}, schema {registered.number}"
    try:
        shape = shape_of(registered.schema)
    except SchemaError as error:
        raise EnvironmentFault(f"{where}: {error}") from error
    if not shape.members:
        raise EnvironmentFault(f"{where} is of no object with members, and events are objects")
    if shape.members.keys() >= _CHANGE and shape.members["after"].members:
        return shape.members["after"], Envelope("debezium")
    return shape, None


def encoding_of(registered: Registered, topic: str) -> Encoding:
    """The encoding of a topic's records with a registered schema."""
    is_usual = registered.subject == f"{topic}-value"
    return Encoding(registered.schema.format, REGISTRY, None if is_usual else registered.subject)


def _is_promise(kind: SchemaKind, envelope: Envelope | None) -> bool:
    """Whether non-nullable values of a schema are in every event. In Protobuf, a message may be
    unset and a scalar has a default; of a deleted row, only the key may be left."""
    return kind != "PROTOBUF" and envelope is None


def _time(draft: EventDraft, leaves: Collection[Leaf], ask: Ask) -> None:
    """The time of an event, by its type in the schema or its name."""
    path, note = _guessed_time(leaves)
    proposed = shown(path) if path is not None else "record"
    answer = ask("time", f"{draft.event}: when it happened", proposed)
    if answer != proposed:
        path, note = read_path(answer), ""
    draft.times = [TimeDraft(RECORD_TIME if path is None else path)]
    leaf = next((leaf for leaf in leaves if leaf.path == path), None)
    if leaf is not None and leaf.may_lack:
        draft.times = [*draft.times, TimeDraft(RECORD_TIME)]
    if leaf is not None and leaf.shape.logical in ("local-timestamp", "date"):
        draft.timezone = ask("timezone", f"{draft.event}: the zone of its times", "UTC")
        note = f"without an offset: taken for {draft.timezone}"
    if note:
        draft.notes["time"] = note


def _guessed_time(leaves: Collection[Leaf]) -> tuple[Path | None, str]:
    """The path of the time, and a note about it; one that is in every event, if there is one."""
    by_name = "a time by its name: the schema does not say so"
    for is_by_name, note in ((False, ""), (True, by_name)):
        able = [leaf for leaf in leaves if _is_time(leaf, is_by_name)]
        whole = [leaf for leaf in able if not leaf.may_lack]
        path = time_of(_seen(whole or able, is_time=True), 1)
        if path is not None:
            return path, note
    return None, "no field of the schema is a time"


def _is_time(leaf: Leaf, is_by_name: bool) -> bool:
    if is_by_name:
        is_able = bool(leaf.shape.kinds) and leaf.shape.kinds <= {"integer", "string"}
        return (
            is_able
            and bool(TIME_WORDS & {*words_of(name_of(leaf.path))})
            and not leaf.shape.logical
        )
    return leaf.shape.logical in ("timestamp", "local-timestamp", "date")


def _identify(draft: EventDraft, leaves: Collection[Leaf], ask: Ask) -> None:
    """Set the id of an event, by the names of its fields."""
    seen = _seen([leaf for leaf in leaves if not leaf.may_lack])
    number = identity.id_of(seen, 1, draft.event)
    times = _seen([leaf for leaf in leaves if _is_time(leaf, False)], is_time=True)
    why, touched = None, None
    if number is not None and not identity.is_strong(number):
        touched = identity.touched(times, number)
    if number is not None and touched is not None:
        why = f"{shown(number)} may come again, as {shown(touched)} changes: no identity"
        number = None
    proposed = "none" if number is None else shown(number)
    answer = ask("id", f"{draft.event}: what identifies an event", proposed)
    if answer != proposed:
        draft.ids = chosen_paths(answer)
        return
    draft.ids = () if number is None else (number,)
    if number is not None:
        why = "by its name: an event that repeats it within `duplicate_window` is not counted"
    if why is not None:
        draft.notes["id"] = why


def _seen(leaves: Collection[Leaf], is_time: bool = False) -> Mapping[Path, Seen]:
    """The values of a schema, as profiles of one event."""
    return {
        leaf.path: Seen(
            leaf.path,
            count=1,
            kinds=Counter(dict.fromkeys(leaf.shape.kinds, 1)),
            values=Counter({"": 1}),
            times=int(is_time),
            days=int(leaf.shape.logical == "date"),
        )
        for leaf in leaves
    }


def _lines(draft: EventDraft, leaves: Collection[Leaf], is_promise: bool) -> list[EventDraft]:
    """A contract for each array of objects with a number to measure."""
    contracts = []
    for leaf in leaves:
        if not leaf.is_list_of_objects or leaf.shape.items is None or written(leaf.path) is None:
            continue
        inner = list(leaves_of(leaf.shape.items, (*leaf.path, Elements())))
        fields, left_out = fields_of_schema(inner, (), is_promise)
        name = event_name(draft.event, leaf.path)
        kpis, no_measures = measures_of(snake(name), fields, {})
        if not kpis:
            continue
        used = {field.name for field in fields}
        splits = [f for f in draft.fields if f.name in draft.by and f.name not in used]
        contracts.append(
            replace(
                draft,
                event=name,
                type=draft.type or draft.event,
                each=leaf.path,
                fields=[*fields, *splits],
                kpis=kpis,
                notes={key: why for key, why in draft.notes.items() if key != "window"},
                left_out=named(left_out | no_measures),
            )
        )
        draft.left_out = {at: why for at, why in draft.left_out.items() if at != shown(leaf.path)}
    return contracts
