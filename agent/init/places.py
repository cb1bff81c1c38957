"""Paths in records: their form in rules, their names, and the values at them."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from pydantic_core import PydanticCustomError

from agent.core.decode.format import WrongPlaceError
from agent.core.decode.tree import value_at
from agent.core.model.paths import Elements, Path, Root, Selector, path_text
from agent.core.model.printable import printable
from agent.errors import RulesError
from agent.init.naming import snake
from agent.language.models.paths import parse_path

ABOUT_EVENT = frozenset({
    "event", "header", "headers", "meta", "metadata", "meta_data", "attributes",
    "message_attributes", "context", "envelope",
})  # fmt: skip
"""Objects whose type is that of the event."""
RECORD_TIME: Path = (Root("timestamp"),)
"""The record's own timestamp."""

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$./-]*|\d+[a-z]+( every \d+[a-z]+)?")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_WRAPPERS = frozenset({
    "N", "S", "BOOL", "L", "M", "B", "$numberDecimal", "$numberInt", "$numberLong", "$numberDouble",
    "$date", "$oid", "$uuid", "Value", "value", "string_value", "int_value", "double_value",
    "float_value", "StringValue", "stringValue", "intValue", "doubleValue", "boolValue", "#text",
    "_text", "$t",
})  # fmt: skip
"""Keys for the form of a value: those of DynamoDB, MongoDB, OpenTelemetry, and of XML that was
converted to JSON."""


def quoted(text: str) -> str:
    """A text as YAML, in quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else printable(json.dumps(text, ensure_ascii=False))


def written(path: Path) -> str | None:
    """A path as YAML; None if rules can't express it."""
    if path == RECORD_TIME:
        return "record"
    root, steps = _rooted(path)
    text = _steps(steps) if steps else None
    if root is None:
        return text
    if root.part == "header":
        return f"{{header: {quoted(root.name)}}}"
    if root.part in ("envelope", "key"):
        return None if text is None else f"{{{root.part}: {text}}}"
    return path_text(path)


def _rooted(path: Path) -> tuple[Root | None, Path]:
    root = path[0] if path and isinstance(path[0], Root) else None
    return root, path[1:] if root else path


def _steps(steps: Path) -> str | None:
    text = path_text(steps)
    if _is_read(text, steps):
        return quoted(text)
    keys = [step for step in steps if isinstance(step, str | int)]
    return f"[{', '.join(map(_key, keys))}]" if _is_read(keys, steps) else None


def _is_read(written: str | list[str | int], steps: Path) -> bool:
    try:
        return parse_path(written) == steps
    except PydanticCustomError:
        return False


def _key(step: str | int) -> str:
    return quoted(step) if isinstance(step, str) else str(step)


def read_path(text: str) -> Path:
    """The path of an option. Raises RulesError."""
    try:
        value = yaml.safe_load(text) if text[:1] in ("{", "[") else text
        return RECORD_TIME if value == "record" else parse_path(value)
    except (PydanticCustomError, yaml.YAMLError) as cause:
        hint = (cause.context or {}).get("hint") if isinstance(cause, PydanticCustomError) else None
        raise RulesError(f"{text}: {str(cause).splitlines()[0]}", hint or "") from cause


def chosen_path(answer: str) -> Path | None:
    """The path of an answer; None for `none`. Raises RulesError."""
    return None if answer == "none" else read_path(answer)


def chosen_paths(answer: str) -> tuple[Path, ...]:
    """The paths of an answer, with commas between them; `none` has none. Raises RulesError."""
    return () if answer == "none" else tuple(map(read_path, answer.split(",")))


def chosen_names(answer: str) -> list[str]:
    """The names of an answer, with commas between them; `none` has none."""
    return [] if answer == "none" else [name.strip() for name in answer.split(",")]


def shown(path: Path) -> str:
    """A path for people."""
    return path_text(path) or "the record"


def at(tree: Any, path: Path) -> Any:
    """The value at a path of an event; None where there is none."""
    try:
        return value_at(tree, path)
    except WrongPlaceError:
        return None


def keys_before(path: Path) -> list[str]:
    """The keys of a path without those for the form of a value."""
    steps = [step for step in path if isinstance(step, str | Selector | Root)]
    while len(steps) > 1 and isinstance(steps[-1], str) and steps[-1] in _WRAPPERS:
        steps.pop()
    keys = (step if isinstance(step, str) else _called(step) for step in steps)
    return [key for key in keys if key]


def _called(step: Selector | Root) -> str:
    return step.value if isinstance(step, Selector) else step.name


def name_of(path: Path) -> str:
    """The name of the value at a path: `total` at `NewImage.total.N`. Salesforce marks custom
    fields with `__c`."""
    keys = keys_before(path)
    return snake(keys[-1].removesuffix("__c")) if keys else "value"


def long_name_of(path: Path) -> str:
    """The name of the value at a path, with those of the objects that it is in."""
    return snake(" ".join(keys_before(path)[-2:])) or "value"


def depth(path: Path) -> int:
    """The depth of a value in the event."""
    return len([step for step in path if not isinstance(step, Root | Elements)])


def is_header(path: Path) -> bool:
    """Whether a path is of a header."""
    return isinstance(path[0], Root) and path[0].part == "header"
