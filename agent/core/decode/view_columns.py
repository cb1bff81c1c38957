"""The columns from which a contract reads the events and lines of the records of one view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from agent.core.decode.envelope import PathCondition, View
from agent.core.decode.extraction import Extractor
from agent.core.decode.format import (
    Demand,
    DType,
    Format,
    Kind,
    demands_of,
    is_converted,
    times_of_day,
)
from agent.core.decode.record_columns import has_column
from agent.core.model.events import Contract
from agent.core.model.field_types import NumberFormat
from agent.core.model.paths import Elements, Path, Root

_INDEX = Root("index")
_EACH = Elements()


@dataclass(frozen=True, slots=True)
class Source:
    """A demanded column: a path that starts at the record, and a dtype; lists if the path leads
    through `[]`."""

    path: Path
    dtype: DType

    @property
    def root(self) -> Root | None:
        """The root of the path, if it does not start in the record's value."""
        return self.path[0] if isinstance(self.path[0], Root) else None

    @property
    def depth(self) -> int:
        """The number of arrays that the path leads through."""
        return self.path.count(_EACH)


Column = Callable[[Source], str]
"""The name of a source's column."""


@dataclass(frozen=True)
class ViewColumns:
    """The columns from which a contract reads records of one view.

    - `conditions`: the columns that distinguish these records from others.
    - `type`: the column of the event's type, and its value. `event`: whether there is an event.
    - `array`: a column whose lists have an item for each line; None: an event is its only line.
    - `members`: the columns of the documents (`extraction`).
    - `proofs`: the String columns whose values must be proven to have been strings, or ids.
    - `times`: the members that are times whose unit the schema of the payload may say.
    """

    view: View
    conditions: tuple[tuple[Source, PathCondition], ...]
    type: tuple[Source, str] | None
    event: Source | None
    array: Source | None
    members: Mapping[Demand, Source]
    proofs: tuple[tuple[Source, Kind], ...]
    times: tuple[Demand, ...]

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """All columns that are read."""
        conditions = (source for source, _ in self.conditions)
        own = (self.type[0] if self.type else None, self.event, self.array, *self.members.values())
        return tuple(dict.fromkeys(s for s in (*conditions, *own) if s and s.root != _INDEX))

    def is_viewed(self, column: Column) -> pl.Expr:
        """Which records match the view."""
        return pl.all_horizontal(
            pl.lit(True),
            *(_meets(pl.col(column(source)), condition) for source, condition in self.conditions),
        )

    def events(self, records: pl.DataFrame, column: Column) -> pl.DataFrame:
        """The events of the contract's type in records: `_row`, `_event`, and the columns."""
        frame = records.select("_row", *dict.fromkeys(map(column, self.sources)))
        if self.type is not None and self.type[0].depth == 0:
            frame = frame.filter(pl.col(column(self.type[0])) == self.type[1])
        for level in range(self._event_depth):
            frame = self._exploded(frame, level, column)
        if self.type is not None and self.type[0].depth > 0:
            frame = frame.filter(pl.col(column(self.type[0])) == self.type[1])
        return frame.with_columns(pl.int_range(pl.len()).alias("_event"))

    def lines(self, events: pl.DataFrame, column: Column) -> pl.DataFrame:
        """The lines of events: the same columns, and `_index`, the index of a line in its event."""
        frame = events
        for level in range(self._event_depth, self.array.depth if self.array else 0):
            frame = self._exploded(frame, level, column)
        event = frame["_event"].to_numpy()
        index = np.arange(event.size) - np.searchsorted(event, event)
        return frame.with_columns(pl.Series("_index", index, dtype=pl.Int64))

    def member(self, demand: Demand, column: Column) -> pl.Expr:
        """A column of the documents, from the lines."""
        source = self.members[demand]
        name = "_index" if source.root == _INDEX else column(source)
        return pl.col(name).cast(source.dtype).alias(self.column(demand))

    def column(self, demand: Demand) -> str:
        """The name of a column of the documents."""
        return f"d{list(self.members).index(demand)}"

    @property
    def _event_depth(self) -> int:
        return self.view.event.count(_EACH)

    def _exploded(self, frame: pl.DataFrame, level: int, column: Column) -> pl.DataFrame:
        """A row for each element of the arrays at a level; none for rows without elements."""
        lists = [s for s in self.sources if s.depth > level]
        names = list(dict.fromkeys(map(column, lists)))
        items = pl.col(column(self.array))  # type: ignore[arg-type]
        return frame.filter(items.list.len() > 0).explode(names)


def view_columns(extractor: Extractor, view: View, format: Format) -> ViewColumns | None:
    """The columns from which a contract reads records of a view; None: they can't be read by
    columns."""
    contract = extractor.contract
    if contract.decode:
        return None
    kinds = dict(_kinds(extractor.flat))
    members: dict[Demand, Source] = {}
    proofs = []
    for demand in demands_of(extractor.flat):
        path = view.path(extractor.path_of(demand[0]))
        if path is None:
            return None
        members[demand] = source = Source(path, demand[1])
        kind = kinds.get(demand[0]) if demand[1] == pl.String else None
        if source.root is None:
            proofs += [(source, kind)] if kind is not None else []
        elif not has_column(source.root, source.dtype, is_text=kind == "string"):
            return None
    type_ = None if contract.type_path is None else view.path(contract.type_path)
    each = None if contract.each is None else view.path((*contract.each, _EACH))
    lines = each or (view.event if view.has_many else None)
    event = view.event if view.event and not view.has_many else None
    columns = ViewColumns(
        view,
        tuple(
            (_condition_source(path, condition), condition) for path, condition in view.conditions
        ),
        None
        if contract.type_path is None
        else (Source(type_ or (), pl.String), contract.type_value),
        Source(event, pl.Struct) if event else None,
        None if lines is None else _array(lines, members),
        members,
        tuple(proofs),
        tuple(
            demand
            for demand, source in members.items()
            if _has_unit(extractor, view, demand, source)
        ),
    )
    is_reached = all(_is_reached(source, lines, format) for source in columns.sources)
    return columns if is_reached and (type_ or contract.type_path is None) else None


def _has_unit(extractor: Extractor, view: View, demand: Demand, source: Source) -> bool:
    """Whether a member is a time whose unit the schema of the payload may say."""
    path, dtype = demand
    is_text = dtype == pl.String and source.path[0] == "payload"
    is_around = extractor.path_of(path)[0] == Root("envelope") and not view.envelope
    return view.has_schema and is_text and extractor.is_time(path) and not is_around


def _kinds(contract: Contract) -> Iterator[tuple[Path, Kind]]:
    """The kinds that must be proven for String columns, by path: strings, or ids."""
    for path in contract.ids:
        yield path, "id"
    for path in times_of_day(contract):
        yield path, "string"
    for f in contract.fields:
        is_grouped = isinstance(f.format, NumberFormat) and f.format.group == "."
        if is_grouped or not is_converted(f):  # the string "1.234" and the number are different
            yield f.path, "string"


def _condition_source(path: Path, condition: PathCondition) -> Source:
    return Source(path, pl.Struct if condition == "object" else pl.String)


def _meets(values: pl.Expr, condition: PathCondition) -> pl.Expr:
    if condition == "object":
        return values
    if condition == "absent":
        return values.is_null()
    return (
        values.is_not_null()
        if condition == "text"
        else values.is_in(list(condition)).fill_null(False)
    )


def _array(lines: Path, members: Mapping[Demand, Source]) -> Source:
    """A column whose lists have an item for each line: a member, or whether lines are objects."""
    own = (source for source in members.values() if source.path == lines)
    return next(own, Source(lines, pl.Struct))


def _is_reached(source: Source, lines: Path | None, format: Format) -> bool:
    """Whether a column can be read, and its arrays are those of the lines."""
    if source.root is not None:
        return has_column(source.root, source.dtype, is_text=False)
    begin = source.path[: _last_array(source.path)]
    return begin == (lines or ())[: len(begin)] and format.reaches((source.path, source.dtype))


def _last_array(path: Path) -> int:
    """The number of steps up to the last `[]` of a path; 0 without one."""
    return max((i + 1 for i, step in enumerate(path) if step == _EACH), default=0)
