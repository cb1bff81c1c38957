"""A contract's promises compared with the columns of its records: types, presence, times,
bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, floor

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.batch import Batch, Records, Rows
from agent.core.decode.event_time import parse_times
from agent.core.decode.field_values import expectation, read_field, scaled_bound, shown
from agent.core.decode.format import (
    Flags,
    Format,
    Kind,
    Reader,
    WrongPlaceError,
    demanded,
    id_dtype,
    is_converted,
    time_dtype,
)
from agent.core.decode.repeated_hour import repeated_hours
from agent.core.decode.single_record import describe, expected
from agent.core.decode.time_text import END_MS
from agent.core.model.events import Contract, Field, Path
from agent.core.model.results import Reason

_RAW_TIME = "_raw_time"
_RAW_ID = "_raw_id"


@dataclass(frozen=True, slots=True)
class Validated:
    """What a contract makes of its records.

    `table` has the columns of docs/architecture.md, of the records that are as promised.
    `problems` are the others, as (row, reason, detail). `wrong_types`: by optional field, the rows
    of the table in which it is null because something of another type stands there.
    `repeated_ms`: the rows whose local time happens twice (`agent.core.decode.repeated_hour`).
    """

    table: pl.DataFrame
    problems: list[tuple[int, Reason, str]]
    wrong_types: dict[str, Rows]
    repeated_ms: dict[int, int]


@dataclass(slots=True)
class _Verdicts:
    """The first problem of each row of a table."""

    batch: Batch
    rows: Rows
    bad: Flags
    problems: list[tuple[int, Reason, str]] = field(default_factory=list)

    def reject(self, mask: Flags, reason: Reason, detail: Callable[[int], str]) -> None:
        """Rejects the rows of the mask that are not yet; `detail` takes the index in the table."""
        found = np.flatnonzero(mask & ~self.bad)
        self.problems.extend((int(self.rows[i]), reason, detail(i)) for i in found.tolist())
        self.bad[found] = True


def columns_of(contract: Contract, reader: Reader) -> list[pl.Expr]:
    """A contract's columns by their names, out of those of a reader: `_row`, raw time and id."""
    time = reader.column((contract.time_path, time_dtype(contract)))
    found = [pl.col("_row"), pl.col(time).alias(_RAW_TIME)]
    if contract.id_path is None:
        found.append(pl.lit(None, dtype=pl.String).alias(_RAW_ID))
    else:
        name = reader.column((contract.id_path, id_dtype(contract)))
        found.append(pl.col(name).cast(pl.String).alias(_RAW_ID))
    for f in contract.fields:
        found.append(pl.col(reader.column((f.path, demanded(f)))).alias(f.name))
    return found


def validate(
    contract: Contract, frame: pl.DataFrame, batch: Batch, format: Format, unsure: Flags
) -> Validated:
    """Holds a contract's columns against it.

    `frame` is what `columns_of` gives, in the order of rows; `unsure` says of which records of the
    batch the columns are unsure.
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
    repeated = {int(rows[i]): later for i, later in repeated.items() if not verdicts.bad[i]}
    return Validated(table, verdicts.problems, wrong, repeated)


def _table(
    contract: Contract,
    frame: pl.DataFrame,
    verdicts: _Verdicts,
    ms: npt.NDArray[np.int64],
    nulled: dict[str, Flags],
) -> pl.DataFrame:
    rows, batch = verdicts.rows, verdicts.batch
    raw_id = pl.col(_RAW_ID)
    if contract.id_path is not None:
        raw_id = pl.when(raw_id != "").then(raw_id)
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
        raw_id.alias("_id"),
        *fields,
    )
    return table.filter(pl.Series(~verdicts.bad)) if verdicts.problems else table


def _check_size(contract: Contract, verdicts: _Verdicts) -> None:
    if verdicts.batch.longest <= contract.max_bytes:
        return
    records = Records(verdicts.batch, verdicts.rows)
    sizes = np.fromiter(map(len, records.all()), np.int64, verdicts.rows.size)
    verdicts.reject(
        sizes > contract.max_bytes,
        Reason.TOO_LARGE,
        lambda i: too_large(int(sizes[i]), contract.max_bytes),
    )


def too_large(size: int, most: int) -> str:
    """The detail of a record over the size limit."""
    return f"{size} bytes; at most {most} (max_bytes)"


class _Types:
    """Whether the values of a contract's records are of their types."""

    def __init__(
        self,
        contract: Contract,
        frame: pl.DataFrame,
        verdicts: _Verdicts,
        format: Format,
        unsure: Flags,
    ) -> None:
        self._contract = contract
        self._frame = frame
        self._verdicts = verdicts
        self._format = format
        self._unsure = unsure

    def check(self) -> tuple[pl.DataFrame, dict[str, Flags]]:
        """Rejects records whose time, id or required field is of a wrong type. Returns the columns
        with the fields' values, and, by name, in which records an optional field is."""
        contract = self._contract
        nulled = {}
        values = []
        for f in contract.fields:
            mask = self._wrong(f.name, f.path, "time" if is_converted(f) else f.type)  # type: ignore[arg-type]
            if is_converted(f) or f.text is not None:
                column, unread = self._read(f)
                mask = unread if mask is None else mask | unread
                values.append(column)
            if mask is None or not mask.any():
                continue
            is_other = f.path in (contract.time_path, contract.id_path) and not is_converted(f)
            if f.required or is_other:
                self._reject(mask, f.path, expectation(f))
            else:
                nulled[f.name] = mask
        others: list[tuple[str, Path | None, Kind]] = [
            (_RAW_TIME, contract.time_path, "time"),
            (_RAW_ID, contract.id_path, "id"),
        ]
        for column_name, path, kind in others:
            mask = None if path is None else self._wrong(column_name, path, kind)
            if path is not None and mask is not None:
                self._reject(mask, path, expected(kind))
        return self._frame.with_columns(values) if values else self._frame, nulled

    def _read(self, f: Field) -> tuple[pl.Series, Flags]:
        """A field's values, and which of them can't be read."""

        def was_text() -> Flags:
            other = self._wrong(f.name, f.path, "string")
            return np.ones(self._frame.height, np.bool_) if other is None else ~other

        return read_field(f, self._frame[f.name], self._contract.timezone, was_text)

    def _wrong(self, column: str, path: Path, kind: Kind) -> Flags | None:
        """Which values are of another type; None where none is."""
        values = self._frame[column]
        if values.dtype != pl.String and not self._unsure.any():
            return None
        records = Records(self._verdicts.batch, self._verdicts.rows)
        mask = self._format.wrong_types(records, values, path, kind, self._unsure)
        return mask if mask.any() else None

    def _reject(self, mask: Flags, path: Path, wanted: str) -> None:
        def detail(i: int) -> str:
            record = self._verdicts.batch.value(int(self._verdicts.rows[i]))
            try:
                found = self._format.value(record, path)
            except WrongPlaceError as cause:
                return str(cause)
            return f"{'.'.join(path)}: expected {wanted}, found {describe(found)}"

        self._verdicts.reject(mask, Reason.WRONG_TYPE, detail)


def _missing(f: Field) -> str:
    return f"{'.'.join(f.path)}: required, but absent or null"


def _check_time(
    contract: Contract, frame: pl.DataFrame, verdicts: _Verdicts
) -> tuple[Rows, dict[int, int]]:
    """Event times (ms), and which of them happen twice."""
    raw = frame[_RAW_TIME]
    ms, readable = parse_times(raw, contract.timezone)
    where = ".".join(contract.time_path)
    if not readable.all():
        verdicts.reject(
            raw.is_null().to_numpy(), Reason.NO_TIME, lambda _: f"{where}: the event time is absent"
        )
        verdicts.reject(
            ~readable,
            Reason.BAD_TIME,
            lambda i: (
                f"{where}: expected ISO 8601 or epoch seconds, milliseconds, microseconds or "
                f"nanoseconds, no number below 100000000 (March 1973), found "
                f"{describe(raw[i]).removeprefix('the string ')}"
            ),
        )
    _check_distance(contract, ms, where, verdicts)
    return ms, repeated_hours(raw, ms, readable, contract.timezone)


def _check_distance(contract: Contract, ms: Rows, where: str, verdicts: _Verdicts) -> None:
    """Neither too far ahead of the record's timestamp nor too far behind it."""
    batch = verdicts.batch
    # No timestamp of a record, however wild, is outside what an event time may be. Kafka's -1 and
    # 0 are none: only the agent's clock evaluates such a record.
    stamps = batch.timestamps[verdicts.rows]
    ahead = np.where(stamps > 0, ms - np.clip(stamps, 0, END_MS), 0)

    def detail(side: str, most_ms: int, setting: str) -> Callable[[int], str]:
        def say(i: int) -> str:
            by = timedelta(seconds=abs(int(ahead[i])) // 1000)
            return (
                f"{where}: {_utc_text(int(ms[i]))} is {by} {side} the record's timestamp; "
                f"at most {timedelta(milliseconds=most_ms)} ({setting})"
            )

        return say

    most = contract.max_future_ms
    verdicts.reject(ahead > most, Reason.FUTURE_TIME, detail("after", most, "max_future"))
    if contract.max_past_ms is not None and batch.timestamped:
        most = contract.max_past_ms
        verdicts.reject(ahead < -most, Reason.PAST_TIME, detail("before", most, "max_past"))


def _utc_text(ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds")


def _check_bounds(f: Field, values: pl.Series, verdicts: _Verdicts) -> None:
    where = ".".join(f.path)
    bounds = (("below", "minimum", f.minimum), ("above", "maximum", f.maximum))
    for side, name, bound in bounds:
        if bound is None:
            continue
        limit = scaled_bound(f, bound, ceil if name == "minimum" else floor)
        outside = values < limit if name == "minimum" else values > limit

        def detail(i: int, side: str = side, name: str = name, bound: float = bound) -> str:
            return f"{where}: {shown(f, values[i])} is {side} the {name} {bound:.15g}"

        verdicts.reject(outside.fill_null(False).to_numpy(), Reason.OUT_OF_BOUNDS, detail)
