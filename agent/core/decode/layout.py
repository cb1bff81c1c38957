"""Maps demands to polars schemas and expressions for JSON records.

polars reads newline-delimited JSON with a declared (nested) schema, in which each path has one
dtype. If demands conflict (a path as a string and as a number, or as a value and as an object),
`Layout` distributes them over several reads of the same lines.

A path may lead through arrays: to an element by its index, to the first that a selector matches,
or, with `[]`, to all of them, as a list. For a demand of `pl.Struct`, the column says whether there
is an object.

How polars (2.1, verified by tests) reads values: numbers are strict (an integer column rejects 1.0,
"1" and numbers of more than 64 bits; a float column accepts integers), and so are booleans, objects
and arrays. A String column accepts any value and has its text. Of duplicate keys, the first counts.
A rejected value makes a strict read fail; otherwise it is null, except that a number becomes a
boolean. The reader marks the rows of reads that are not strict as unsure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import polars as pl

from agent.core.decode.format import Demand, DType
from agent.core.decode.single_record import has_long_number
from agent.core.model.paths import Path, Selector

_WIDER_THAN_63_BITS = 19
"""The number of digits of an integer that may be wider than 63 bits."""
_Node = Any  # the members of an object by their keys, an _Array, or the DType of a leaf


@dataclass(frozen=True, slots=True)
class _Array:
    """An array; `element` is the node of its elements."""

    element: _Node


class UnreadableLinesError(Exception):
    """polars could not read a line, or read another number of records than there are lines.

    `is_malformed`: a line is not JSON, so that a read that is not strict fails, too.
    """

    def __init__(self, is_malformed: bool) -> None:
        super().__init__()
        self.is_malformed = is_malformed


class Layout:
    """The reads of the same lines that together provide the columns of all demands."""

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._trees: list[_Node] = []
        self._names: dict[Demand, str] = {}
        placed: list[list[tuple[str, Demand]]] = []
        for demand in demands:
            if demand not in self._names:
                self._names[demand] = name = f"c{len(self._names)}"
                index = self._place(demand)
                placed += [[]] if index == len(placed) else []
                placed[index].append((name, demand))
        self._schemas = [{key: _dtype(node) for key, node in tree.items()} for tree in self._trees]
        self._expressions = [
            _at_key(read, tree, *demand).alias(name)
            for read, (tree, columns) in enumerate(zip(self._trees, placed, strict=True))
            for name, demand in columns
        ]
        self._checks: list[Any] | None = None

    @property
    def reads(self) -> int:
        """The number of reads."""
        return len(self._trees)

    def column(self, demand: Demand) -> str:
        """The name of the column for a demand."""
        return self._names[demand]

    def read(self, joined: bytes, count: int, *, strict: bool) -> pl.DataFrame:
        """Read `count` records, one per line; `columns` makes the columns from the result.

        `joined` is that of a `Chunk`. No record may be blank: then each has at least one line, and
        if there are as many rows as records, each has exactly one. Raises UnreadableLinesError if a
        line is not a JSON object or, if strict, has values of other types than demanded.
        """
        frames = [self._read_one(i, joined, count, strict) for i in range(len(self._trees))]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="horizontal")

    def is_proven(self, line: bytes) -> bool:
        """Whether a record is known to have only values of the demanded types. It is not known for
        large numbers, which a read that is not strict may return as null."""
        if has_long_number(line, _WIDER_THAN_63_BITS):
            return False
        try:
            if self._checks is None:  # raises for keys with quotes or backslashes
                self._checks = [msgspec.json.Decoder(_check(tree)) for tree in self._trees]
            for check in self._checks:
                check.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        return True

    def columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of the demands, from the rows of one or several calls of `read`."""
        return frame.lazy().select(self._expressions).collect()

    def _read_one(self, index: int, joined: bytes, count: int, strict: bool) -> pl.DataFrame:
        try:
            frame = pl.read_ndjson(joined, schema=self._schemas[index], ignore_errors=not strict)
        except (Exception, pl.exceptions.PanicException) as cause:
            # Whatever a library does with the bytes, only these records are affected.
            raise UnreadableLinesError(str(cause).startswith("error parsing line")) from cause
        if frame.height != count:
            raise UnreadableLinesError(is_malformed=True)
        frame.columns = [f"r{index}{_safe(at)}" for at in range(frame.width)]
        return frame

    def _place(self, demand: Demand) -> int:
        """Add a demand to the first read that it does not conflict with; returns its index."""
        for index, tree in enumerate(self._trees):
            if (more := _with(tree, *demand)) is not None:
                self._trees[index] = more
                return index
        self._trees.append(_with({}, *demand))
        return len(self._trees) - 1


def _with(node: _Node, path: Path, dtype: DType) -> _Node:
    """A node (or None) with one more leaf; None if they conflict."""
    if not path:
        if dtype is pl.Struct:
            return node if isinstance(node, dict) else {} if node is None else None
        return dtype if node is None or node is dtype else None
    if isinstance(path[0], str):
        members = {} if node is None else node
        inner = _with(members.get(path[0]), path[1:], dtype) if isinstance(members, dict) else None
        return None if inner is None else {**members, path[0]: inner}
    return _with_element(node, path, dtype) if node is None or isinstance(node, _Array) else None


def _with_element(array: _Array | None, path: Path, dtype: DType) -> _Array | None:
    """The same for an array."""
    element = None if array is None else array.element
    if isinstance(path[0], Selector):
        element = _with(element, (path[0].key,), pl.String)
        if element is None:
            return None
    element = _with(element, path[1:], dtype)
    return None if element is None else _Array(element)


def _at(value: pl.Expr, node: _Node, path: Path, dtype: DType) -> pl.Expr:
    """The expression of a demand, from the value of a node."""
    if not path:
        return value.is_not_null() if dtype is pl.Struct else value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return _at_key(value, node, path, dtype)
    if isinstance(step, int):
        return _at(value.list.get(step, null_on_oob=True), node.element, rest, dtype)
    if isinstance(step, Selector):
        key = _at_key(pl.element(), node.element, (step.key,), pl.String)
        first = value.list.eval(pl.element().filter(key == step.value)).list.first()
        return _at(first, node.element, rest, dtype)
    if not rest and dtype is not pl.Struct:
        return value
    return value.list.eval(_at(pl.element(), node.element, rest, dtype))


def _at_key(value: pl.Expr | int, members: _Node, path: Path, dtype: DType) -> pl.Expr:
    """The same for a member of an object, or of the records of a read (by its index). Members are
    named by their index, because polars interprets `*` and `^…$` as patterns of names."""
    at = list(members).index(path[0])
    if isinstance(value, int):
        member = pl.col(f"r{value}{_safe(at)}")
    else:
        names = [_safe(i) for i in range(len(members))]
        member = value.struct.rename_fields(names).struct.field(names[at])
    return _at(member, members[path[0]], path[1:], dtype)


def _safe(at: int) -> str:
    return f"k{at}"


def _dtype(node: _Node) -> Any:
    if isinstance(node, dict):
        return pl.Struct({key: _dtype(inner) for key, inner in node.items()})
    return pl.List(_dtype(node.element)) if isinstance(node, _Array) else node


_CHECKS: dict[Any, Any] = {
    pl.String: Any,
    pl.Int64: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None,
    pl.Float64: float | None,
    pl.Boolean: bool | None,
}


def _check(node: _Node) -> Any:
    """The msgspec type of a node's values."""
    if isinstance(node, _Array):
        return list[_check(node.element)] | None  # type: ignore[misc]
    if not isinstance(node, dict):
        return _CHECKS[node]
    names = {_safe(i): str(key) for i, key in enumerate(node)}
    members = [(_safe(i), _check(inner), None) for i, inner in enumerate(node.values())]
    return msgspec.defstruct("Members", members, rename=names, gc=False) | None
