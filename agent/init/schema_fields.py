"""Reads the fields of a registered schema: types, enums, nullability."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from agent.core.decode.schema_shape import ANYTHING_KINDS, Shape
from agent.core.model.field_types import DECIMAL_DIGITS, FIELD_DTYPES, FieldType
from agent.core.model.paths import Elements, Path, Selector
from agent.init.drafted import EventDraft
from agent.init.fields import FieldDraft, names_of
from agent.init.naming import unit_of
from agent.init.places import keys_before, written
from agent.init.sample import DEEPEST

MOST_VALUES = 20
"""Enums with more values are not listed."""
_SCALARS: dict[str, FieldType] = {
    "string": "string", "integer": "integer", "number": "float", "boolean": "boolean",
}  # fmt: skip
_LOGICAL: dict[str, FieldType] = {
    "timestamp": "timestamp", "local-timestamp": "timestamp", "date": "date", "decimal": "decimal",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value in the records of a schema. `may_lack`: it, or an object that it is in, may be null
    or absent, or newer than some records."""

    path: Path
    shape: Shape
    may_lack: bool

    @property
    def is_list_of_objects(self) -> bool:
        """Whether it is an array of objects."""
        items = self.shape.items
        return self.shape.kinds == {"array"} and items is not None and bool(items.members)


def leaves_of(shape: Shape, above: Path = (), may_lack: bool = False) -> Iterator[Leaf]:
    """The values of an object, in the schema's order."""
    for name, member in shape.members.items():
        if name in shape.aliases:
            continue
        path, lacks = (*above, name), may_lack or member.may_lack or member.has_default
        if member.kinds == {"object"} and member.members and len(path) < DEEPEST:
            yield from leaves_of(member, path, lacks)
        else:
            yield Leaf(path, member, lacks)


def fields_of_schema(
    leaves: Collection[Leaf], without: Collection[Path], is_promise: bool
) -> tuple[list[FieldDraft], dict[Path, str]]:
    """The fields for KPIs, and why others are left out. `is_promise`: non-nullable values are
    required."""
    able: list[Leaf] = []
    left_out: dict[Path, str] = {}
    for leaf in leaves:
        if leaf.path in without:
            continue
        reason = "rules can't write its name" if written(leaf.path) is None else _reason(leaf)
        if reason is not None:
            left_out[leaf.path] = reason
            continue
        able.append(leaf)
    names = names_of([leaf.path for leaf in able])
    pairs = zip(names, able, strict=True)
    return [_field(name, leaf, is_promise) for name, leaf in pairs], left_out


def with_schema(draft: EventDraft, shape: Shape, is_promise: bool) -> EventDraft:
    """A draft of a sample, supplemented by the schema of its events."""
    fields = []
    for field in draft.fields:
        leaf = _leaf_at(shape, field.path)
        if leaf is None or _reason(leaf) is not None:
            fields.append(field)
            continue
        declared = _field(field.name, leaf, is_promise)
        if leaf.shape.logical in _LOGICAL:
            fields.append(replace(declared, unit=field.unit))
        else:
            fields.append(replace(field, required=declared.required, values=declared.values))
    return replace(draft, fields=fields)


def _field(name: str, leaf: Leaf, is_promise: bool) -> FieldDraft:
    shape = leaf.shape
    kind = _type(shape) or "string"
    unit = unit_of(keys_before(leaf.path)[-1]) if kind in ("integer", "float", "decimal") else None
    return FieldDraft(
        name,
        leaf.path,
        kind,
        "seconds" if shape.logical == "duration" else unit,
        scale=shape.scale if kind == "decimal" else None,
        required=is_promise and not leaf.may_lack,
        values=shape.values if kind == "string" and len(shape.values) <= MOST_VALUES else (),
    )


def _type(shape: Shape) -> FieldType | None:
    """The type of a field; None: fields can't have its type."""
    if shape.logical in _LOGICAL:
        return _LOGICAL[shape.logical]
    if shape.kinds == {"integer", "number"}:
        return "float"
    if shape.kinds == {"array"} and shape.items is not None:
        element = _SCALARS.get(next(iter(shape.items.kinds), ""))
        of_list = f"{element}[]" if len(shape.items.kinds) == 1 else ""
        return of_list if of_list in FIELD_DTYPES else None  # type: ignore[return-value]
    return _SCALARS.get(next(iter(shape.kinds))) if len(shape.kinds) == 1 else None


def _reason(leaf: Leaf) -> str | None:
    """Why a value gets no field; None: it gets one."""
    shape = leaf.shape
    if shape.logical == "bytes":
        return "bytes"
    if shape.scale is not None and shape.scale > DECIMAL_DIGITS:
        return f"a decimal of {shape.scale} decimals"
    return None if _type(shape) is not None else _other_kind(leaf)


def _other_kind(leaf: Leaf) -> str:
    """The kind of a value that fields can't have."""
    if leaf.is_list_of_objects:
        return "an array of objects without a number to measure"
    if leaf.shape.kinds >= ANYTHING_KINDS:
        return "the schema says no type"
    if leaf.shape.kinds == {"object"}:
        return "a map, or nested too deeply"
    return f"of several types: {', '.join(sorted(leaf.shape.kinds))}"


def _leaf_at(shape: Shape, path: Path) -> Leaf | None:
    """The schema at a path of an event; None: it has none."""
    at, may_lack = shape, False
    for step in path:
        if isinstance(step, str):
            below = at.members.get(step)
        else:
            below = at.items if isinstance(step, int | Elements | Selector) else None
        if below is None:
            return None
        at = below
        may_lack |= at.may_lack or at.has_default or isinstance(step, int | Selector)
    return Leaf(path, at, may_lack)
