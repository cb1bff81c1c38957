"""Where something stands in a record: as rules write it, what it is called, and what is there."""

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

RECORD_TIME: Path = (Root("timestamp"),)
"""The record's own timestamp."""

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$./-]*|\d+[a-z]+( every \d+[a-z]+)?")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_WRAPPERS = frozenset({
    "N", "S", "BOOL", "L", "M", "B", "$numberDecimal", "$numberInt", "$numberLong", "$numberDouble",
    "$date", "$oid", "$uuid", "Value", "value", "string_value", "int_value", "double_value",
    "float_value", "StringValue", "stringValue", "intValue", "doubleValue",
})  # fmt: skip
"""Keys that say how a value is written, not what it is: DynamoDB's, MongoDB's, OpenTelemetry's."""


def quoted(text: str) -> str:
    """A text as YAML, in quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else printable(json.dumps(text, ensure_ascii=False))


def written(path: Path) -> str | None:
    """A path as YAML; None where rules can't write it."""
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
    try:
        if parse_path(text) == steps:
            return quoted(text)
        keys = [step for step in steps if isinstance(step, str | int)]
        if len(keys) == len(steps) and parse_path(keys) == steps:
            return f"[{', '.join(k if isinstance(k, str) else str(k) for k in map(_key, keys))}]"
    except PydanticCustomError:
        pass
    return None


def _key(step: str | int) -> str:
    return quoted(step) if isinstance(step, str) else str(step)


def read_path(text: str) -> Path:
    """The path that an option says. Raises RulesError."""
    try:
        value = yaml.safe_load(text) if text[:1] in ("{", "[") else text
        return RECORD_TIME if value == "record" else parse_path(value)
    except (PydanticCustomError, yaml.YAMLError) as cause:
        hint = (cause.context or {}).get("hint") if isinstance(cause, PydanticCustomError) else None
        raise RulesError(f"{text}: {str(cause).splitlines()[0]}", hint or "") from cause


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
    """The keys on a path that say what a value is, without those that say how it is written."""
    keys = []
    for step in path:
        if isinstance(step, str):
            keys.append(step)
        elif isinstance(step, Selector):
            keys.append(step.value)
        elif isinstance(step, Root) and step.name:
            keys.append(step.name)
    while len(keys) > 1 and keys[-1] in _WRAPPERS:
        keys.pop()
    return keys


def name_of(path: Path) -> str:
    """What the value at a path is called: `total` at `NewImage.total.N`. Salesforce marks what its
    customers added by `__c`."""
    keys = keys_before(path)
    return snake(keys[-1].removesuffix("__c")) if keys else "value"


def long_name_of(path: Path) -> str:
    """The same with what stands above it."""
    return snake(" ".join(keys_before(path)[-2:])) or "value"


def depth(path: Path) -> int:
    """How deep in the event a value is."""
    return len([step for step in path if not isinstance(step, Root | Elements)])
