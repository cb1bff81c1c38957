"""Which columns a set of demands needs of JSON records, and how polars is asked for them.

polars reads newline-delimited JSON against a declared (nested) schema, where each path has one
type. `Layout` spreads demands that contradict each other (a path as a string and as a number, or
as a value and as an object) over several reads of the same lines.

What polars does with a value, as measured with 2.1 and held by tests: numbers are strict (an
integer refuses 1.0, "1" and what exceeds 64 bits; a float takes integers), booleans and objects
too; the first of duplicate keys counts; but a String takes any value and writes it as text. What is
refused fails a strict read, and is null in one that is not strict, except that a number becomes a
boolean there: the reader notes such rows as unsure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from agent.core.decode.format import Demand, DType
from agent.core.model.paths import Keys

_Tree = dict[str, Any]  # key → subtree, or the DType of a leaf


class UnreadableLinesError(Exception):
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
        placed: list[list[tuple[str, Keys]]] = []
        for demand in demands:
            if demand not in self._names:
                self._names[demand] = name = f"c{len(self._names)}"
                index = self._place(demand)
                placed += [[]] if index == len(placed) else []
                placed[index].append((name, demand[0]))
        self._schemas = [_schema(tree) for tree in self._trees]
        self._expressions = [
            _expression(read, tree, path).alias(name)
            for read, (tree, columns) in enumerate(zip(self._trees, placed, strict=True))
            for name, path in columns
        ]

    @property
    def reads(self) -> int:
        """How often the lines are read."""
        return len(self._trees)

    def column(self, demand: Demand) -> str:
        """The name of the column that answers a demand."""
        return self._names[demand]

    def read(self, joined: bytes, count: int, *, strict: bool) -> pl.DataFrame:
        """What `columns` makes the columns of: of `count` records that `joined` has, one a line.

        `joined` is what `join_lines` gives. No record may be blank: then each takes a line or
        more, and as many rows as records prove that each took one. Raises UnreadableLinesError
        when any line is no JSON object or, if strict, not what the demands allow.
        """
        frames = [self._read_one(i, joined, count, strict) for i in range(len(self._trees))]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="horizontal")

    def columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that answer the demands, of one or several reads below each other."""
        return frame.select(self._expressions)

    def _read_one(self, index: int, joined: bytes, count: int, strict: bool) -> pl.DataFrame:
        try:
            frame = pl.read_ndjson(joined, schema=self._schemas[index], ignore_errors=not strict)
        except (Exception, pl.exceptions.PanicException) as cause:
            # Whatever a library makes of the bytes, it costs the records that it is about alone.
            raise UnreadableLinesError(str(cause).startswith("error parsing line")) from cause
        if frame.height != count:
            raise UnreadableLinesError(is_malformed=True)
        frame.columns = [f"r{index}{_safe(at)}" for at in range(frame.width)]
        return frame

    def _place(self, demand: Demand) -> int:
        """Puts a demand into the first read that it does not contradict; the read's number."""
        path, dtype = demand
        for index, tree in enumerate(self._trees):
            if _insert(tree, path, dtype):
                return index
        self._trees.append({})
        _insert(self._trees[-1], path, dtype)
        return len(self._trees) - 1


def _expression(read: int, tree: _Tree, path: Keys) -> pl.Expr:
    """The value at a path of a read. Columns are named by where they stand: polars takes `*` and
    what begins with `^` and ends with `$` for patterns of names."""
    expression = pl.col(f"r{read}{_safe(list(tree).index(path[0]))}")
    at = tree[path[0]]
    for key in path[1:]:
        names = [_safe(i) for i in range(len(at))]
        expression = expression.struct.rename_fields(names).struct.field(names[list(at).index(key)])
        at = at[key]
    return expression


def _safe(at: int) -> str:
    return f"k{at}"


def _insert(tree: _Tree, path: Keys, dtype: DType) -> bool:
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
