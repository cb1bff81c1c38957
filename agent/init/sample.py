"""Profiles a sample of events: every field with its types, values and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from agent.core.decode.batch import Headers
from agent.core.decode.time_text import parse_time
from agent.core.model.field_types import FIELD_DTYPES, FieldType
from agent.core.model.paths import Elements, Path, Root, Selector
from agent.core.model.plan import SCHEMA_HEADER
from agent.init.naming import CODES
from agent.init.places import at, name_of, shown, written
from agent.init.spelling import number_example, time_format

MOST_DISTINCT = 1_000
"""The distinct values of a field that are counted; beyond, it has "many"."""

DEEPEST = 8
"""Fields nested deeper are left out."""

LEAST_EPOCH_MS = 10**12
"""September 2001: numbers that would be earlier times are not taken for times."""
_LENGTH_OF_DATE = 10
MOST_SPAN_MS = 3 * 366 * 86_400_000
"""Numbers that would be times further apart are not taken for times."""
_ATTRIBUTES = frozenset({
    "specversion", "type", "source", "id", "time", "data", "data_base64", "datacontenttype",
    "dataschema",
})  # fmt: skip
_KEYS, _VALUES = ("key", "name", "Key", "Name"), ("value", "values", "Value", "Values")
_TRANSPORT = ("ce_", "traceparent", "tracestate", "content-type", "b3", "x-b3-", "spring_", "__")
"""Prefixes of headers that are about the transport."""
_SPRING_TYPE = "__TypeId__"
"""The header in which Spring's JsonSerializer writes the class of the event."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One event: its value, the record's value around it, and the record's key, headers and topic.
    `envelope`: the name of its envelope."""

    value: Any
    around: Any = None
    key: bytes | None = None
    headers: Headers = ()
    envelope: str | None = None
    topic: str | None = None

    def with_value(self, value: Any) -> Occurrence:
        """The same event with another value."""
        return replace(self, value=value)

    def at(self, path: Path) -> Any:
        """The value at a path; None if there is none."""
        if not path or not isinstance(root := path[0], Root):
            return at(self.value, path)
        if root.part == "schema":
            return self.at((Root("header", SCHEMA_HEADER),))
        if root.part == "header":
            values = [text for name, text in self.headers if name == root.name]
            return _text(values[-1]) if values else None
        if root.part == "key_text":
            return _text(self.key)
        tree = self.around if root.part == "envelope" else _object(self.key)
        return at(tree, path[1:])


@dataclass(slots=True)
class Seen:
    """The profile of one field over all events of a sample."""

    path: Path
    count: int = 0
    nulls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[Any] = field(default_factory=Counter)
    times: int = 0
    naive: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    days: int = 0
    late_ms: int = 0
    number_texts: int = 0
    decimals: set[int] = field(default_factory=set)
    most_elements: int = 0

    def add(self, value: Any) -> None:
        """Add the value of one more event."""
        self.count += 1
        if value is None or value == []:
            self.nulls += 1
            return
        self.kinds[_kind(value)] += 1
        if isinstance(value, list | dict):
            self.most_elements = max(self.most_elements, len(value))
            return
        if len(self.values) < MOST_DISTINCT or value in self.values:
            self.values[value] += 1
        if isinstance(value, str):
            self._add_text(value)
        if not isinstance(value, bool):
            self._add_time(str(value))

    def _add_text(self, text: str) -> None:
        digits = text.removeprefix("-")
        whole, point, decimals = digits.partition(".")
        if whole[:1] == "0" and len(whole) > 1:
            return  # a code
        if whole.isdecimal() and len(digits) <= 18 and (decimals.isdecimal() if point else True):
            self.number_texts += 1
            self.decimals.add(len(decimals))

    def _add_time(self, text: str) -> None:
        at_ms = None if _is_padded(text) else parse_time(text, "UTC")
        # A small number can be read as a time, too, and mostly is none.
        if at_ms is None or not (at_ms >= LEAST_EPOCH_MS or "-" in text):
            return
        self.times += 1
        self.days += len(text) == (8 if text.isdecimal() else _LENGTH_OF_DATE)
        self.late_ms = max(self.late_ms, (self.last_ms or 0) - at_ms)
        self.first_ms = at_ms if self.first_ms is None else min(self.first_ms, at_ms)
        self.last_ms = at_ms if self.last_ms is None else max(self.last_ms, at_ms)
        # What says no offset means another instant in another zone.
        self.naive += parse_time(text, "Asia/Tokyo") != at_ms

    @property
    def known(self) -> int:
        """The number of events with a value."""
        return self.count - self.nulls

    @property
    def type(self) -> FieldType | None:
        """The type of all values; None if there are none, or several types."""
        kinds = set(self.kinds)
        if kinds == {"integer", "float"}:
            return "float"
        kind = kinds.pop() if len(kinds) == 1 else None
        return kind if kind in FIELD_DTYPES else None  # type: ignore[return-value]

    @property
    def is_number_in_text(self) -> bool:
        """Whether all values are numbers, some of them in text: with decimals, or beside others
        that are not text. Only whole numbers in text are codes."""
        numbers = self.kinds["integer"] + self.kinds["float"]
        if not self.number_texts or self.number_texts + numbers != self.known:
            return False
        return bool(max(self.decimals) or numbers)

    @property
    def is_time(self) -> bool:
        """Whether all values are times that need no format; numbers only if they are close to each
        other."""
        if not self.known or self.times != self.known:
            return False
        if self.number_texts + self.kinds["integer"] and name_of(self.path).split("_")[-1] in CODES:
            return False
        is_text = not self.number_texts and self.type == "string"
        return is_text or (self.last_ms or 0) - (self.first_ms or 0) < MOST_SPAN_MS

    @property
    def format(self) -> str | None:
        """The format of times that need one."""
        if self.type != "string" or self.times or self.number_texts:
            return None
        return time_format(self.values)

    @property
    def number_example(self) -> str | None:
        """An example of numbers in text that are not plain."""
        is_text = self.type == "string" and self.number_texts < self.known
        return number_example(self.values) if is_text else None

    @property
    def distinct(self) -> int:
        """The number of distinct values, up to `MOST_DISTINCT`."""
        return len(self.values)


def profile(events: Iterable[Occurrence | Mapping[str, Any]]) -> dict[Path, Seen]:
    """Every field by its path, in the order of the events. A field of an array's element is one if
    the array never has several elements."""
    fields: dict[Path, Seen] = {}
    for event in events:
        for path, value in fields_in(event):
            fields.setdefault(path, Seen(path)).add(value)
    return without_long(fields)


def without_long(fields: Mapping[Path, Seen]) -> dict[Path, Seen]:
    """The fields without those of arrays with several elements."""
    arrays = {path: seen for path, seen in fields.items() if seen.kinds["objects"]}
    long = [path for path, seen in arrays.items() if seen.most_elements > 1]
    return {
        path: seen
        for path, seen in fields.items()
        if not any(path[: len(array)] == array and path != array for array in long)
    }


def fields_in(event: Occurrence | Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The fields of an event by path: its own, and those of its record and envelope."""
    if not isinstance(event, Occurrence):
        event = Occurrence(event)
    for path, value in flat(event.value):
        # What ExtractNewRecordState puts beside a row is what the envelope says.
        if event.envelope != "debezium" or not str(path[0]).startswith("__"):
            yield path, value
    if isinstance(event.around, dict):
        for name, value in event.around.items():
            if _is_said(event.envelope, name):
                for path, inner in flat({name: value}, (Root("envelope"),)):
                    if not isinstance(inner, list) and 0 not in path:
                        yield path, inner
    for name in dict.fromkeys(name for name, _ in event.headers):
        if name == _SPRING_TYPE or not name.lower().startswith(_TRANSPORT):
            yield (Root("header", name),), event.at((Root("header", name),))
    if event.key is not None:
        yield (Root("key_text"),), event.at((Root("key_text"),))
        yield from flat(_object(event.key) or {}, (Root("key"),))


def _is_said(envelope: str | None, name: str) -> bool:
    """Whether a member of an envelope is about the event."""
    if envelope == "cloudevents":
        return name not in _ATTRIBUTES
    if envelope == "debezium":
        return name == "op"
    return envelope == "list"


def flat(tree: Any, above: Path = (), most: int = 0) -> Iterator[tuple[Path, Any]]:
    """The values below a path, to a depth of `most`. An array of objects is a value, and so are the
    members of its first element; an array of names and values is like an object, and so is one of
    values of several kinds."""
    most = most or len(above) + DEEPEST
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name and len(above) < most:
                yield from flat(value, (*above, name), most)
            elif name:
                yield (*above, name), value if isinstance(value, dict) else None
    elif isinstance(tree, list):
        key = _key_of(tree)
        if key is not None:
            for item in tree:
                path = (*above, Selector(key, item[key]))
                rest = {name: value for name, value in item.items() if name != key}
                yield from flat(rest, path, most)
            return
        if len({isinstance(item, dict) for item in tree}) > 1:  # a message: [2, "id", "Name", {…}]
            for index, item in enumerate(tree[:DEEPEST]):
                yield from flat(item, (*above, index), most)
            return
        yield above, tree
        if tree and isinstance(tree[0], dict):
            yield from flat(tree[0], (*above, 0), most)
    else:
        yield above, tree


def _key_of(items: Sequence[Any]) -> str | None:
    """The member with the names of an array's elements, if it is an array of names and values."""
    for key in _KEYS:
        if items and all(
            isinstance(item, dict) and isinstance(item.get(key), str) and set(_VALUES) & item.keys()
            for item in items
        ):
            return key if len({item[key] for item in items}) == len(items) else None
    return None


def objects_in(events: Sequence[Occurrence]) -> list[Path]:
    """The arrays of objects in the events that are not in other arrays."""
    seen: dict[Path, None] = {}
    for event in events:
        for path, value in flat(event.value):
            if isinstance(value, list) and value and isinstance(value[0], dict) and 0 not in path:
                seen.setdefault(path)
    return list(seen)


def elements_of(events: Iterable[Occurrence], path: Path) -> Iterator[Occurrence]:
    """The elements of an array in the events, each as an event of its own."""
    for event in events:
        elements = event.at(path)
        if isinstance(elements, list):
            yield from (Occurrence(item) for item in elements if isinstance(item, dict))


def texts_in(events: Sequence[Occurrence]) -> dict[Path, list[str]]:
    """The values at a path, if all of them are text."""
    texts: dict[Path, list[str]] = {}
    others: set[Path] = set()
    for event in events:
        for path, value in flat(event.value):
            if isinstance(value, str) and Elements() not in path:
                texts.setdefault(path, []).append(value)
            elif value is not None:
                others.add(path)
    return {path: values for path, values in texts.items() if path not in others and 0 not in path}


def left_out(seen: Mapping[Path, Seen]) -> dict[Path, str]:
    """The parts of the events without a field, by path, and why."""
    reasons: dict[Path, str] = {}
    for path, part in seen.items():
        if written(path) is None:
            reasons[path] = "rules can't write its name"
        elif part.kinds["object"]:
            reasons[path] = "nested too deeply"
        elif part.kinds["objects"]:
            if part.most_elements > 1:
                reasons[path] = "an array of objects without a number to measure"
        elif part.known and part.type is None and not part.is_number_in_text:
            reasons[path] = f"of several types: {', '.join(sorted(part.kinds))}"
    return reasons


def named(reasons: Mapping[Path, str]) -> dict[str, str]:
    """Reasons by paths for people."""
    return {shown(path): reason for path, reason in reasons.items()}


def _is_padded(text: str) -> bool:
    """Whether digits begin with zeros, as codes do."""
    return text.isdecimal() and len(text) > 1 and text[0] == "0"


def _object(key: bytes | None) -> dict[str, Any] | None:
    try:
        tree = msgspec.json.decode(key or b"")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return _kind_of_list(value)
    for kind, types in _KINDS.items():
        if isinstance(value, types):
            return kind
    return "integer" if isinstance(value, int) and -(2**63) <= value < 2**63 else "float"


_KINDS: Mapping[str, type] = {"object": dict, "boolean": bool, "string": str}


def _kind_of_list(items: Sequence[Any]) -> str:
    kinds = {_kind(item) for item in items if item is not None}
    if kinds == {"object"}:
        return "objects"
    if kinds == {"integer", "float"}:
        return "float[]"
    return f"{kinds.pop() if len(kinds) == 1 else 'mixed'}[]"
