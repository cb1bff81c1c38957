"""Validates the columns of records against their contract: types, presence, times, bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, floor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.batch import Batch, Records, Rows
from agent.core.decode.field_values import (
    ExactValues,
    expectation,
    read_field,
    scaled_bound,
    shown,
    time_words,
)
from agent.core.decode.format import (
    Demand,
    Flags,
    Format,
    Kind,
    WrongPlaceError,
    column_path,
    demanded,
    id_demand,
    is_converted,
    text_demand,
    time_demand,
)
from agent.core.decode.repeated_hour import repeated_hours
from agent.core.decode.single_record import expected
from agent.core.decode.time_formats import parse_event_times
from agent.core.decode.time_text import END_MS
from agent.core.decode.tree import describe
from agent.core.model.events import Contract, Field, TimeSource
from agent.core.model.paths import Path, path_text
from agent.core.model.results import Reason

_RAW_TIME = "_raw_time"
_TIME_OF_DAY = "_time_of_day"
_RAW_ID = "_raw_id"
_SEPARATOR, _ESCAPE = "\x1f", "\x1f\x1f"
"""The separator of the parts of an id (U+001F), and its escape within them."""


@dataclass(frozen=True, slots=True)
class Validated:
    """The validated records of a contract.

    `table` has the valid records, with the columns of docs/architecture.md; `problems` has the
    others, as (row, reason, detail). `wrong_types`: by optional field, the rows of the table in
    which it is null because the value has another type. `repeated_ms`: by (row, time), local times
    that occur twice (`agent.core.decode.repeated_hour`), with how much later the second one is.
    """

    table: pl.DataFrame
    problems: list[tuple[int, Reason, str]]
    wrong_types: dict[str, Rows]
    repeated_ms: dict[tuple[int, int], int]


@dataclass(slots=True)
class _Verdicts:
    """The first problem of each row of a table."""

    batch: Batch
    rows: Rows
    bad: Flags
    problems: list[tuple[int, Reason, str]] = field(default_factory=list)

    def reject(self, mask: Flags, reason: Reason, detail: Callable[[int], str]) -> None:
        """Reject the rows of the mask that are not rejected yet; `detail` is called with the index
        in the table."""
        rejected = np.flatnonzero(mask & ~self.bad)
        self.problems.extend((int(self.rows[i]), reason, detail(i)) for i in rejected.tolist())
        self.bad[rejected] = True


class HasColumns(Protocol):
    """Has columns for demands, like a `Reader`."""

    def column(self, demand: Demand) -> str:
        """The name of the column for a demand."""


def columns_of(contract: Contract, reader: HasColumns) -> list[pl.Expr]:
    """The columns of a contract from those of a reader: `_row`, raw times and ids, and the fields
    by name."""
    columns = [pl.col("_row")]
    for i, source in enumerate(contract.times):
        name = reader.column(time_demand(contract, source.path))
        columns.append(pl.col(name).alias(f"{_RAW_TIME}{i}"))
        if source.time_of_day is not None:
            name = reader.column(text_demand(source.time_of_day))
            columns.append(pl.col(name).alias(f"{_TIME_OF_DAY}{i}"))
    for i, path in enumerate(contract.ids):
        name = reader.column(id_demand(contract, path))
        columns.append(pl.col(name).cast(pl.String).alias(f"{_RAW_ID}{i}"))
    for f in contract.fields:
        columns.append(pl.col(reader.column((column_path(f.path), demanded(f)))).alias(f.name))
    return columns


def validate(
    contract: Contract, frame: pl.DataFrame, batch: Batch, format: Format, unsure: Flags
) -> Validated:
    """Validate a contract's columns.

    `frame` has the columns of `columns_of`, in the order of rows; `unsure`: which records of the
    batch may have values of other types (`format.Columns.unsure`).
    """
    rows = frame["_row"].to_numpy().astype(np.int64)
    verdicts = _Verdicts(batch, rows, np.zeros(rows.size, dtype=np.bool_))
    _check_size(contract, verdicts)
    types = _Types(contract, frame, verdicts, format, unsure[rows])
    frame, nulled = types.check()
    for f in contract.fields:
        if f.required and frame[f.name].null_count():
            mask = frame[f.name].is_null().to_numpy()
            verdicts.reject(mask, Reason.MISSING_FIELD, lambda _, f=f: _missing(f))  # type: ignore[misc]
    ms, repeated = _check_time(contract, frame, verdicts)
    for f in contract.fields:
        _check_bounds(f, frame[f.name], verdicts)
    table = _table(contract, frame, verdicts, ms, nulled)
    wrong = {name: rows[mask & ~verdicts.bad] for name, mask in nulled.items()}
    wrong = {name: at for name, at in wrong.items() if at.size}
    repeated_ms = {
        (int(rows[i]), int(ms[i])): later for i, later in repeated.items() if not verdicts.bad[i]
    }
    return Validated(table, verdicts.problems, wrong, repeated_ms)


def _table(
    contract: Contract,
    frame: pl.DataFrame,
    verdicts: _Verdicts,
    ms: npt.NDArray[np.int64],
    nulled: dict[str, Flags],
) -> pl.DataFrame:
    rows, batch = verdicts.rows, verdicts.batch
    fields = [
        pl.when(pl.lit(pl.Series(~nulled[f.name]))).then(pl.col(f.name)).alias(f.name)
        if f.name in nulled
        else pl.col(f.name)
        for f in contract.fields
    ]
    table = frame.select(
        pl.col("_row"),
        pl.Series("_partition", batch.partitions[rows], dtype=pl.Int32),
        pl.Series("_offset", batch.offsets[rows], dtype=pl.Int64),
        pl.Series("_time", ms, dtype=pl.Int64),
        _identity(len(contract.ids)).alias("_id"),
        *fields,
    )
    return table.filter(pl.Series(~verdicts.bad)) if verdicts.problems else table


def _identity(parts: int) -> pl.Expr:
    """The id of an event; null if a part of it is null or empty."""
    raw = [pl.col(f"{_RAW_ID}{i}") for i in range(parts)]
    if not raw:
        return pl.lit(None, dtype=pl.String)
    if len(raw) == 1:
        return pl.when(raw[0] != "").then(raw[0])
    escaped = [part.str.replace_all(_SEPARATOR, _ESCAPE, literal=True) for part in raw]
    joined = pl.concat_str(escaped, separator=f"{_SEPARATOR} ")
    return pl.when(pl.all_horizontal(part != "" for part in raw)).then(joined)


def _check_size(contract: Contract, verdicts: _Verdicts) -> None:
    sizes = verdicts.batch.sizes[verdicts.rows]
    verdicts.reject(
        sizes > contract.max_bytes,
        Reason.TOO_LARGE,
        lambda i: too_large(int(sizes[i]), contract.max_bytes),
    )


def too_large(size: int, most: int) -> str:
    """The detail of a record over the size limit."""
    return f"{size} bytes; at most {most} (max_bytes)"


@dataclass(frozen=True, slots=True, eq=False)
class _Types:
    """Checks whether the values of a contract's records have their types."""

    _contract: Contract
    _frame: pl.DataFrame
    _verdicts: _Verdicts
    _format: Format
    _unsure: Flags

    def check(self) -> tuple[pl.DataFrame, dict[str, Flags]]:
        """Reject records whose time, id or required field has a wrong type. Returns the columns
        with the values of fields, and, by optional field, in which records it has a wrong type."""
        contract = self._contract
        needed = {*(path for source in contract.times for path in source.paths), *contract.ids}
        nulled = {}
        values = []
        for f in contract.fields:
            mask = self._wrong(f.name, f.path, "time" if is_converted(f) else f.type)  # type: ignore[arg-type]
            if is_converted(f) or f.text is not None or f.computed is not None:
                parsed, unread = self._read(f)
                mask = unread if mask is None else mask | unread
                values.append(parsed)
            if mask is None or not mask.any():
                continue
            if f.required or (f.path in needed and not is_converted(f)):
                self._reject(mask, f.path, expectation(f))
            else:
                nulled[f.name] = mask
        others: list[tuple[str, Path, Kind]] = [
            *((f"{_RAW_TIME}{i}", source.path, "time") for i, source in enumerate(contract.times)),
            *(
                (f"{_TIME_OF_DAY}{i}", source.time_of_day, "string")
                for i, source in enumerate(contract.times)
                if source.time_of_day is not None
            ),
            *((f"{_RAW_ID}{i}", path, "id") for i, path in enumerate(contract.ids)),
        ]
        for column, path, kind in others:
            mask = self._wrong(column, path, kind)
            if mask is not None:
                self._reject(mask, path, expected(kind))
        return self._frame.with_columns(values) if values else self._frame, nulled

    def _read(self, f: Field) -> tuple[pl.Series, Flags]:
        """The values of a field, and which of them can't be parsed."""

        def were_strings() -> Flags:
            other = self._wrong(f.name, f.path, "string")
            return np.ones(self._frame.height, np.bool_) if other is None else ~other

        def value(i: int) -> Any:
            try:
                row = int(self._verdicts.rows[i])
                return self._format.value(self._verdicts.batch, row, column_path(f.path))
            except WrongPlaceError:
                return None

        raw, exact = self._frame[f.name], ExactValues(were_strings, value)
        return read_field(f, raw, self._contract.timezone, exact)

    def _wrong(self, column: str, path: Path, kind: Kind) -> Flags | None:
        """Which values have another kind; None: none has."""
        values = self._frame[column]
        if values.dtype != pl.String and not self._unsure.any():
            return None
        records = Records(self._verdicts.batch, self._verdicts.rows)
        mask = self._format.wrong_types(records, values, column_path(path), kind, self._unsure)
        return mask if mask.any() else None

    def _reject(self, mask: Flags, path: Path, wanted: str) -> None:
        def detail(i: int) -> str:
            row = int(self._verdicts.rows[i])
            try:
                value = self._format.value(self._verdicts.batch, row, column_path(path))
            except WrongPlaceError as cause:
                return str(cause)
            return f"{path_text(path)}: expected {wanted}, found {describe(value)}"

        self._verdicts.reject(mask, Reason.WRONG_TYPE, detail)


def _missing(f: Field) -> str:
    return f"{path_text(f.path)}: required, but absent or null"


def _check_time(
    contract: Contract, frame: pl.DataFrame, verdicts: _Verdicts
) -> tuple[Rows, dict[int, int]]:
    """The event times (ms), and which of them occur twice."""
    where = " or ".join(map(str, contract.times))
    missing = np.ones(frame.height, dtype=np.bool_)
    ms, none = np.zeros(frame.height, dtype=np.int64), ~missing
    repeated: dict[int, int] = {}
    for i, source in enumerate(contract.times):
        raw, form = _raw_time(frame, i, source), source.format
        parsed_ms, is_time = parse_event_times(raw, form, contract.timezone)
        is_time &= missing
        ms[is_time] = parsed_ms[is_time]
        repeated |= repeated_hours(raw, form, parsed_ms, is_time, contract.timezone)
        absent = raw.is_null().to_numpy() if raw.null_count() else none
        verdicts.reject(
            missing & ~is_time & ~absent, Reason.BAD_TIME, partial(_bad_time, where, raw, source)
        )
        missing &= absent
        if not missing.any():
            break
    verdicts.reject(missing, Reason.NO_TIME, lambda _: f"{where}: the event time is absent")
    _check_distance(contract, ms, where, verdicts)
    return ms, repeated


def _raw_time(frame: pl.DataFrame, i: int, source: TimeSource) -> pl.Series:
    """The values of a time; null if one of its two parts is."""
    if source.time_of_day is None:
        return frame[f"{_RAW_TIME}{i}"]
    parts = pl.col(f"{_RAW_TIME}{i}").cast(pl.String), pl.col(f"{_TIME_OF_DAY}{i}")
    return frame.select(pl.concat_str(parts, separator=" ")).to_series()


def _bad_time(where: str, raw: pl.Series, source: TimeSource, i: int) -> str:
    if source.format is not None:
        wanted = time_words(source.format)
    elif source.time_of_day is not None:
        wanted = "a date and a time of day in ISO 8601"
    else:
        wanted = (
            "ISO 8601, RFC 2822 or epoch seconds, milliseconds, microseconds or nanoseconds, no "
            "number below 100000000 (March 1973)"
        )
    return f"{where}: expected {wanted}, found {describe(raw[i]).removeprefix('the string ')}"


def _check_distance(contract: Contract, ms: Rows, where: str, verdicts: _Verdicts) -> None:
    """Reject events too far ahead of their record's timestamp, or too far behind it."""
    batch = verdicts.batch
    # Timestamps are clipped to the range of event times. Kafka writes -1 for none; such a record,
    # or one with 0, is only compared with the agent's clock.
    stamps = batch.timestamps[verdicts.rows]
    ahead = np.where(stamps > 0, ms - np.clip(stamps, 0, END_MS), 0)

    def detail(side: str, most_ms: int, setting: str) -> Callable[[int], str]:
        def text(i: int) -> str:
            by = timedelta(seconds=abs(int(ahead[i])) // 1000)
            return (
                f"{where}: {_utc_text(int(ms[i]))} is {by} {side} the record's timestamp; "
                f"at most {timedelta(milliseconds=most_ms)} ({setting})"
            )

        return text

    most = contract.max_future_ms
    verdicts.reject(ahead > most, Reason.FUTURE_TIME, detail("after", most, "max_future"))
    if contract.max_past_ms is not None and batch.timestamped:
        most = contract.max_past_ms
        verdicts.reject(ahead < -most, Reason.PAST_TIME, detail("before", most, "max_past"))


def _utc_text(ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds")


def _check_bounds(f: Field, values: pl.Series, verdicts: _Verdicts) -> None:
    where = path_text(f.path)
    bounds = (("below", "minimum", f.minimum), ("above", "maximum", f.maximum))
    for side, name, bound in bounds:
        if bound is None:
            continue
        limit = scaled_bound(f, bound, ceil if name == "minimum" else floor)
        outside = values < limit if name == "minimum" else values > limit

        def detail(i: int, side: str = side, name: str = name, bound: float = bound) -> str:
            return f"{where}: {shown(f, values[i])} is {side} the {name} {bound:.15g}"

        verdicts.reject(outside.fill_null(False).to_numpy(), Reason.OUT_OF_BOUNDS, detail)
