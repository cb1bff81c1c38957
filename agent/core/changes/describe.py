"""A declaration (contract, KPI, rule, objective…) as named parts of text: `for`: `10m`.

The parts are derived from the fields of the plan's classes, so a field that is new in the rule
language is compared without a change here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import polars as pl

from agent.core.decode.field_values import written_like
from agent.core.model.events import (
    ComputedField,
    Contract,
    Envelope,
    Field,
    LookupField,
    TimeSource,
    Topics,
)
from agent.core.model.field_types import NumberFormat
from agent.core.model.kpis import Kpi, Target, TargetOverride
from agent.core.model.lookups import Lookup, LookupTopic
from agent.core.model.paths import path_text
from agent.core.model.rules import (
    AbsenceLevel,
    CompositeLevel,
    CompositeRule,
    Level,
    RuleOverride,
    RuleRef,
    ThresholdRule,
)
from agent.core.model.schedules import Schedule
from agent.core.model.text import bounds_text, duration, schedule_text, window_text
from agent.core.model.windows import CalendarWindow, FixedWindow
from agent.core.output.messages import iso

Parts = dict[str, str]
"""The text of each part that is declared, by its name: that of the YAML key where there is one."""

WORDS = {
    "events": ("event", "events"),
    "kpis": ("KPI", "KPIs"),
    "rules": ("rule", "rules"),
    "objectives": ("objective", "objectives"),
    "maintenance": ("maintenance", "maintenance"),
    "lookups": ("lookup", "lookups"),
}
"""The singular and plural of what each section declares."""

_IMPLIED: Mapping[type, frozenset[str]] = {
    # Fields that are derived from other fields or from another declaration.
    Kpi: frozenset(
        {"name", "fingerprint", "slice_ms", "lateness_ms", "partials", "people_partials"}
    ),
    Contract: frozenset({"name"}),
    LookupField: frozenset({"name", "type", "digest"}),
    Lookup: frozenset({"name", "table"}),
    LookupTopic: frozenset(),
    Level: frozenset({"name", "when_clauses", "clear_clauses"}),
    ThresholdRule: frozenset({"name", "features"}),
    CompositeRule: frozenset({"name", "dependencies"}),
    # The name of an override has these.
    TargetOverride: frozenset({"match", "from_ms", "since"}),
    RuleOverride: frozenset({"match"}),
}
_LEVELS = (Level, AbsenceLevel, CompositeLevel)
_INSTANTS = frozenset({"from_ms", "until_ms"})
_NAMES = {
    (Kpi, "sql"): "value",
    (Kpi, "where_sql"): "where",
    (Kpi, "contract"): "from",
    (Kpi, "inputs"): "from",
    (Kpi, "people"): "person",
    (Contract, "topics"): "topic",
    (Contract, "type_path"): "type_field",
    (Contract, "type_value"): "type",
    (Contract, "times"): "time",
    (Contract, "ids"): "id",
    (Contract, "lookups"): "lookup",
    (Field, "as_sql"): "as",
}


def describe(declaration: Any) -> Parts:
    """The parts of a contract, KPI, rule or objective. Parts that are not declared are left out."""
    parts = dict(_parts(declaration, ""))
    # An override of a rule has the parts that differ from the rule's only.
    return {n: t for n, t in parts.items() if ".rule." not in n or parts.get(_of_rule(n)) != t}


def _of_rule(part: str) -> str:
    """The name in the rule itself of a part of an override."""
    return part.partition(".rule.")[2]


_STATE = ("value", "where", "by", "window", "placement")
_READING = frozenset(
    {
        *("topic", "type_field", "type", "time", "timezone", "id"),
        *("format", "envelope", "decode", "each"),
    }
)
"""The parts of a contract, besides its fields, that determine how its events are read."""
_FOR_READERS = (".unit", ".description")


def state_parts(kpi: Kpi, contract: Contract | None) -> tuple[Parts, Parts]:
    """The parts that a KPI's state depends on, and those of its event (None: it is over KPIs):
    of all options, those that say how its events are read, and of its fields, those that the KPI
    reads. `Kpi.fingerprint` is a digest of them."""
    described = describe(kpi)
    own = {name: text for name, text in described.items() if name in _STATE}
    own["slice"] = f"{kpi.slice_ms} ms"
    if kpi.people_partials:
        own["person"] = described["person"]
    if contract is None:
        return own | {"from": described["from"]}, {}
    read = {*_reads(kpi), *kpi.by}
    read.update(n for f in contract.computed if f.name in read for n in f.value.meta.root_names())
    looked_up = [f for f in contract.lookups if f.name in read]
    read.update(key for f in looked_up for key in f.keys)
    own |= {f"lookups.{f.lookup}.{f.column}": f.digest for f in looked_up}
    of_event: Parts = {}
    for part, text in describe(contract).items():
        section, _, field = part.partition(".")
        is_read = section in ("fields", "lookup", "computed") and field.split(".")[0] in read
        if section in _READING or (is_read and not part.endswith(_FOR_READERS)):
            of_event[part] = text
    return own, of_event


def _reads(kpi: Kpi) -> Iterator[str]:
    """The columns that a KPI's aggregates and filter read."""
    partials = [e for p in kpi.partials for e in (p.argument, p.filter, p.order)]
    for expr in (kpi.where, *partials):
        if expr is not None:
            yield from expr.meta.root_names()


def _parts(declaration: Any, prefix: str) -> Iterator[tuple[str, str]]:
    kind = type(declaration)
    names = [field.name for field in fields(declaration)]
    for name in names:
        value = getattr(declaration, name)
        # The SQL of an expression is a field of its own.
        if f"{name}_sql" in names or isinstance(value, pl.Expr):
            continue
        if name in _IMPLIED.get(kind, frozenset({"name"})):
            continue
        label = _NAMES.get((kind, name)) or name.removesuffix("_ms").removesuffix("_sql")
        yield from _value(prefix + label, name, value)


def _value(label: str, name: str, value: Any) -> Iterator[tuple[str, str]]:
    if name == "each" and value == ():
        yield label, "[]"
    if value is None or (isinstance(value, (tuple, str, Mapping, frozenset)) and not value):
        return
    if name in _PATH_TEXTS and isinstance(value, tuple | Envelope):
        yield label, _PATH_TEXTS[name](value)
    elif isinstance(value, tuple) and isinstance(value[0], RuleRef):
        yield label, ", ".join(dependency.name for dependency in value)
    elif isinstance(value, Mapping):
        for key, of_key in value.items():
            yield from _value(f"{label}.{key}", name, of_key)
    elif isinstance(value, tuple) and is_dataclass(value[0]):
        for number, item in enumerate(value):
            # A level is named by its severity: `when.critical`.
            if isinstance(item, RuleOverride) and item.rule is None:
                yield f"{label}.{_key(item, number)}.off", "true"
                continue
            if isinstance(item, ComputedField):
                yield f"{label}.{item.name}", item.sql
                continue
            is_level = isinstance(item, _LEVELS)
            at = label.removesuffix(name) if is_level else f"{label}.{_key(item, number)}."
            yield from _renamed(item, at)
    elif is_dataclass(value) and type(value) not in _TEXTS:
        yield from _parts(value, f"{label}.")
    else:
        yield label, _leaf(name, value)


_PATH_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "path": path_text,
    "type_path": path_text,
    "ids": lambda ids: ", ".join(map(path_text, ids)),
    "times": lambda times: ", ".join(map(_time, times)),
    "each": path_text,
    "envelope": lambda envelope: " ".join(
        filter(None, [envelope.name, path_text(envelope.path), "".join(envelope.ops)])
    ),
    "decode": lambda decode: ", ".join(
        f"{path_text(inner.path)}: {' '.join(inner.codings)} {inner.scale or ''}".rstrip()
        for inner in decode
    ),
}
"""The text of parts that are paths in a record, by the name of the field."""


def _time(source: TimeSource) -> str:
    form = source.format
    written = "" if form is None else f" ({form.format or form.unit})"
    return f"{source}{written}"


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    Target: bounds_text,
    FixedWindow: window_text,
    CalendarWindow: window_text,
    Schedule: schedule_text,
    Topics: lambda topics: str(replace(topics, names=tuple(sorted(topics.names)))),
    NumberFormat: written_like,
}
"""Types that have one text, not several parts."""


def _leaf(name: str, value: Any) -> str:
    if type(value) in _TEXTS:
        return _TEXTS[type(value)](value)
    if isinstance(value, frozenset):
        return ", ".join(_text(element) for element in sorted(value))
    if isinstance(value, tuple):
        return ", ".join(map(_quoted, value))
    if name in _INSTANTS:
        return iso(value)
    return duration(value) if name.endswith("_ms") else _text(value)


def _quoted(value: Any) -> str:
    """An element of a list; in quotes where it could be taken for several."""
    text = _text(value)
    return json.dumps(text, ensure_ascii=False) if "," in text or '"' in text else text


def _renamed(item: Any, at: str) -> Iterator[tuple[str, str]]:
    for part, text in _parts(item, at):
        if not isinstance(item, _LEVELS):
            yield part, text
        elif part != f"{at}severity":
            yield f"{part}.{item.severity}", text


def _key(item: Any, number: int) -> str:
    if isinstance(item, TargetOverride | RuleOverride):
        match = ", ".join(f"{name}: {_text(value)}" for name, value in item.match.items())
        if isinstance(item, RuleOverride):
            return f"{{{match}}}"
        since = item.since or (None if item.from_ms is None else iso(item.from_ms))
        return f"{{{match}}}" + (f" from {since}" if since else "")
    return str(getattr(item, "name", number))


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:.15g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, tuple):
        return ".".join(map(_text, value))
    return str(value)
