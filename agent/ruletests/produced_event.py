"""Builds the record of an event from the values of its paths, as its producer would send it."""

from __future__ import annotations

import json
from typing import Any

from agent.core.decode.tree import text_of
from agent.core.model.paths import Path, Root, Selector, Step
from agent.language.source import Span
from agent.ruletests.cases import Record


class ProducedEvent:
    """The builder of one record."""

    def __init__(self) -> None:
        self._value: Any = {}
        self._key: Any = None
        self._headers: dict[str, bytes] = {}

    def put(self, path: Path, value: Any) -> None:
        """Put a value at a path of a contract. Paths of the record's timestamp, topic, partition
        and offset are ignored."""
        root = path[0] if isinstance(path[0], Root) else None
        steps = tuple(step for step in path if not isinstance(step, Root))
        if root is None:
            self._value = _with(self._value, steps, value)
        elif root.part in ("key", "key_text"):
            self._key = _with(self._key, steps, value)
        elif root.part == "header":
            self._headers[root.name] = _bytes(value)

    def record(self, topic: str, arrives_ms: int, span: Span) -> Record:
        """The record as it arrives."""
        key = None if self._key is None else _bytes(self._key)
        headers = tuple(self._headers.items())
        return Record(topic, json.dumps(self._value).encode(), arrives_ms, span, key, headers)


def _with(at: Any, steps: tuple[Step, ...], value: Any) -> Any:
    """A tree with a value at the end of steps."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        at = at if isinstance(at, dict) else {}
        at[step] = _with(at.get(step), rest, value)
        return at
    at = at if isinstance(at, list) else []
    if isinstance(step, Selector):
        indices = (i for i, item in enumerate(at) if text_of(item.get(step.key)) == step.value)
        index = next(indices, len(at))
        default: Any = {step.key: step.value}
    else:
        index, default = (step if isinstance(step, int) else 0), None
    at += [None] * (index + 1 - len(at))
    at[index] = _with(default if at[index] is None else at[index], rest, value)
    return at


def _bytes(value: Any) -> bytes:
    text = text_of(value)
    return (json.dumps(value) if text is None else text).encode()
