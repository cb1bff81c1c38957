"""Extracts flat JSON objects from records that columns can't read, one record at a time.

This is for contracts whose paths have more than keys (an element of an array, the record's key, a
header), or whose events are in an envelope, in encoded strings or in lines:

    record ─ envelope ─▶ events ─ decode ─▶ events with decoded strings ─ each ─▶ lines

The values at the contract's paths become a *document*: a JSON object with a member for each path,
named like the path. Documents are then read as columns and validated like other records, by the
same contract with the documents' members as paths. So a value has the same type and the same
verdict whichever way it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

import msgspec
import numpy as np

from agent.core.decode.batch import Batch
from agent.core.decode.envelope import Event
from agent.core.decode.envelopes import opener
from agent.core.decode.format import Format, UnreadableError, WrongPlaceError, is_converted
from agent.core.decode.inner_text import decode_inner
from agent.core.decode.lines import Line, Lines
from agent.core.decode.record_columns import record_names
from agent.core.decode.schema_times import SchemaTime
from agent.core.decode.tree import describe, text_of, value_at
from agent.core.model.events import Contract, Field, FieldType
from agent.core.model.paths import (
    TEXT_ROOTS,
    Elements,
    Path,
    PathText,
    Root,
    RootName,
    Selector,
    path_text,
)
from agent.core.model.results import Reason

NO_SIZE = 2**62
"""The `max_bytes` of documents: their records were checked already."""

_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=int).encode
"""The numbers of a `SchemaTime` are no plain ints."""
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INDEX = Root("index")
_ARRAYS = ("cloudevents", "list")
"""Envelopes whose records may be arrays."""


@dataclass(slots=True)
class Documents:
    """The documents of one contract, in the order of their records.

    `rows` and `events`: the record of each document, and its event, numbered consecutively.
    `problems`: (row, reason, detail) of invalid events, which have no documents. `empty`: the rows
    of records without events or lines.
    """

    values: list[bytes] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    problems: list[tuple[int, Reason, str]] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)

    def batch(self, source: Batch) -> Batch:
        """The documents as a batch of their own, with the offsets of their records in `source`."""
        rows = np.array(self.rows, np.int64)
        return Batch(
            source.topic,
            self.values,
            source.partitions[rows],
            source.offsets[rows],
            source.timestamps[rows],
            source.timestamped,
        )


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of a document.

    `root`, or else `level` of a line, is where its `path` starts, `begin` the path of that in the
    event, and `steps` the rest; `key`: the only step, if it is a key. `type`: the type to parse
    text as. `is_needed`: the event is invalid if a step of the path leads through a value that is
    neither object nor array. `is_time`: it is read as a time whose unit may be in a schema.
    """

    name: str
    key: str | None
    root: Root | None
    level: int
    path: Path
    begin: Path
    steps: Path
    type: FieldType
    is_needed: bool
    is_time: bool

    @property
    def is_of_line(self) -> bool:
        """Whether it may differ between the lines of an event."""
        return self.level > 0 or (self.root is not None and self.root.part == "index")


class Extractor:
    """Extracts the documents of one contract. `flat` is the contract that validates them."""

    def __init__(self, contract: Contract, format: Format) -> None:
        self.contract = contract
        self._format = format
        self.opener = opener(contract.envelope)
        self._lines = Lines(contract.each)
        self._members: dict[str, _Member] = {}
        self._type = None if contract.type_path is None else self._begin(contract.type_path)
        self.flat = self._flat(_with_index(contract))
        self._of_event = [m for m in self._members.values() if not m.is_of_line]
        self._of_line = [m for m in self._members.values() if m.is_of_line]
        self.names = {name.encode() for name in self.opener.names} | _names(contract, "value")
        self._key_names = tuple(sorted(_names(contract, "key")))
        type_path = contract.type_path or ()
        self._type_is_inside = any(type_path[: len(d.path)] == d.path for d in contract.decode)

    @property
    def reads_arrays(self) -> bool:
        """Whether a record may be an array."""
        envelope = self.contract.envelope
        return self.contract.each == () or (envelope is not None and envelope.name in _ARRAYS)

    def path_of(self, member: Path) -> Path:
        """The path of the contract for a document's member."""
        return self._members[str(member[0])].path

    def is_time(self, member: Path) -> bool:
        """Whether a document's member is read as a time whose unit may be in a schema."""
        return self._members[str(member[0])].is_time

    def add(self, out: Documents, batch: Batch, row: int, tree: Any) -> bool:
        """Add the documents of a record that was read as `tree`; returns whether any of its events
        is of the contract."""
        is_ours, problems, count = False, len(out.problems), len(out.values)
        for event in self.opener.open(batch, row, tree):
            if not isinstance(event, Event):
                out.problems.append((row, *event))
                is_ours = True
                continue
            record = _Record(batch, row, event, self._format, self._key_names)
            try:
                is_ours |= self._add_event(out, record)
            except UnreadableError as cause:
                out.problems.append((row, *cause.problem))
                is_ours = True
            except WrongPlaceError as cause:
                out.problems.append((row, Reason.WRONG_TYPE, str(cause)))
                is_ours = True
        if is_ours and len(out.problems) == problems and len(out.values) == count:
            out.empty.append(row)
        return is_ours

    def _add_event(self, out: Documents, record: _Record) -> bool:
        """Add the documents of an event, if it is of the contract's type; returns whether it is.

        Raises UnreadableError and WrongPlaceError if the event is invalid.
        """
        if not self._type_is_inside and not self._is_of_type(record):
            return False
        value = record.event.value
        if self.contract.decode:
            for inner in self.contract.decode:
                value = decode_inner(value, inner)
            record.event = replace(record.event, value=value)
        if self._type_is_inside and not self._is_of_type(record):
            return False
        size, most = len(record.batch.value(record.row)), self.contract.max_bytes
        if size > most:
            raise UnreadableError((Reason.TOO_LARGE, f"{size} bytes; at most {most} (max_bytes)"))
        if not isinstance(value, dict) and not (value is None or self.contract.each == ()):
            detail = f"expected an object {{…}}, found {describe(value)}"
            raise UnreadableError((Reason.NOT_AN_OBJECT, detail))
        common = self._values(record, (value,), 0, self._of_event)
        documents = [
            _encode(common | self._values(record, line, index, self._of_line))
            for index, line in enumerate(self._lines.lines_of(value))
        ]
        number = out.events[-1] + 1 if out.events else 0
        out.values += documents
        out.rows += [record.row] * len(documents)
        out.events += [number] * len(documents)
        return True

    def _flat(self, contract: Contract) -> Contract:
        """The contract for its documents."""
        return replace(
            contract,
            format="json",
            envelope=None,
            decode=(),
            each=None,
            type_path=None,
            times=tuple(
                replace(
                    source,
                    path=self._member(
                        source.path, "string", is_needed=True, is_time=source.format is None
                    ),
                    time_of_day=None
                    if source.time_of_day is None
                    else self._member(source.time_of_day, "string", is_needed=True),
                )
                for source in contract.times
            ),
            ids=tuple(self._member(path, "string", is_needed=True) for path in contract.ids),
            fields=tuple(
                replace(
                    f,
                    path=self._member(
                        f.path,
                        _read_as(f),
                        is_needed=f.required,
                        is_time=f.type in ("timestamp", "date") and f.format is None,
                    ),
                )
                for f in contract.fields
            ),
            max_bytes=NO_SIZE,
        )

    def _member(
        self, path: Path, type: FieldType, *, is_needed: bool, is_time: bool = False
    ) -> Path:
        """Add a member for a path of the record; returns its path in the document."""
        name = path_text(path)
        root, level, steps = self._begin(path)
        envelope = self.contract.envelope
        is_time = is_time and envelope is not None and envelope.has_schema
        name = f"{name} as a time" if is_time else name
        if root is None or root.part not in TEXT_ROOTS:
            type = "string"  # of no consequence
        elif type != "string":
            name = f"{name} as {type}"
        known = self._members.get(name)
        is_needed = is_needed or (known is not None and known.is_needed)
        is_key = root is None and len(steps) == 1 and isinstance(steps[0], str)
        key = str(steps[0]) if is_key and not is_time else None
        begin = path[: len(path) - len(steps)]
        self._members[name] = _Member(
            name, key, root, level, path, begin, steps, type, is_needed, is_time
        )
        return (PathText(name),)

    def _begin(self, path: Path) -> tuple[Root | None, int, Path]:
        """The root or level at which a path starts, and its steps from there."""
        if path and isinstance(path[0], Root):
            # Of an array around the event, its envelope has the one element that the event is in.
            return path[0], 0, tuple(0 if step == Elements() else step for step in path[1:])
        return None, *self._lines.level(path)

    def _is_of_type(self, record: _Record) -> bool:
        """Whether an event is of the contract's type; numbers and booleans match as text."""
        if self._type is None:
            return True
        root, _, steps = self._type
        try:
            value = value_at(record.event.value, steps) if root is None else record.at(root, steps)
        except WrongPlaceError:
            return False
        return text_of(value) == self.contract.type_value

    def _values(
        self, record: _Record, line: Line, index: int, members: Sequence[_Member]
    ) -> dict[str, Any]:
        document = {}
        for member in members:
            if member.key is not None and type(at := line[member.level]) is dict:
                document[member.name] = at.get(member.key)
            else:
                document[member.name] = self._value(record, line, index, member)
        return document

    def _value(self, record: _Record, line: Line, index: int, member: _Member) -> Any:
        root, steps = member.root, member.steps
        try:
            if root is None:
                value = value_at(line[member.level], steps, member.begin)
            else:
                value = index if root.part == "index" else record.at(root, steps)
        except WrongPlaceError:
            if member.is_needed:
                raise
            return {}  # is of a wrong type for every field
        if member.is_time and isinstance(value, SchemaTime):
            return value.as_time
        if member.type != "string" and isinstance(value, str):
            return _READ[member.type](value)
        return value


@dataclass(slots=True)
class _Record:
    """One event and its record, for paths that start outside the event."""

    batch: Batch
    row: int
    event: Event
    format: Format
    key_names: Collection[bytes]

    def at(self, root: Root, steps: Path) -> Any:
        """The value at a path. Raises WrongPlaceError, and UnreadableError for the key."""
        batch, row = self.batch, self.row
        if root.part == "envelope":
            return value_at(self.event.envelope, steps)
        if root.part == "key":
            return value_at(self.format.key_tree(batch, row, self.key_names), steps)
        if root.part == "key_text":
            return _text(self.format.key_texts(batch, np.array([row]))[0], "the key")
        if root.part == "header":
            return _text(batch.header(row, root.name), f"header {root.name}")
        return _PARTS[root.part](batch, row)


def _with_index(contract: Contract) -> Contract:
    """The contract with the index of a line as part of its identity, if no id is in the line."""
    own = any(path == (_INDEX,) or Elements() in path for path in contract.ids)
    if contract.each is None or own or not contract.ids:
        return contract
    return replace(contract, ids=(*contract.ids, (_INDEX,)))


def _read_as(f: Field) -> FieldType:
    """The type to parse the text of a header or key as; converted fields are parsed later."""
    return "string" if is_converted(f) else f.type


def _names(contract: Contract, where: Literal["key", "value"]) -> set[bytes]:
    """The names of members in a contract's paths, in the record's key or in its value."""
    names: set[str] = set()
    for path in (*contract.paths, *(inner.path for inner in contract.decode)):
        is_key = bool(path) and isinstance(path[0], Root) and path[0].part == "key"
        if is_key == (where == "key"):
            names.update(step.key for step in path if isinstance(step, Selector))
            names.update(step for step in path if isinstance(step, str))
    return {name.encode() for name in names}


def _text(content: bytes | None, what: str) -> str | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as cause:
        detail = f"{what}: byte {cause.start} is not UTF-8"
        raise UnreadableError((Reason.NOT_UTF8, detail)) from cause


def _timestamp(batch: Batch, row: int) -> int | None:
    stamp = int(batch.timestamps[row])
    return stamp if batch.timestamped and stamp > 0 else None  # Kafka writes -1 for none


_PARTS: dict[RootName, Callable[[Batch, int], Any]] = {
    "timestamp": _timestamp,
    "topic": lambda batch, _: batch.topic,
    "partition": lambda batch, row: int(batch.positions.get("partition", batch.partitions)[row]),
    "offset": lambda batch, row: int(batch.positions.get("offset", batch.offsets)[row]),
    "schema": lambda batch, row: record_names(batch, np.array([row]))[0],
}


def _boolean(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


_READ: dict[FieldType, Callable[[str], Any]] = {
    "integer": lambda text: int(text) if _INTEGER.fullmatch(text) else text,
    "float": lambda text: Decimal(text) if _NUMBER.fullmatch(text) else text,
    "boolean": _boolean,
}
"""Parse the text of a header or key; text that can't be parsed stays text."""
