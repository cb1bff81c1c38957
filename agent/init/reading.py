"""Which envelope the records of a sample have, the events in it, and the strings that hold more."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from agent.core.decode.batch import Headers
from agent.core.decode.connect import is_enveloped
from agent.core.decode.envelope import Event
from agent.core.decode.envelopes import opener
from agent.core.decode.format import UnreadableError
from agent.core.decode.inner_text import decode_inner
from agent.core.model.events import Coding, Envelope, InnerText
from agent.core.model.paths import Path
from agent.init.identity import id_of
from agent.init.naming import MONEY, words_of
from agent.init.places import name_of, written
from agent.init.sample import Occurrence, elements_of, objects_in, profile, texts_in
from agent.init.times import has_time, time_of
from agent.replay.record_forms import FileBatch

MOST = 0.9
"""The share of records that must have an envelope's form."""
MOST_DECIMAL_BYTES = 8
GUESSED_SCALE = 2
"""The decimals of nearly all columns of money."""
_CARRIED = frozenset({
    "events", "records", "batch", "messages", "notifications", "notification", "logs", "entries",
})  # fmt: skip
"""Words in the names of arrays of events."""
MOST_DECODED = 3
"""The depth of JSON in strings that is searched."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The events of a sample, their envelope, and whether the records have timestamps. `topics`:
    those that the records name."""

    events: Sequence[Occurrence]
    envelope: Envelope | None = None
    decode: Sequence[InnerText] = field(default_factory=tuple)
    is_timestamped: bool = False
    topics: Sequence[str] = ()

    def of(self, rows: Iterable[int]) -> Sample:
        """A sample of some of the events."""
        return replace(self, events=[self.events[row] for row in rows])

    def of_topics(self, topics: Collection[str]) -> Sample:
        """A sample of the events of some topics."""
        return replace(self, events=[event for event in self.events if event.topic in topics])


def read(batches: Iterable[FileBatch]) -> Sample:
    """The events of records; unreadable ones are left out."""
    files = [(file, list(_trees(file))) for file in batches]
    headers = [_headers(file, row) for file, rows in files for row, _ in rows]
    envelope = _envelope_of([tree for _, rows in files for _, tree in rows], headers)
    events = [event for file, rows in files for event in _opened(file, rows, envelope)]
    if envelope is None and (array := _list_of_events(events)) is not None:
        envelope = Envelope("list", array)
        events = [event for file, rows in files for event in _opened(file, rows, envelope)]
    is_timestamped = any(file.timestamps is not None for file, _ in files)
    return _decoded(Sample(events, envelope, (), is_timestamped))


def _trees(file: FileBatch) -> Iterator[tuple[int, Any]]:
    """The records of a file that are JSON, by row."""
    for row, value in enumerate(file.values):
        try:
            tree = msgspec.json.decode(value or b"")
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
        if isinstance(tree, dict | list):
            yield row, tree


def _headers(file: FileBatch, row: int) -> Headers:
    return file.headers.get(row, ())


def _opened(
    file: FileBatch, rows: Sequence[tuple[int, Any]], envelope: Envelope | None
) -> Iterator[Occurrence]:
    """The events of records that are objects."""
    opens = opener(envelope)
    batch = file.batch("sample", 0, range(len(file.values)), 0, 0)
    for row, tree in rows:
        for event in opens.open(batch, row, tree):
            if isinstance(event, Event) and isinstance(event.value, dict):
                around = None if event.envelope is event.value else event.envelope
                key = file.keys[row] if file.keys else None
                name = None if envelope is None else envelope.name
                topic = file.topics[row] if file.topics else None
                yield Occurrence(event.value, around, key, _headers(file, row), name, topic)


def _envelope_of(records: Sequence[Any], headers: Sequence[Headers]) -> Envelope | None:
    looks = list(zip(records, headers, strict=True))
    for name, is_one in _SIGNS.items():
        if looks and sum(is_one(*look) for look in looks) >= MOST * len(looks):
            return Envelope(name)  # type: ignore[arg-type]
    return None


def _is_cloudevent(tree: Any, headers: Headers) -> bool:
    if any(name == "ce_specversion" for name, _ in headers):
        return True
    if isinstance(tree, list):
        return bool(tree) and all(_is_cloudevent(item, ()) for item in tree)
    return isinstance(tree, dict) and {"specversion", "type", "source"} <= tree.keys()


def _is_change(tree: Any, _: Headers) -> bool:
    change = tree["payload"] if isinstance(tree, dict) and is_enveloped(tree) else tree
    if change is None:
        return False
    if isinstance(change, dict) and {"__op", "__source_ts_ms"} <= change.keys():
        return True
    return isinstance(change, dict) and {"op", "source"} <= change.keys()


def _is_connect(tree: Any, _: Headers) -> bool:
    return is_enveloped(tree) and isinstance(tree["schema"], dict | None)


_SIGNS: Mapping[str, Callable[[Any, Headers], bool]] = {
    "cloudevents": _is_cloudevent,
    "debezium": _is_change,
    "connect": _is_connect,
    "list": lambda tree, _: isinstance(tree, list),
}
"""How to recognize the envelope of a record, the most specific first."""


def _list_of_events(events: Sequence[Occurrence]) -> Path | None:
    """The array of events, if records only carry them: the elements have times, the record has no
    identity, and no time unless it is named a batch."""
    arrays = objects_in(events)
    outer = profile(events) if arrays else {}
    if not arrays or id_of(outer, len(events), ""):
        return None
    is_timed = has_time(outer, len(events))
    for path in arrays:
        elements = _decoded(Sample(list(elements_of(events, path)))).events
        words = {*words_of(name_of(path))}
        is_carried = not is_timed or bool(words & _CARRIED) or words >= {"event", "list"}
        is_carried = is_carried and len(elements) >= len(events) / 2
        if is_carried and time_of(profile(elements), len(elements)):
            return path
    return None


def _decoded(sample: Sample) -> Sample:
    """The sample with the JSON of strings in their place."""
    for _ in range(MOST_DECODED):
        inner = [
            InnerText(path, codings, GUESSED_SCALE if codings[-1] == "decimal" else 0)
            for path, texts in texts_in(sample.events).items()
            if (codings := _codings_of(texts) or _decimals(sample, path, texts))
            and (written(path) or "[")[0] not in "[{"
        ]
        if not inner:
            return sample
        sample = replace(sample, decode=(*sample.decode, *inner))
        sample = replace(sample, events=[_with_inner(event, inner) for event in sample.events])
    return sample


def _with_inner(event: Occurrence, inner: Iterable[InnerText]) -> Occurrence:
    value = event.value
    for text in inner:
        try:
            value = decode_inner(value, text)
        except UnreadableError:
            continue
    return event.with_value(value)


def _codings_of(texts: Sequence[str]) -> tuple[Coding, ...]:
    """The encoding of JSON that all of some texts have; empty: none."""
    for codings, unpack in _UNPACK.items():
        if all(_is_json(text, unpack) for text in texts):
            return codings
    return ()


def _decimals(sample: Sample, path: Path, texts: Sequence[str]) -> tuple[Coding, ...]:
    """Money as Debezium writes it without its schema: the unscaled number in base64."""
    is_change = sample.envelope is not None and sample.envelope.name == "debezium"
    if not is_change or not {*words_of(name_of(path))} & MONEY:
        return ()
    try:
        sizes = {len(_base64(text.encode())) for text in texts if not text.isdecimal()}
    except (binascii.Error, ValueError):
        return ()
    return ("base64", "decimal") if sizes and max(sizes) <= MOST_DECIMAL_BYTES else ()


def _is_json(text: str, unpack: Callable[[bytes], bytes]) -> bool:
    try:
        return isinstance(msgspec.json.decode(unpack(text.encode())), dict | list)
    except (msgspec.DecodeError, binascii.Error, zlib.error, ValueError, RecursionError):
        return False


def _base64(text: bytes) -> bytes:
    return base64.b64decode(text, validate=True)


_UNPACK: Mapping[tuple[Coding, ...], Callable[[bytes], bytes]] = {
    ("json",): bytes,
    ("base64", "json"): _base64,
    ("base64", "gzip", "json"): lambda text: zlib.decompress(_base64(text), 32 + zlib.MAX_WBITS),
}
