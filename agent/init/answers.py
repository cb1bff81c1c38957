"""Drafts a contract from answers only, without a sample and without thresholds."""

from __future__ import annotations

from typing import cast

from agent.core.model.field_types import FIELD_DTYPES, FieldType
from agent.errors import RulesError
from agent.init.drafted import EventDraft, TimeDraft, with_own_names
from agent.init.fields import FieldDraft
from agent.init.interview import Ask
from agent.init.measures import kpis_of
from agent.init.naming import snake, unit_of
from agent.init.places import chosen_names, chosen_path, chosen_paths, name_of, read_path
from agent.init.sample import named


def from_answers(ask: Ask) -> list[EventDraft]:
    """The draft of one event type."""
    event = ask("event", "The event's type", "order.placed")
    topic = ask("topic", "The Kafka topic", snake(event).partition("_")[0] + "s")
    type_field = ask("type_field", "The field that names the type", "type")
    time = ask("time", "The field that says when it happened", "time")
    draft = EventDraft(
        event, chosen_names(topic), chosen_path(type_field), [TimeDraft(read_path(time))]
    )
    draft.timezone = ask("timezone", "The zone of times without an offset", "UTC")
    number = ask("id", "The field that identifies an event", "none")
    draft.ids = chosen_paths(number)
    draft.fields = _fields(ask("fields", "What KPIs may use, as name:type,…", ""))
    draft.kpis, no_measures = kpis_of(event, draft.fields)
    draft.left_out = named(no_measures)
    draft.window = ask("window", "The window of its KPIs", "1h")
    by = ask("by", "The fields to split its KPIs by", "none")
    draft.by = chosen_names(by)
    return with_own_names([draft])


def _fields(text: str) -> list[FieldDraft]:
    """`amount:float,region:string`."""
    drafts = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        at, _, kind = part.partition(":")
        if kind not in FIELD_DTYPES:
            known = ", ".join(FIELD_DTYPES)
            raise RulesError(f"{part!r} is not name:type", f"The types are {known}.")
        path = read_path(at)
        name = name_of(path)
        of_kind = cast(FieldType, kind)
        drafts.append(FieldDraft(name, path, of_kind, unit=unit_of(name)))
    return drafts
