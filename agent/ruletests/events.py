"""The events of a test as records, as producers would send them, in the order of arrival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.decode.time_formats import split_format, write_time
from agent.core.model.events import Contract, Field, TimeSource
from agent.core.model.field_types import TimeFormat
from agent.core.output.messages import iso
from agent.language.problems import suggest
from agent.language.recovery import UNKNOWN_NAME
from agent.language.source import Place
from agent.ruletests.cases import Record
from agent.ruletests.models import EventsSpec
from agent.ruletests.produced_event import ProducedEvent
from agent.ruletests.resolve_context import ResolveContext

MOST_EVENTS = 1_000_000
"""Of one test; more are taken for a typing error in a duration."""

_WORDS = tuple(f.alias or name for name, f in EventsSpec.model_fields.items())


def records(context: ResolveContext) -> tuple[Record, ...]:
    """All events of a test by their arrival; those of one instant in the order of the file."""
    arrived: list[Record] = []
    for number, spec in enumerate(context.entry.model.events or ()):
        at: Place = ("events", number)
        contract = _contract(context, at, spec)
        times = _times(context, at, spec)
        if contract is None or not _fields_known(context, at, spec, contract):
            continue
        if len(arrived) + len(times) > MOST_EVENTS:
            context.wrong(at, f"more than {MOST_EVENTS} events", "repeat them less often", on="key")
            break
        arrives = context.time((*at, "arrives"), spec.arrives)
        span = context.entry.source.locate((*context.entry.place, *at))
        for turn, at_ms in enumerate(times):
            event = _event(contract, spec, turn, at_ms, len(arrived))
            arrives_ms = at_ms if arrives is None else arrives
            arrived.append(event.record(contract.topics.default, arrives_ms, span))
    return tuple(sorted(arrived, key=lambda record: record.arrives_ms))


def _contract(context: ResolveContext, at: Place, spec: EventsSpec) -> Contract | None:
    contract = context.plan.contracts.get(spec.type)
    if contract is None and spec.type != UNKNOWN_NAME:
        hint = suggest(spec.type, context.plan.contracts, "events")
        context.wrong((*at, "type"), f"unknown event '{spec.type}'", hint)
    return contract


def _times(context: ResolveContext, at: Place, spec: EventsSpec) -> range | list[int]:
    """The times of an event, several if it is repeated."""
    if spec.every is None:
        for key, given in (("from", spec.from_), ("until", spec.until)):
            if given is not None and not context.entry.has_hole(*at, "every"):
                hint = "add `every`, for example `every: 5s`; or write `at`"
                context.wrong((*at, key), f"`{key}` without `every`", hint, on="key")
        at_ms = context.time((*at, "at"), spec.at)
        return [context.clock.start_ms if at_ms is None else at_ms]
    for key, given in (("at", spec.at), ("arrives", spec.arrives)):
        if given is not None:
            hint = "leave one out; `from` is when it begins"
            context.wrong((*at, key), f"`{key}` and `every`", hint, on="key")
    if spec.until is None:
        context.wrong(
            at, "`every` without `until`", "add `until`, the time at which they end", on="key"
        )
    first = context.time((*at, "from"), spec.from_)
    until = context.time((*at, "until"), spec.until)
    first = context.clock.start_ms if first is None else first
    if until is not None and until <= first:
        context.wrong(
            (*at, "until"), "`until` is not after the first event", "there would be no event"
        )
    return range(first, first if until is None else until, spec.every)


def _fields_known(context: ResolveContext, at: Place, spec: EventsSpec, contract: Contract) -> bool:
    """Whether all fields are of the contract, or of one for all types of the topic."""
    fields = _fields(context, contract)
    known = True
    beside = {(*at, name): name for name in spec.model_extra or {}}
    within = {(*at, "fields", name): name for name in spec.fields}
    for place, name in (beside | within).items():
        if name not in fields:
            words = [*fields, *_WORDS] if place in beside else fields
            hint = suggest(name, words, f"fields of {contract.name}")
            message = f"'{name}' is not a field of {contract.name}"
            context.wrong(place, message, hint, on="key")
            known = False
    if spec.id is not None and not contract.ids:
        message = f"{contract.name} has no id"
        context.wrong((*at, "id"), message, "give its contract an `id`, or leave it out", on="key")
        known = False
    for name, value in [*(spec.model_extra or {}).items(), *spec.fields.items(), ("id", spec.id)]:
        if isinstance(value, list) and (spec.every is None or not value):
            place = (*at, "fields", name) if name in spec.fields else (*at, name)
            hint = "a list gives the values of a repeated event (`every`), one after the other"
            context.wrong(place, "a list of values" if value else "an empty list", hint)
            known = False
    return known


def _fields(context: ResolveContext, contract: Contract) -> Mapping[str, Field]:
    of_topic = context.plan.contracts_of(contract.topics.default)
    whole = [c for c in of_topic if c.type_path is None]
    return {field.name: field for declared in [*whole, contract] for field in declared.fields} | {
        field.name: field for field in contract.fields
    }


def _event(
    contract: Contract, spec: EventsSpec, turn: int, at_ms: int, number: int
) -> ProducedEvent:
    """One event, as its producer would send it."""
    event, time = ProducedEvent(), contract.times[0]
    paths = {field.name: field.path for field in contract.fields}
    if contract.type_path is not None:
        event.put(contract.type_path, contract.type_value)
    for path, written in zip(time.paths, _times_of(time, at_ms, contract.timezone), strict=True):
        event.put(path, written)
    for path in contract.ids:
        numbers = any(f.path == path and f.type == "integer" for f in contract.fields)
        own = number if numbers else f"e{number}"
        event.put(path, own if spec.id is None else _turn(spec.id, turn))
    for name, value in _written(spec):
        event.put(paths.get(name, (name,)), _turn(value, turn))
    return event


def _times_of(time: TimeSource, at_ms: int, timezone: str) -> Sequence[int | float | str]:
    """A time in its format, else in ISO 8601; its date and its time of day, if they have two
    fields."""
    form = time.format
    if time.time_of_day is None:
        return [iso(at_ms) if form is None else write_time(at_ms, form, timezone)]
    if form is None:
        return iso(at_ms).split("T")
    parts = split_format(form.format or "")
    return [write_time(at_ms, TimeFormat(format=part), timezone) for part in parts]


def _written(spec: EventsSpec) -> Iterator[tuple[str, Any]]:
    yield from (spec.model_extra or {}).items()
    yield from spec.fields.items()


def _turn(value: Any, turn: int) -> Any:
    return value[turn % len(value)] if isinstance(value, list) else value
