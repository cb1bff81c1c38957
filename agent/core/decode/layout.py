"""Which columns a set of demands needs of JSON records, and how polars is asked for them.

polars reads newline-delimited JSON against a declared (nested) schema, where each path has one
type. `Layout` spreads demands that contradict each other (a path as a string and as a number, or
as a value and as an object) over several reads of the same lines.

What polars does with a value, as measured with 2.1 and held by tests: numbers are strict (an
integer refuses 1.0, "1" and what exceeds 64 bits; a float takes integers), booleans and objects
too; the first of duplicate keys counts; but a String takes any value and writes it as text. What is
refused fails a strict read, and is null in one that is not strict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from agent.core.decode.format import Demand, DType
from agent.core.model.plan import Path

_Tree = dict[str, Any]  # key → subtree, or the DType of a leaf


class UnreadableError(Exception):
    """polars could not read some line, or read another number of records than there are lines.

    `is_malformed`: some line is no JSON, so that a read which is not strict fails, too.
    """

    def __init__(self, is_malformed: bool) -> None:
        super().__init__()
        self.is_malformed = is_malformed


def join_lines(lines: Sequence[bytes]) -> bytes:
    """Records as the one text that a read takes.

    It begins with a blank: polars decompresses bytes that begin with the magic number of gzip,
    zlib or zstd, and a record is never anything but what its contract says.
    """
    return b"".join((b" ", b"\n".join(lines)))


class Layout:
    """Reads of the same lines that together answer all demands."""

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._trees: list[_Tree] = []
        self._names: dict[Demand, str] = {}
        self._expressions: list[list[pl.Expr]] = []
        for demand in demands:
            if demand not in self._names:
                self._place(demand)
        self._schemas = [_schema(tree) for tree in self._trees]

    @property
    def reads(self) -> int:
        """How often the lines are read."""
        return len(self._trees)

    def column(self, demand: Demand) -> str:
        """The name of the column that answers a demand."""
        return self._names[demand]

    def read(self, joined: bytes, count: int, *, strict: bool) -> pl.DataFrame:
        """The columns of `count` records that `joined` has, one a line.

        `joined` is what `join_lines` gives. No record may be blank: then each takes a line or
        more, and as many rows as records prove that each took one. Raises UnreadableError when any
        line is no JSON object or, if strict, not what the demands allow.
        """
        frames = [self._read_one(i, joined, count, strict) for i in range(len(self._trees))]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="horizontal")

    def _read_one(self, index: int, joined: bytes, count: int, strict: bool) -> pl.DataFrame:
        try:
            frame = pl.read_ndjson(joined, schema=self._schemas[index], ignore_errors=not strict)
        except (Exception, pl.exceptions.PanicException) as cause:
            # Whatever a library makes of the bytes, it costs no more than the records it is about.
            raise UnreadableError(str(cause).startswith("error parsing line")) from cause
        if frame.height != count:
            raise UnreadableError(is_malformed=True)
        return frame.select(self._expressions[index])

    def _place(self, demand: Demand) -> None:
        path, dtype = demand
        for index in range(len(self._trees) + 1):
            if index == len(self._trees):
                self._trees.append({})
                self._expressions.append([])
            if _insert(self._trees[index], path, dtype):
                name = f"c{len(self._names)}"
                self._names[demand] = name
                expression = pl.col(path[0])
                for key in path[1:]:
                    expression = expression.struct.field(key)
                self._expressions[index].append(expression.alias(name))
                return


def _insert(tree: _Tree, path: Path, dtype: DType) -> bool:
    """Adds a leaf if nothing in the tree contradicts it."""
    at: Any = tree
    for key in path[:-1]:
        at = at.get(key)
        if at is None:
            break
        if not isinstance(at, dict):
            return False
    if isinstance(at, dict) and at.get(path[-1], dtype) is not dtype:
        return False
    at = tree
    for key in path[:-1]:
        at = at.setdefault(key, {})
    at[path[-1]] = dtype
    return True


def _schema(tree: _Tree) -> dict[str, Any]:
    return {
        key: pl.Struct(_schema(leaf)) if isinstance(leaf, dict) else leaf
        for key, leaf in tree.items()
    }
