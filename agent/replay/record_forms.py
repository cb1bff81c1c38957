"""Reads Kafka records from files, one per line, with key, headers and timestamp. Three forms:

- JSON: `{"topic": "shop", "timestamp": 1741000000000, "key": "k1", "headers": {"type": "order"},
  "value": {…}}`, optionally with `partition` and `offset` and no other member. `topic` and `value`
  are required. Text in `key`, `value` and headers is used as it is, any other value as its JSON;
  `key_base64`, `value_base64` and `headers_base64` hold bytes. `timestamp` is in ms since 1970.
- the output of `kcat -J`;
- the output of Kafka's console consumer with `--property print.timestamp=true`, optionally with
  `print.key`, `print.headers` (requires the key), `print.partition` and `print.offset`.

The first line decides the form of the whole file. A later line of another form is read as the value
of a record without key, headers and timestamp.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from agent.core.decode.batch import Batch, Headers

_TEXT_MEMBERS = frozenset(["topic", "partition", "offset", "timestamp", "key", "headers", "value"])
_JSON_MEMBERS = _TEXT_MEMBERS | {"key_base64", "value_base64", "headers_base64"}
_KCAT_MEMBERS = frozenset(["topic", "partition", "offset", "key", "payload"])
_TIMESTAMP = re.compile(rb"(?:(?:CreateTime|LogAppendTime):(-?[0-9]+)|NO_TIMESTAMP)")
_POSITION = re.compile(rb"(Partition|Offset):([0-9]{1,18})")
_NO_TIMESTAMP = -1

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class FileRecord(NamedTuple):
    """A record of a file. `timestamp_ms` -1: it has none. `partition` and `offset`: those that it
    had in Kafka."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = _NO_TIMESTAMP
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


Form = Callable[[bytes], FileRecord | None]
"""Reads a line as a record; None: the line has another form."""


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Records of a file. `timestamps` None: the lines are bare values, and keys, headers and topics
    are empty."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] = ()
    headers: Mapping[int, Headers] = field(default_factory=dict)
    timestamps: Sequence[int] | None = None
    topics: Sequence[str | None] = ()
    partitions: Sequence[int | None] = ()
    offsets: Sequence[int | None] = ()

    def of(self, rows: Sequence[int]) -> FileBatch:
        """Some of the records."""
        if len(rows) == len(self.values):
            return self
        return FileBatch(
            [self.values[row] for row in rows],
            [self.keys[row] for row in rows] if self.keys else (),
            {i: self.headers[row] for i, row in enumerate(rows) if row in self.headers},
            None if self.timestamps is None else [self.timestamps[row] for row in rows],
            [self.topics[row] for row in rows] if self.topics else (),
            [self.partitions[row] for row in rows] if self.partitions else (),
            [self.offsets[row] for row in rows] if self.offsets else (),
        )

    def batch(
        self, topic: str, partition: int, rows: Sequence[int], first: int, clock_ms: int
    ) -> Batch:
        """Some rows as a batch of a topic. `first`: the number of the batch's first row in its
        file. `clock_ms`: the timestamp of bare values."""
        whole = len(rows) == len(self.values)
        timestamps = None if self.timestamps is None else [self.timestamps[row] for row in rows]
        partitions = np.full(len(rows), partition, np.int32)
        offsets = np.asarray(rows, np.int64) + first
        return Batch(
            topic,
            self.values if whole else [self.values[row] for row in rows],
            partitions,
            offsets,
            np.array(timestamps or [clock_ms] * len(rows), np.int64),
            timestamped=timestamps is not None,
            keys=[self.keys[row] for row in rows] if self.keys else (),
            headers={i: self.headers[row] for i, row in enumerate(rows) if row in self.headers}
            if self.headers
            else {},
            positions={
                "partition": _known([self.partitions[row] for row in rows], partitions),
                "offset": _known([self.offsets[row] for row in rows], offsets),
            }
            if self.partitions
            else {},
        )


def _known(
    own: Sequence[int | None], of_source: npt.NDArray[np.int32] | npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The records' own numbers; those of the source for records that name none."""
    return np.array(
        [
            n if number is None else number
            for number, n in zip(own, of_source.tolist(), strict=True)
        ],
        np.int64,
    )


def form_of(first: bytes) -> Form | None:
    """The form of a file's records by its first line; None: the lines are bare values."""
    if _TIMESTAMP.match(first):
        has_headers = len(_split_columns(first)[1].split(b"\t", 2)) > 2
        return lambda line: _of_console(line, has_headers)
    for form in (_of_json, _of_kcat):
        if form(first) is not None:
            return form
    return None


def records_in(lines: Iterable[bytes], form: Form | None) -> FileBatch:
    """The records that lines hold."""
    lines = list(lines)
    if form is None:
        return FileBatch(lines)
    records = [form(line) or FileRecord(line) for line in lines]
    return FileBatch(
        [record.value for record in records],
        [record.key for record in records],
        {row: record.headers for row, record in enumerate(records) if record.headers},
        [record.timestamp_ms for record in records],
        [record.topic for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
    )


def record_line(record: FileRecord) -> bytes:
    """A record as a line of JSON, the first of the forms."""
    headers: dict[str, list[tuple[str, str | None]]] = {"headers": []}
    for name, value in record.headers:
        for member, text in _named("headers", value).items():
            headers.setdefault(member, []).append((name, text))
    return msgspec.json.encode(
        {
            "topic": record.topic or "",
            "timestamp": record.timestamp_ms,
            **_named("key", record.key),
            **headers,
            **_named("value", record.value),
        }
    )


def _named(name: str, content: bytes | None) -> dict[str, str | None]:
    """The member that holds a key or value: as text, or in base64 if it is not UTF-8."""
    try:
        return {name: None if content is None else content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content or b"").decode()}


def _position(raw: msgspec.Raw | None) -> int | None:
    """A partition or offset; None for none, which some tools write as -1. Raises ValueError for a
    number that Kafka does not have."""
    number = int(_plain(raw, -1))
    if number >= 2**63:
        raise ValueError(number)
    return number if number >= 0 else None


def _of_json(line: bytes) -> FileRecord | None:
    members = _object(line)
    if members is None or not ("topic" in members and _JSON_MEMBERS.issuperset(members)):
        return None
    if not ("value" in members or "value_base64" in members):
        return None
    try:
        return FileRecord(
            _content(members, "value"),
            _content(members, "key"),
            (*_headers(members.get("headers")), *_packed(members.get("headers_base64"))),
            int(_plain(members.get("timestamp"), _NO_TIMESTAMP)),
            str(_plain(members["topic"], "")),
            _position(members.get("partition")),
            _position(members.get("offset")),
        )
    except (binascii.Error, msgspec.MsgspecError, TypeError, ValueError):
        return None


def _of_kcat(line: bytes) -> FileRecord | None:
    members = _object(line)
    if members is None or not _KCAT_MEMBERS.issubset(members):
        return None
    try:
        flat = _plain(members.get("headers"), [])
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return FileRecord(
            _text(_plain(members["payload"], None)),
            _text(_plain(members["key"], None)),
            tuple((str(name), _text(value) or b"") for name, value in pairs),
            int(_plain(members.get("ts"), _NO_TIMESTAMP)),
            str(_plain(members["topic"], "")),
            _position(members.get("partition")),
            _position(members.get("offset")),
        )
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None


def _of_console(line: bytes, has_headers: bool) -> FileRecord | None:
    stamp = _TIMESTAMP.match(line)
    if stamp is None:
        return None
    columns, unnamed = _split_columns(line)
    positions = {name: int(number) for name, number in _POSITION.findall(columns)}
    rest = unnamed.split(b"\t", 2 if has_headers else 1)
    value, key = rest[-1], rest[-2] if len(rest) > 1 else b"null"
    headers = rest[0] if len(rest) > 2 else b"NO_HEADERS"
    pairs = [] if headers == b"NO_HEADERS" else [h.partition(b":") for h in headers.split(b",")]
    return FileRecord(
        None if value == b"null" else value,
        None if key == b"null" else key,
        tuple((name.decode("utf-8", "replace"), content) for name, _, content in pairs),
        int(stamp[1] or _NO_TIMESTAMP),
        None,
        positions.get(b"Partition"),
        positions.get(b"Offset"),
    )


def _split_columns(line: bytes) -> tuple[bytes, bytes]:
    """The columns of a console consumer's line that have a name (`CreateTime:…`, `Partition:…`,
    `Offset:…`), and those that have none (headers, key, value)."""
    columns = line.split(b"\t")
    count = 1
    while count < len(columns) - 1 and _POSITION.fullmatch(columns[count]):
        count += 1
    return b"\t".join(columns[:count]), b"\t".join(columns[count:])


def _object(line: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return _members.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _plain(raw: msgspec.Raw | None, default: Any) -> Any:
    value = None if raw is None else msgspec.json.decode(raw)
    return default if value is None else value


def _content(members: Mapping[str, msgspec.Raw], name: str) -> bytes | None:
    """The bytes of a key or value: those of a text, or the JSON of any other value."""
    packed = _plain(members.get(f"{name}_base64"), None)
    if packed is not None:
        return base64.b64decode(packed, validate=True)
    raw = bytes(members.get(name, b"null"))
    return None if raw == b"null" else _json_bytes(raw)


def _json_bytes(raw: bytes) -> bytes:
    return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw


def _headers(raw: msgspec.Raw | None) -> Headers:
    """Headers as an object, or as a list of [name, value] where a name occurs more than once."""
    if raw is None or bytes(raw) == b"null":
        return ()
    if bytes(raw).startswith(b"["):
        pairs = msgspec.json.decode(raw, type=list[tuple[str, msgspec.Raw]])
    else:
        pairs = list(_members.decode(raw).items())
    return tuple((name, _json_bytes(bytes(value))) for name, value in pairs)


def _packed(raw: msgspec.Raw | None) -> Headers:
    """Headers whose values are base64."""
    return tuple((name, base64.b64decode(text, validate=True)) for name, text in _headers(raw))


def _text(value: Any) -> bytes | None:
    return None if value is None else str(value).encode()
