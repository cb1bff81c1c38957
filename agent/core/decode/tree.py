"""Access to values in a record that was read as Python objects: dicts, lists, text, numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from agent.core.decode.format import WrongPlaceError
from agent.core.model.paths import Path, Selector, path_text

_SHOWN = 60


def value_at(tree: Any, steps: Path, begin: Path = ()) -> Any:
    """The value at a path of keys, indices and selectors; None if it, or a value on the path, is
    absent or null. `begin`: the path of the tree in the record, for messages.

    Raises WrongPlaceError, with the reason in words, if the path leads through another value than
    an object or array.
    """
    at = tree
    for depth, step in enumerate(steps):
        if at is None:
            return None
        if isinstance(step, str):
            if type(at) is not dict:
                raise _wrong_place((*begin, *steps[:depth]), "an object", at)
            at = at.get(step)
        elif not isinstance(at, list):
            raise _wrong_place((*begin, *steps[:depth]), "an array", at)
        elif isinstance(step, int):
            at = at[step] if step < len(at) else None
        elif isinstance(step, Selector):
            at = next((item for item in at if _is_selected(item, step)), None)
    return at


def text_of(value: Any) -> str | None:
    """A scalar as text, numbers in their shortest decimal form; None for other values."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
    return None


def describe(value: object) -> str:
    """A JSON value in words, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        shown = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
        return f"the string {json.dumps(shown, ensure_ascii=False)}"
    shown = str(value)
    return f"the number {shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + '…'}"


def _is_selected(item: Any, selector: Selector) -> bool:
    return isinstance(item, dict) and text_of(item.get(selector.key)) == selector.value


def _wrong_place(steps: Path, expected: str, value: Any) -> WrongPlaceError:
    where = path_text(steps) or "the event"
    return WrongPlaceError(f"{where}: expected {expected}, found {describe(value)}")
