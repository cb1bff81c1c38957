"""How records name their schemas, in Confluent's wire format.

Either a zero byte and the four bytes of the schema's id precede the record; or the header
`__value_schema_id` (`__key_schema_id` for the key) contains the same, or a one and the schema's
GUID, and the record has no prefix:
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import TypeAlias
from uuid import UUID

import numpy as np
import numpy.typing as npt

from agent.core.decode.batch import Batch, Rows

SchemaId: TypeAlias = int | str
"""The id of a schema in the registry, or its GUID as text."""

VALUE_HEADER = "__value_schema_id"
KEY_HEADER = "__key_schema_id"
PREFIX_BYTES = 5
_BY_ID, _BY_GUID = 0, 1
_GUID_BYTES = 17


class SchemaError(ValueError):
    """A text is not a schema that records can be read with. The message says why."""


@dataclass(frozen=True, slots=True)
class Group:
    """Records that name the same schema in the same way.

    `indices` of the records, ascending; `skip`: the bytes before the body of each. `rest`: what
    follows the id in the header (for Protobuf, the indexes of the message).
    """

    schema: SchemaId
    indices: Rows
    skip: int = PREFIX_BYTES
    rest: bytes = b""


def grouped(
    records: Sequence[bytes], headers: Mapping[int, bytes] | None = None
) -> tuple[list[Group], Rows]:
    """Group records by the schemas that they name; also the indices of those that name none.

    `headers`: the schema headers of records, by index.
    """
    if not headers and (sole := _only_prefix(records)) is not None:
        return [Group(sole, np.arange(len(records)))], np.zeros(0, dtype=np.int64)
    ids, is_named = _prefixes(records)
    by_header: dict[tuple[SchemaId, bytes], list[int]] = {}
    for index, header in (headers or {}).items():
        is_named[index] = False
        if (named := _in_header(header)) is not None:
            by_header.setdefault(named, []).append(index)
    at = np.flatnonzero(is_named)
    ids = ids[at]
    groups = [Group(number, at[ids == number]) for number in np.unique(ids).tolist()]
    for (schema, rest), indices in by_header.items():
        groups.append(Group(schema, np.array(sorted(indices), dtype=np.int64), 0, rest))
        is_named[indices] = True
    return groups, np.flatnonzero(~is_named)


def headers_of(batch: Batch, rows: Rows, name: str = VALUE_HEADER) -> dict[int, bytes]:
    """The schema headers of some rows, by index."""
    if not batch.headers:
        return {}
    headers = ((i, batch.header(row, name)) for i, row in enumerate(rows.tolist()))
    return {index: header for index, header in headers if header is not None}


def named_ids(batch: Batch) -> set[SchemaId]:
    """All schemas that the values and keys of a batch name."""
    named: set[SchemaId] = set()
    for contents, header in ((batch.values, VALUE_HEADER), (batch.keys, KEY_HEADER)):
        present = np.array([row for row, content in enumerate(contents) if content], dtype=np.int64)
        records = [contents[row] or b"" for row in present.tolist()]
        groups, _ = grouped(records, headers_of(batch, present, header))
        named.update(group.schema for group in groups)
    return named


def _only_prefix(records: Sequence[bytes]) -> SchemaId | None:
    """The id before all records; None if they differ."""
    prefix = records[0][:PREFIX_BYTES] if records else b""
    if len(prefix) < PREFIX_BYTES or prefix[0] != _BY_ID:
        return None
    same = all(map(methodcaller("startswith", prefix), records))
    return int.from_bytes(prefix[1:], "big") if same else None


def _prefixes(records: Sequence[bytes]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """The ids before the records, and which records have one."""
    heads = b"".join([record[:PREFIX_BYTES] for record in records])
    if len(heads) < PREFIX_BYTES * len(records):
        heads = b"".join([record[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\xff") for record in records])
    table = np.frombuffer(heads, np.uint8).reshape(-1, PREFIX_BYTES)
    sizes = np.fromiter(map(len, records), np.int64, len(records))
    ids = np.ascontiguousarray(table[:, 1:]).view(">u4").ravel().astype(np.uint32)
    return ids, (table[:, 0] == _BY_ID) & (sizes >= PREFIX_BYTES)


def _in_header(header: bytes) -> tuple[SchemaId, bytes] | None:
    """The schema that a header names, and what follows it."""
    if header[:1] == bytes([_BY_ID]) and len(header) >= PREFIX_BYTES:
        return int.from_bytes(header[1:PREFIX_BYTES], "big"), header[PREFIX_BYTES:]
    if header[:1] == bytes([_BY_GUID]) and len(header) >= _GUID_BYTES:
        return str(UUID(bytes=header[1:_GUID_BYTES])), header[_GUID_BYTES:]
    return None
