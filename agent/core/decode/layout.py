"""Which columns a set of contracts needs of a JSON record, and how polars is asked for them.

polars reads newline-delimited JSON against a declared (nested) schema, where each path has one
type. `Layout` spreads demands that contradict each other (a path as a string and as a number, or
as a value and as an object) over several reads of the same lines.

What polars does with a value, as measured with 2.1 and held by tests: numbers are strict (an
integer refuses 1.0, "1" and what exceeds 64 bits; a float takes integers), booleans and objects
too; the first of duplicate keys counts; but a String takes any value and writes it as text. Whoever
asks for a String decides afterwards whether that text may have come from something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
import polars as pl

from agent.core.model.plan import FIELD_DTYPES, Contract, Path

DType = type[pl.DataType]
Demand = tuple[Path, DType]
_Tree = dict[str, Any]  # key → subtree, or the DType of a leaf

_INT64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)


class UnreadableError(Exception):
    """polars could not read some line, or read another number of records than there are lines."""


def join_lines(lines: Sequence[bytes]) -> bytes:
    """Records as the one text that a read takes.

    It begins with a blank: polars decompresses bytes that begin with the magic number of gzip,
    zlib or zstd, and a record is never anything but what its contract says.
    """
    return b"".join((b" ", b"\n".join(lines)))


def type_demands(contracts: Iterable[Contract]) -> list[Demand]:
    """What tells to which contract a record belongs."""
    return [(c.type_path, pl.String) for c in contracts if c.type_path is not None]


def time_dtype(contract: Contract) -> DType:
    """The type by which the time is read: any value as text, unless a field declares its path."""
    declared = [FIELD_DTYPES[f.type] for f in contract.fields if f.path == contract.time_path]
    return declared[0] if declared else pl.String


def id_dtype(contract: Contract) -> DType:
    """The type by which the id is read: text (5 and "5" are one id), or a declared integer."""
    declared = [FIELD_DTYPES[f.type] for f in contract.fields if f.path == contract.id_path]
    return pl.Int64 if declared == [pl.Int64] else pl.String


def demands_of(contract: Contract) -> list[Demand]:
    """All that a contract needs of a record."""
    demands = type_demands([contract])
    demands.extend((f.path, FIELD_DTYPES[f.type]) for f in contract.fields)
    demands.append((contract.time_path, time_dtype(contract)))
    if contract.id_path is not None:
        demands.append((contract.id_path, id_dtype(contract)))
    return demands


class Layout:
    """Reads of the same lines that together answer all demands.

    When a read fails, `screen` finds the bad lines.
    """

    def __init__(self, demands: Iterable[Demand]) -> None:
        self._trees: list[_Tree] = []
        self._names: dict[Demand, str] = {}
        self._expressions: list[list[pl.Expr]] = []
        for demand in demands:
            if demand not in self._names:
                self._place(demand)
        self._schemas = [_schema(tree) for tree in self._trees]
        self._screens = [msgspec.json.Decoder(_struct(tree)) for tree in self._trees]

    @property
    def reads(self) -> int:
        """How often the lines are read."""
        return len(self._trees)

    def column(self, demand: Demand) -> str:
        """The name of the column that answers a demand."""
        return self._names[demand]

    def read(self, joined: bytes, count: int) -> pl.DataFrame:
        """The columns of `count` records that `joined` has, one a line.

        `joined` is what `join_lines` gives. No record may be blank: then each takes a line or
        more, and as many rows as records prove that each took one. Raises UnreadableError when any
        line is not what the demands allow.
        """
        frames = [self._read_one(i, joined, count) for i in range(len(self._trees))]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="horizontal")

    def screen(self, lines: Sequence[bytes]) -> list[int]:
        """Indices, ascending, of lines that msgspec finds unlike the demands.

        Among them are nearly all that the reads refuse (not numbers out of any range), and of those
        that the reads take only lines with a duplicate key, of which msgspec takes the last.
        """
        bad = {i for i, line in enumerate(lines) if not _is_flat_text(line)}
        for screen in self._screens:
            decode = screen.decode
            for i, line in enumerate(lines):
                try:
                    decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    bad.add(i)
        return sorted(bad)

    def _read_one(self, index: int, joined: bytes, count: int) -> pl.DataFrame:
        try:
            frame = pl.read_ndjson(joined, schema=self._schemas[index])
        except (Exception, pl.exceptions.PanicException) as cause:
            # Whatever a library makes of the bytes, it costs no more than the records it is about.
            raise UnreadableError from cause
        if frame.height != count:
            raise UnreadableError
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


def _is_flat_text(line: bytes) -> bool:
    """Whether the line is UTF-8 (msgspec skips what it isn't asked for) without line breaks."""
    if line.isascii():
        return b"\n" not in line
    try:
        return "\n" not in line.decode()
    except UnicodeDecodeError:
        return False


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


def _struct(tree: _Tree) -> Any:
    """A msgspec type as strict as the read. Text is any value: who asked for it checks it."""
    types: dict[DType, Any] = {
        pl.String: Any,
        pl.Int64: Annotated[int, _INT64] | None,
        pl.Float64: float | None,
        pl.Boolean: bool | None,
    }
    fields = []
    for number, leaf in enumerate(tree.values()):
        found = _struct(leaf) | None if isinstance(leaf, dict) else types[leaf]
        fields.append((f"f{number}", found, None))
    names = {f"f{number}": key for number, key in enumerate(tree)}
    return msgspec.defstruct("Screen", fields, rename=names, gc=False)
