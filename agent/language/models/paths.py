"""Where something stands in a record, as rules write it.

path: user.id                             keys with dots between them
path: [Attributes, http.status_code]      a list of keys, which may hold dots
path: coordinates[2]                      an element of an array, from 0
path: params[key=id].value                the first element whose `key` is `id`
path: {header: X-Event}                   a header, as text
path: {key: true}                         the record's key, as text
path: {key: user.id}                      a path in the record's key
path: {record: timestamp}                 of the record: timestamp, topic, partition or offset
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, with_config
from typing_extensions import TypedDict

from agent.core.model.paths import Path, Root, RootName, Selector, Step
from agent.language.models.values import wrong

MOST_STEPS = 32
"""So many steps may lead to a field."""
RECORD_PARTS: tuple[RootName, ...] = ("timestamp", "topic", "partition", "offset")

_HOW = "names with a dot between them: user.id"
_PART = re.compile(r"([^\[\]]*)((?:\[[^\[\]]*\])*)")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_INDEX = re.compile(r"[0-9]{1,6}")
_BRACKET_HOW = (
    "in brackets stands an index, [2], or a member and its value, [key=id]; "
    "write a list of keys where a key has brackets itself"
)


def parse_path(value: Any) -> Path:
    """The path that a text, a list or a mapping stands for. Raises PydanticCustomError."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, str):
        path = _of_text(value)
    elif isinstance(value, list):
        path = tuple(_of_item(item) for item in value)
    elif isinstance(value, dict):
        path = _of_mapping(value)
    else:
        raise wrong("should be a path", _HOW)
    if not path:
        raise wrong("is an empty path", _HOW)
    if len(path) > MOST_STEPS:
        message = f"a path of {len(path)} names"
        raise wrong(message, f"at most {MOST_STEPS}: no event is nested so deeply")
    for step in path:
        text = step if isinstance(step, str) else getattr(step, "value", "")
        if any(0xD800 <= ord(char) < 0xE000 for char in text):
            raise wrong("half of a surrogate pair is no text", "write the character itself")
    return path


def _of_text(text: str) -> Path:
    steps: list[Step] = []
    for part in _parts(text):
        match = _PART.fullmatch(part)
        if match is None:
            raise wrong(f"'{text}' is not a path", _BRACKET_HOW)
        if not match[1].strip():
            raise wrong(f"'{text}' is not a path", _HOW)
        steps.append(match[1])
        steps += [_of_bracket(text, inside) for inside in _BRACKETS.findall(match[2])]
    return tuple(steps)


def _parts(text: str) -> list[str]:
    """The parts between dots that stand outside of brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "." and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _of_bracket(text: str, inside: str) -> Step:
    if _INDEX.fullmatch(inside):
        return int(inside)
    key, equals, value = inside.partition("=")
    if not (equals and key.strip() and value.strip()):
        raise wrong(f"'{text}' is not a path", _BRACKET_HOW)
    return Selector(key.strip(), value.strip())


def _of_item(item: Any) -> Step:
    if isinstance(item, int) and not isinstance(item, bool) and item >= 0:
        return item
    if isinstance(item, str):
        return item
    hint = '[Attributes, "http.code", 0]'
    raise wrong("should be a list of keys, and of indices of arrays", hint)


def _of_mapping(value: dict[Any, Any]) -> Path:
    if len(value) != 1:
        raise wrong("should name one place", "{header: X-Event}, {key: user.id} or {record: topic}")
    ((root, at),) = value.items()
    if root == "header" and isinstance(at, str) and at.strip():
        return (Root("header", at),)
    if root == "key":
        return (Root("key_text"),) if at is True else (Root("key"), *parse_path(at))
    if root == "record" and at in RECORD_PARTS:
        return (Root(at),)
    if root == "record":
        raise wrong(f"a record has no '{at}'", f"it has {', '.join(RECORD_PARTS)}")
    hint = "{header: X-Event}, {key: true}, {key: user.id} or {record: timestamp}"
    raise wrong(f"'{root}' is no place of a record", hint)


def parse_type_field(value: Any) -> Path | None:
    """The path of the type; None for `none`: every event of the topic is of this type."""
    return None if value is None or value == "none" else parse_path(value)


def parse_ids(value: Any) -> tuple[Path, ...]:
    """The paths that together identify an event: one, or a list of them."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, list):
        if not value:
            raise wrong("is empty", "a path, or a list of paths: [order, line.sku]")
        return tuple(parse_path(item) for item in value)
    return (parse_path(value),)


_Keys = Annotated[list[str | Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Text = Annotated[str, Field(examples=["user.id", "coordinates[2]", "params[key=id].value"])]


@with_config(extra="forbid")
class _HeaderForm(TypedDict):
    header: str


@with_config(extra="forbid")
class _KeyForm(TypedDict):
    key: Literal[True] | _Text | _Keys


@with_config(extra="forbid")
class _RecordForm(TypedDict):
    record: Literal["timestamp", "topic", "partition", "offset"]


PathForm = _Text | _Keys | _HeaderForm | _KeyForm | _RecordForm
"""What rules write for a path, for the JSON Schema."""

if TYPE_CHECKING:
    AnyPath = Path
    TypeField = Path | None
    Identity = tuple[Path, ...]
else:
    AnyPath = Annotated[Any, BeforeValidator(parse_path, json_schema_input_type=PathForm)]
    TypeField = Annotated[Any, BeforeValidator(parse_type_field, json_schema_input_type=PathForm)]
    Identity = Annotated[
        Any, BeforeValidator(parse_ids, json_schema_input_type=PathForm | list[PathForm])
    ]
