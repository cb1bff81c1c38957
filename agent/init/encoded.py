"""A sample whose records have schemas of a registry, as a file of the JSON that they mean.

All that `init` infers, it infers from JSON; what it drafts says how the records are really written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agent.core.decode.batch import Batch
from agent.core.decode.codec import encode_json
from agent.core.decode.format import Format, UnreadableError
from agent.core.decode.formats import format_named
from agent.core.decode.record_columns import record_names
from agent.core.decode.schemas import grouped, headers_of, named_ids
from agent.core.model.events import REGISTRY
from agent.core.model.plan import SCHEMA_HEADER
from agent.errors import EnvironmentFault
from agent.kafka.history import newest
from agent.kafka.registry_client import SchemaCache
from agent.replay.event_files import batches_of, event_file
from agent.replay.record_forms import FileBatch, FileRecord, record_line
from agent.settings import Settings

MOST_RECORDS = 50_000
"""The size of a sample: the newest events of a topic."""


class Encoded(NamedTuple):
    """A file in JSON, and the format of its original records; None: they have no schemas.
    `has_kinds`: these have several names, each in the header SCHEMA_HEADER."""

    file: str
    format: str | None = None
    has_kinds: bool = False


def sample_of_topic(settings: Settings, topic: str, folder: Path) -> Encoded:
    """Write the newest events of a topic to a file. Raises EnvironmentFault if the topic, or the
    registry that its records need, can't be read."""
    records = asyncio.run(newest(settings, topic, MOST_RECORDS))
    if not any(record.value for record in records):
        raise EnvironmentFault(f"{topic} holds no event")
    batch = FileBatch(
        [r.value for r in records],
        [r.key for r in records],
        {row: r.headers for row, r in enumerate(records) if r.headers},
        [r.timestamp for r in records],
        [topic] * len(records),
    )
    decoded, format = _in_json([batch], settings)
    return _encoded(decoded, format, folder / f"{topic}.ndjson")


def sample_of_file(settings: Settings, name: str, folder: Path) -> Encoded:
    """A file of events: itself, or a file in JSON if its records have schemas. Raises
    EnvironmentFault as `sample_of_topic` does."""
    path = event_file(name)
    if path is None:
        return Encoded(name)
    batches = [batch for batch, _ in batches_of(path, name)]
    decoded, format = _in_json(batches, settings)
    if format is None:
        return Encoded(name)
    stem = path.name.partition(".")[0]
    return _encoded(decoded, format, folder / f"{stem}.ndjson")


def _encoded(batches: Sequence[FileBatch], format: str | None, file: Path) -> Encoded:
    names = {
        content
        for batch in batches
        for headers in batch.headers.values()
        for header, content in headers
        if header == SCHEMA_HEADER
    }
    return Encoded(_written(batches, file), format, format != "json" and len(names) > 1)


def _in_json(
    batches: Sequence[FileBatch], settings: Settings
) -> tuple[list[FileBatch], str | None]:
    """Batches as JSON, and the format of records with known schemas."""
    whole = [file.batch("sample", 0, range(len(file.values)), 0, 0) for file in batches]
    # Keys alone prove nothing: a number of eight bytes begins like a schema's id.
    if not any(_name_schemas(batch) for batch in whole):
        return list(batches), None
    ids = {schema_id for batch in whole for schema_id in named_ids(batch)}
    schemas = SchemaCache(settings).schemas(ids)
    formats = Counter(schema.format for schema in schemas.values() if schema is not None)
    if not formats:
        unknown = ", ".join(sorted(map(str, ids))[:5])
        raise EnvironmentFault(f"the registry has no schema of the sample's records: {unknown}")
    name = formats.most_common(1)[0][0]
    reads = format_named(name, REGISTRY)
    pairs = zip(batches, whole, strict=True)
    return [_decoded(file, replace(b, schemas=schemas), reads) for file, b in pairs], name


def _name_schemas(batch: Batch) -> bool:
    """Whether a value of a batch has the id of a schema."""
    rows = np.array([row for row, value in enumerate(batch.values) if value], np.int64)
    groups, _ = grouped([batch.value(row) for row in rows.tolist()], headers_of(batch, rows))
    return bool(groups)


def _decoded(file: FileBatch, batch: Batch, reads: Format) -> FileBatch:
    """Records as JSON; unreadable ones stay as they are."""
    values, keys = list(file.values), list(file.keys)
    for row, value in enumerate(values):
        if value:
            values[row] = _json(batch, row, reads.tree) or value
        if keys and (key := keys[row]) and key[0] == 0:
            keys[row] = _json(batch, row, reads.key_tree) or key
    headers = dict(file.headers)
    for row, name in enumerate(record_names(batch, np.arange(len(values)))):
        if name is not None:
            headers[row] = (*headers.get(row, ()), (SCHEMA_HEADER, name.encode()))
    return replace(file, values=values, keys=keys, headers=headers)


def _json(batch: Batch, row: int, tree: Callable[[Batch, int, None], Any]) -> bytes | None:
    try:
        return encode_json(tree(batch, row, None))
    except UnreadableError:
        return None


def _written(batches: Iterable[FileBatch], file: Path) -> str:
    """Write a file of records with keys, headers and timestamps."""
    with file.open("wb") as out:
        for batch in batches:
            for row, value in enumerate(batch.values):
                record = FileRecord(
                    value,
                    batch.keys[row] if batch.keys else None,
                    batch.headers.get(row, ()),
                    batch.timestamps[row] if batch.timestamps else -1,
                    batch.topics[row] if batch.topics else None,
                )
                out.write(record_line(record) + b"\n")
    return str(file)
