"""Dimensions and window of each KPI, and the order in which KPIs are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from agent.core.model.events import FieldType
from agent.core.model.text import window_text
from agent.core.model.windows import (
    DAY_MS,
    CalendarWindow,
    FixedWindow,
    Window,
    current_slice_ms,
)
from agent.language.compile.fields import columns_of, may_have_more
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.events import EventSpec
from agent.language.models.kpis import KpiSpec
from agent.language.problems import suggest
from agent.language.sql.types import words

MANY_HOPS = 10_000
"""Each closing window merges its panes: more of them are slow, and mostly a wrong unit."""


LEAST_EXPIRY_MS = 7 * DAY_MS
"""The least default of `expire_after`."""

Part = Literal["by", "window"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions (with the types that are known) and the window of a KPI.

    `unsure`: the parts that are unknown because of an error. Nothing derived from them is reported.
    """

    by: tuple[str, ...]
    window: Window
    types: Mapping[str, FieldType]
    unsure: frozenset[Part] = frozenset()


DIMENSIONS = "use a string, integer or boolean field"

ANY_WINDOW = FixedWindow(300_000, 300_000)
"""A placeholder where there is no window, or none that can be read."""
UNKNOWN = Shape((), ANY_WINDOW, {}, frozenset({"by", "window"}))
"""The shape of a KPI that could not be read."""


def resolve(declared: Declared) -> dict[str, Shape]:
    """The shapes of the KPIs, inputs before what is derived from them.

    Reports unknown events, KPIs and dimensions, cycles, and inputs that do not fit together.
    """
    shapes: dict[str, Shape] = {}
    done: set[str] = set()
    for name in declared.kpis:
        _visit(declared, name, [], done, shapes)
    return shapes


def _visit(
    declared: Declared, name: str, path: list[str], done: set[str], shapes: dict[str, Shape]
) -> None:
    if name in path:
        entry = declared.kpis[path[-1]]
        cycle = [*path[path.index(name) :], name]
        message = f"a cycle of KPIs: {' → '.join(cycle)}"
        at = _input_place(entry.model, name)
        declared.report(entry, at, message, "a KPI cannot be computed from itself")
        return
    if name in done or name not in declared.kpis:
        return
    entry = declared.kpis[name]
    inputs = entry.model.from_
    if isinstance(inputs, list):
        for other in inputs:
            _visit(declared, other, [*path, name], done, shapes)
    if name in done:
        return
    done.add(name)
    shapes[name] = (
        _derived(declared, entry, shapes) if isinstance(inputs, list) else _base(declared, entry)
    )
    _hops(declared, entry, shapes[name])


def _input_place(model: KpiSpec, name: str) -> tuple[str | int, ...]:
    return ("from", model.from_.index(name)) if isinstance(model.from_, list) else ("from",)


def expire_after_ms(model: KpiSpec, shape: Shape) -> int:
    """How long a series of a KPI is kept without events (ms)."""
    if model.expire_after is not None:
        return model.expire_after
    return max(LEAST_EXPIRY_MS, 10 * shape.window.span_ms)


def slices(declared: Declared, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """The slice of each KPI (ms): finer for what a rule evaluates while the window is open."""
    current = {e.model.kpi for e in declared.rules.values() if e.model.on == "current"}
    return {
        name: current_slice_ms(shape.window) if name in current else shape.window.slice_ms
        for name, shape in shapes.items()
    }


def _base(declared: Declared, entry: Entry[KpiSpec]) -> Shape:
    model, by = entry.model, entry.model.by or []
    event = str(model.from_)
    hint: str | None = None
    if event in declared.names["kpis"] and event not in declared.names["events"]:
        hint = f"a KPI over KPIs takes a list: `from: [{event}]`"
    elif not entry.is_written("window") and not entry.has_hole("from"):
        window = "add `window: 5m`, `5m every 1m`, or day, week, month"
        declared.report(entry, (), "'window' is missing", window, on="key")
    if not declared.check_reference(entry, ("from",), "events", event, hint) and hint is not None:
        return UNKNOWN
    contract = declared.events.get(event)
    types = _dimensions(declared, entry, contract)
    unsure: set[Part] = set()
    if entry.has_hole("by") or (contract is not None and len(types) < len(by)):
        unsure.add("by")
    if model.window is None or entry.has_hole("timezone"):
        unsure.add("window")
    zone = zone_of(declared, model.timezone)
    compiled = ANY_WINDOW if model.window is None else model.window.compile(zone)
    return Shape(tuple(by), compiled, types, frozenset(unsure))


def _dimensions(
    declared: Declared, entry: Entry[KpiSpec], event: Entry[EventSpec] | None
) -> dict[str, FieldType]:
    """The dimensions that are valid fields of the event, with their types."""
    types: dict[str, FieldType] = {}
    by = entry.model.by or []
    columns = {} if event is None else columns_of(declared, event)
    for i, dimension in enumerate(by):
        if dimension in by[:i]:
            declared.report(entry, ("by", i), f"'{dimension}' is given twice", "keep one")
            continue
        if event is None:
            continue
        if dimension not in columns:
            if not may_have_more(event):
                near = suggest(dimension, columns, f"fields of {event.name}")
                if not dimension.isidentifier():
                    near = f"for SQL, add a field to the event: `computed: {{name: {dimension}}}`"
                message = f"'{dimension}' is not a field of {event.name}"
                declared.report(entry, ("by", i), message, near)
            continue
        type_ = columns[dimension]
        if type_ is None:
            continue
        if type_ == "float":
            message = f"'{dimension}' is a float: every value would be a series of its own"
            declared.report(entry, ("by", i), message, DIMENSIONS)
        elif type_ not in ("string", "integer", "boolean"):
            message = f"'{dimension}' is {words(type_)}, which can't be a dimension"
            declared.report(entry, ("by", i), message, DIMENSIONS)
        else:
            types[dimension] = cast(FieldType, type_)
    return types


def _derived(declared: Declared, entry: Entry[KpiSpec], shapes: Mapping[str, Shape]) -> Shape:
    model, names = entry.model, list(entry.model.from_)
    if model.where is not None:
        message = "`where` in a KPI over KPIs: it has no events of its own"
        instead = "filter in the KPIs that it is computed from"
        declared.report(entry, ("where",), message, instead, on="key")
    inputs: list[tuple[str, Shape]] = []
    for i, name in enumerate(names):
        hint: str | None = None
        if name in declared.names["events"]:
            hint = f"write an event without brackets: `from: {name}`"
        if name in names[:i]:
            declared.report(entry, ("from", i), f"'{name}' is given twice", "keep one")
        elif declared.check_reference(entry, ("from", i), "kpis", name, hint) and name in shapes:
            inputs.append((name, shapes[name]))
    if not _fit(declared, entry, inputs) or len(inputs) < len(names):
        return UNKNOWN
    first = inputs[0][1]
    unsure = frozenset(part for _, shape in inputs for part in shape.unsure)
    shape = Shape(first.by, first.window, first.types, unsure)
    _own(declared, entry, shape)
    if model.by is not None and set(model.by) < set(first.by):  # rolled up over the others
        return replace(shape, by=tuple(dict.fromkeys(model.by)))
    return shape


def _fit(declared: Declared, entry: Entry[KpiSpec], inputs: list[tuple[str, Shape]]) -> bool:
    """Whether all inputs have the same shape, as far as it is known."""
    by = [(name, shape) for name, shape in inputs if "by" not in shape.unsure]
    for name, shape in by[1:]:
        first, wanted = by[0]
        if set(shape.by) != set(wanted.by):
            message = f"'{name}' is by {_list(shape.by)}, '{first}' by {_list(wanted.by)}"
            hint = "KPIs that are combined need the same `by`"
            declared.report(entry, _input_place(entry.model, name), message, hint)
            return False
    windows = [(name, shape.window) for name, shape in inputs if "window" not in shape.unsure]
    for name, window in windows[1:]:
        first, same = windows[0]
        if window != same:
            message = (
                f"the window of '{name}' is {window_text(window)}, "
                f"that of '{first}' {window_text(same)}"
            )
            hint = "KPIs that are combined need the same window"
            declared.report(entry, _input_place(entry.model, name), message, hint)
            return False
    return True


def _own(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    """Report `by` and `window` of a derived KPI that differ from those of its inputs."""
    model = entry.model
    by_known = "by" not in shape.unsure and not entry.has_hole("by")
    rolled_up = model.by is not None and set(model.by) < set(shape.by)
    if model.by is not None and by_known and not rolled_up and tuple(model.by) != shape.by:
        message = f"its inputs are by {_list(shape.by)}, not {_list(tuple(model.by))}"
        hint = "leave `by` out: it is taken from the inputs; or name fewer, to roll series up"
        declared.report(entry, ("by",), message, hint)
    window_known = "window" not in shape.unsure and not entry.has_hole("timezone")
    if model.window is not None and window_known:
        zone = shape.window.timezone if isinstance(shape.window, CalendarWindow) else "UTC"
        own = model.window.compile(model.timezone or zone)
        if own != shape.window:
            message = (
                f"the window of its inputs is {window_text(shape.window)}, not {window_text(own)}"
            )
            hint = "leave `window` out: it is taken from the inputs"
            declared.report(entry, ("window",), message, hint)


def _list(names: tuple[str, ...]) -> str:
    return f"[{', '.join(names)}]"


def _hops(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    window = shape.window
    if isinstance(window, CalendarWindow) or entry.model.window is None:
        return
    if window.size_ms // window.hop_ms > MANY_HOPS:
        message = f"each event counts in {window.size_ms // window.hop_ms} windows"
        hint = f"a longer hop is cheaper: at most {MANY_HOPS} hops a window"
        declared.report(entry, ("window",), message, hint, severity="warning")
