"""Dimensions and window of each KPI, and the order in which KPIs are computed."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.plan import FieldType
from agent.core.windows import CalendarWindow, Window
from agent.spec import durations
from agent.spec.declared import Declared, Entry
from agent.spec.models import KpiSpec
from agent.spec.problems import suggest

MANY_HOPS = 10_000
"""Each closing window adds up its panes: more of them are slow, and mostly a slip of the unit."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions (with their types) and the window of a KPI."""

    by: tuple[str, ...]
    window: Window
    types: dict[str, FieldType]


def resolve(declared: Declared) -> dict[str, Shape]:
    """The shapes of the KPIs that have one, inputs before what is derived from them.

    Notes unknown events, KPIs and dimensions, cycles, and inputs that do not fit together.
    """
    shapes: dict[str, Shape] = {}
    done: set[str] = set()
    for name in declared.kpis:
        _visit(declared, name, [], done, shapes)
    return shapes


def _visit(
    declared: Declared, name: str, way: list[str], done: set[str], shapes: dict[str, Shape]
) -> None:
    if name in way:
        entry = declared.kpis[way[-1]]
        circle = [*way[way.index(name) :], name]
        message = f"a circle of KPIs: {' → '.join(circle)}"
        at = _input_place(entry.model, name)
        declared.report(entry, at, message, "a KPI can not be computed from itself")
        return
    if name in done or name not in declared.kpis:
        return
    entry = declared.kpis[name]
    inputs = entry.model.from_
    if isinstance(inputs, list):
        for other in inputs:
            _visit(declared, other, [*way, name], done, shapes)
    if name in done:
        return
    done.add(name)
    shape = (
        _derived(declared, entry, shapes) if isinstance(inputs, list) else _base(declared, entry)
    )
    if shape is not None:
        shapes[name] = shape
        _hops(declared, entry, shape)


def _input_place(model: KpiSpec, name: str) -> tuple[str | int, ...]:
    return ("from", model.from_.index(name)) if isinstance(model.from_, list) else ("from",)


def zone_of(declared: Declared, written: str | None) -> str:
    """The time zone that holds where `written` may be None."""
    return written or declared.defaults.timezone or "UTC"


def _base(declared: Declared, entry: Entry[KpiSpec]) -> Shape | None:
    model = entry.model
    event = str(model.from_)
    hint: str | None = None
    if model.window is None and event not in declared.names["kpis"]:
        window = "add `window: 5m`, `5m every 1m`, or day, week, month"
        declared.report(entry, (), "'window' is missing", window, on="key")
    if event in declared.names["kpis"]:
        hint = f"a KPI over KPIs takes a list: `from: [{event}]`"
    if not declared.known(entry, ("from",), "events", event, hint):
        return None
    found = declared.events.get(event)
    if found is None:
        return None
    types: dict[str, FieldType] = {}
    for i, dimension in enumerate(model.by or []):
        field = found.model.fields.get(dimension)
        if dimension in types:
            declared.report(entry, ("by", i), f"'{dimension}' is given twice", "keep one")
        elif field is None:
            fields = found.model.fields
            near = suggest(dimension, fields, f"fields of {event}")
            message = f"'{dimension}' is not a field of {event}"
            declared.report(entry, ("by", i), message, near)
        elif field.type == "float":
            message = f"'{dimension}' is a float: every value would be a series of its own"
            declared.report(entry, ("by", i), message, "use a string, integer or boolean field")
        else:
            types[dimension] = field.type
    if model.window is None or len(types) < len(model.by or []):
        return None
    zone = zone_of(declared, model.timezone)
    return Shape(tuple(model.by or []), model.window.compile(zone), types)


def _derived(declared: Declared, entry: Entry[KpiSpec], shapes: dict[str, Shape]) -> Shape | None:
    model, names = entry.model, list(entry.model.from_)
    if model.where is not None:
        message = "`where` in a KPI over KPIs: it has no events of its own"
        instead = "filter in the KPIs that it is computed from"
        declared.report(entry, ("where",), message, instead, on="key")
    inputs: list[tuple[str, Shape]] = []
    for i, name in enumerate(names):
        hint: str | None = None
        if name in declared.names["events"]:
            hint = f"an event is written without brackets: `from: {name}`"
        if name in names[:i]:
            declared.report(entry, ("from", i), f"'{name}' is given twice", "keep one")
        elif declared.known(entry, ("from", i), "kpis", name, hint) and name in shapes:
            inputs.append((name, shapes[name]))
    if len(inputs) < len(names):
        return None
    return _fit(declared, entry, inputs)


def _fit(
    declared: Declared, entry: Entry[KpiSpec], inputs: list[tuple[str, Shape]]
) -> Shape | None:
    """The shape that all inputs share, and that the KPI itself doesn't contradict."""
    model = entry.model
    first, shape = inputs[0]
    for name, other in inputs[1:]:
        at = _input_place(model, name)
        if set(other.by) != set(shape.by):
            message = f"'{name}' is by {_list(other.by)}, '{first}' by {_list(shape.by)}"
            declared.report(entry, at, message, "KPIs that are combined need the same `by`")
            return None
        if other.window != shape.window:
            windows = show(other.window), show(shape.window)
            message = f"the window of '{name}' is {windows[0]}, that of '{first}' {windows[1]}"
            declared.report(entry, at, message, "KPIs that are combined need the same window")
            return None
    if model.by is not None and tuple(model.by) != shape.by:
        message = f"its inputs are by {_list(shape.by)}, not {_list(tuple(model.by))}"
        declared.report(entry, ("by",), message, "leave `by` out: it is taken from the inputs")
    if model.window is not None:
        zone = shape.window.timezone if isinstance(shape.window, CalendarWindow) else "UTC"
        own = model.window.compile(model.timezone or zone)
        if own != shape.window:
            message = f"the window of its inputs is {show(shape.window)}, not {show(own)}"
            hint = "leave `window` out: it is taken from the inputs"
            declared.report(entry, ("window",), message, hint)
    return shape


def _list(names: tuple[str, ...]) -> str:
    return f"[{', '.join(names)}]"


def show(window: Window) -> str:
    """A window in the words of the language."""
    if isinstance(window, CalendarWindow):
        return f"{window.unit} in {window.timezone}"
    size = durations.show(window.size_ms)
    same = window.size_ms == window.hop_ms
    return size if same else f"{size} every {durations.show(window.hop_ms)}"


def _hops(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    window = shape.window
    if isinstance(window, CalendarWindow) or entry.model.window is None:
        return
    if window.size_ms // window.hop_ms > MANY_HOPS:
        message = f"each event counts in {window.size_ms // window.hop_ms} windows"
        hint = f"a longer hop is cheaper: at most {MANY_HOPS} hops a window"
        declared.report(entry, ("window",), message, hint, severity="warning")
