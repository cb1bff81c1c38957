"""Paths in a record, as rules write them.

path: user.id                             keys with dots between them
path: [Attributes, http.status_code]      a list of keys, which may hold dots
path: coordinates[2]                      an element of an array, from 0
path: params[key=id].value                the first element whose `key` is `id`
path: {header: X-Event}                   a header, as text
path: {key: true}                         the record's key, as text
path: {key: user.id}                      a path in the record's key
path: {record: timestamp}                 of the record: timestamp, topic, partition, offset, schema
path: {envelope: source.table}            what stands around the event
path: line_items[].price                  of an element of the array that `each` names
path: {each: index}                       the position of the element, from 0
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, with_config
from typing_extensions import TypedDict

from agent.core.model.events import Coding, InnerText
from agent.core.model.paths import Elements, Path, Root, RootName, Selector, Step
from agent.language.problems import wrong

MOST_STEPS = 32
"""The most steps of a path."""
RECORD_PARTS: tuple[RootName, ...] = ("timestamp", "topic", "partition", "offset", "schema")

_HOW = "names with a dot between them: user.id"
_PART = re.compile(r"([^\[\]]*)((?:\[[^\[\]]*\])*)")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
CODINGS = r"(base64 +(gzip +)?)?json|base64 +decimal\((?P<scale>[0-9]{1,2})\)"
_CODINGS_PATTERN = r"^((base64 +(gzip +)?)?json|base64 +decimal\([0-9]{1,2}\))$"
_INDEX = re.compile(r"[0-9]{1,6}")
_BRACKET_HOW = (
    "brackets contain an index, [2], or a member and its value, [key=id]; "
    "if a key has brackets itself, write the path as a list of keys"
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
        if not match[1].strip() and not (part[:2] == "[]" and not steps):
            raise wrong(f"'{text}' is not a path", _HOW)
        steps += [match[1]] if match[1] else []
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
    if not inside:
        return Elements()
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
    if root == "header":
        if not isinstance(at, str) or not at.strip():
            raise wrong("should be the name of a header", "{header: X-Event}")
        return (Root("header", at),)
    if root == "key":
        return (Root("key_text"),) if at is True else (Root("key"), *parse_path(at))
    if root == "envelope":
        return (Root("envelope"), *parse_path(at))
    if root == "each" and at == "index":
        return (Root("index"),)
    if root == "record" and at in RECORD_PARTS:
        return (Root(at),)
    if root == "record":
        raise wrong(f"a record has no '{at}'", f"it has {', '.join(RECORD_PARTS)}")
    hint = "{header: X-Event}, {key: true}, {key: user.id} or {record: timestamp}"
    raise wrong(f"'{root}' is not a part of a record", hint)


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


def parse_each(value: Any) -> Path:
    """The path of an array; `[]` is the event itself."""
    if value in ([], "[]", ()):
        return ()
    path = parse_path(value)
    if isinstance(path[0], Root):
        raise wrong("should be a path in the event", "line_items, or orders[].line_items")
    return path[:-1] if path[-1] == Elements() else path


def parse_decode(value: Any) -> tuple[InnerText, ...]:
    """Strings that hold JSON, by their path."""
    if isinstance(value, tuple):
        return value
    hint = "{message.data: base64 json}, {Message: json}"
    if not isinstance(value, dict) or not value:
        raise wrong("should map paths of strings to their encodings", hint)
    return tuple(InnerText(_inner_path(path), *_codings(text)) for path, text in value.items())


def _inner_path(value: Any) -> Path:
    path = parse_path(value)
    if Elements() in path:
        raise wrong(f"'{value}' leads through an array", "a string is decoded once for the event")
    return path


def _codings(text: Any) -> tuple[tuple[Coding, ...], int]:
    match = re.fullmatch(CODINGS, text.strip()) if isinstance(text, str) else None
    if match is None:
        hint = "json, base64 json, base64 gzip json or base64 decimal(2)"
        raise wrong(f"'{text}' is not an encoding", hint)
    words = tuple(re.sub(r"\(.*", "", word) for word in text.split())
    return cast("tuple[Coding, ...]", words), int(match["scale"] or 0)


_Keys = Annotated[list[str | Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Text = Annotated[str, Field(examples=["user.id", "coordinates[2]", "params[key=id].value"])]


@with_config(extra="forbid")
class _HeaderForm(TypedDict):
    header: Annotated[str, Field(title="header", description="The name of a header of the record.")]


@with_config(extra="forbid")
class _KeyForm(TypedDict):
    key: Annotated[
        Literal[True] | _Text | _Keys,
        Field(title="key", description="A path in the record's key; true: the key as text."),
    ]


@with_config(extra="forbid")
class _RecordForm(TypedDict):
    record: Annotated[
        Literal["timestamp", "topic", "partition", "offset", "schema"],
        Field(
            title="record",
            description="A part of the record itself; schema: its full name in the schema of the "
            "registry that it names.",
        ),
    ]


@with_config(extra="forbid")
class _EnvelopeForm(TypedDict):
    envelope: Annotated[
        _Text | _Keys,
        Field(title="envelope", description="A path in the envelope of the event."),
    ]


@with_config(extra="forbid")
class _IndexForm(TypedDict):
    each: Annotated[
        Literal["index"],
        Field(title="each", description="The position of the element in its array, from 0."),
    ]


PathForm = _Text | _Keys | _HeaderForm | _KeyForm | _RecordForm | _EnvelopeForm | _IndexForm
"""What rules write for a path, for the JSON Schema."""

if TYPE_CHECKING:
    AnyPath = Path
    EachPath = Path
    InnerTexts = tuple[InnerText, ...]
    TypeField = Path | None
    Identity = tuple[Path, ...]
else:
    AnyPath = Annotated[Any, BeforeValidator(parse_path, json_schema_input_type=PathForm)]
    EachPath = Annotated[
        Any, BeforeValidator(parse_each, json_schema_input_type=_Text | list[str | int])
    ]
    _Coding = Annotated[str, Field(pattern=_CODINGS_PATTERN, examples=["json", "base64 json"])]
    InnerTexts = Annotated[
        Any, BeforeValidator(parse_decode, json_schema_input_type=dict[str, _Coding])
    ]
    TypeField = Annotated[Any, BeforeValidator(parse_type_field, json_schema_input_type=PathForm)]
    Identity = Annotated[
        Any, BeforeValidator(parse_ids, json_schema_input_type=PathForm | list[PathForm])
    ]
