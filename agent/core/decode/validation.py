"""A contract's promises held against the columns of its records: types, presence, times, bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.event_time import END_MS, parse_times
from agent.core.decode.layout import Layout, id_dtype, time_dtype
from agent.core.decode.single_record import (
    all_strings,
    describe,
    is_string_at,
    read_object,
    type_problem,
)
from agent.core.model.plan import FIELD_DTYPES, Contract, Field, Path
from agent.core.model.results import Reason

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_RAW_TIME = "_raw_time"
_RAW_ID = "_raw_id"

# How polars writes what is no string into a String column: numbers without exponent, true, false,
# objects and arrays. A string may look like that too; then the bytes decide.
_MAYBE_NO_STRING = r"(?s)^(?:-?[0-9]+(?:\.[0-9]+)?|true|false|\{.*|\[.*)$"
_MAYBE_NO_ID = r"(?s)^(?:-?[0-9]+\.[0-9]+|true|false|\{.*|\[.*)$"


@dataclass(frozen=True, slots=True)
class Source:
    """The batch that the rows of a table came from, by row."""

    values: Sequence[bytes | None]
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    timestamped: bool

    def line(self, row: int) -> bytes:
        """The bytes of a record that is not a tombstone."""
        return self.values[row] or b""


@dataclass(slots=True)
class _Verdicts:
    """The first problem of each row of a table."""

    source: Source
    rows: Rows
    bad: Flags
    problems: list[tuple[int, Reason, str]] = field(default_factory=list)

    def reject(self, mask: Flags, reason: Reason, detail: Callable[[int], str]) -> None:
        """Rejects the rows of the mask that are not yet; `detail` takes the index in the table."""
        found = np.flatnonzero(mask & ~self.bad)
        self.problems.extend((int(self.rows[i]), reason, detail(i)) for i in found.tolist())
        self.bad[found] = True


def columns_of(contract: Contract, layout: Layout) -> list[pl.Expr]:
    """A contract's columns by their names, out of those of a layout: `_row`, raw time and id."""
    time = layout.column((contract.time_path, time_dtype(contract)))
    found = [pl.col("_row"), pl.col(time).alias(_RAW_TIME)]
    if contract.id_path is None:
        found.append(pl.lit(None, dtype=pl.String).alias(_RAW_ID))
    else:
        name = layout.column((contract.id_path, id_dtype(contract)))
        found.append(pl.col(name).cast(pl.String).alias(_RAW_ID))
    for f in contract.fields:
        found.append(pl.col(layout.column((f.path, FIELD_DTYPES[f.type]))).alias(f.name))
    return found


def may_be_no_string(text: str) -> bool:
    """Whether polars may have written the text for something that is no string in the JSON."""
    return re.search(_MAYBE_NO_STRING, text) is not None


def not_strings(
    source: Source, rows: Rows, values: pl.Series, path: Path, *, or_integer: bool = False
) -> Flags:
    """Which values of a String column were something else in the JSON (null is not)."""
    pattern = _MAYBE_NO_ID if or_integer else _MAYBE_NO_STRING
    doubtful = values.str.contains(pattern).fill_null(False).to_numpy(writable=True)
    where = np.flatnonzero(doubtful)
    if where.size == 0:
        return doubtful
    lines = [source.line(row) for row in rows[where].tolist()]
    if all_strings(lines, path[-1]):
        doubtful[:] = False
    else:
        doubtful[where] = [not is_string_at(line, path, or_integer) for line in lines]
    return doubtful


def judge(
    contract: Contract, frame: pl.DataFrame, source: Source, longest: int
) -> tuple[pl.DataFrame, list[tuple[int, Reason, str]]]:
    """The contract's table (see docs/architecture.md) and the rejected rows, each with its reason.

    `frame` is what `columns_of` gives, in the order of rows; no record has more than `longest`
    bytes.
    """
    rows = frame["_row"].to_numpy().astype(np.int64)
    verdicts = _Verdicts(source, rows, np.zeros(rows.size, dtype=np.bool_))
    if longest > contract.max_bytes:
        _check_size(contract, verdicts)
    _check_strings(contract, frame, verdicts)
    for f in contract.fields:
        if f.required and frame[f.name].null_count():
            mask = frame[f.name].is_null().to_numpy()
            verdicts.reject(mask, Reason.MISSING_FIELD, lambda _, f=f: _missing(f))  # type: ignore[misc]
    ms = _check_time(contract, frame, verdicts)
    for f in contract.fields:
        _check_bounds(f, frame[f.name], verdicts)
    partitions, offsets = source.partitions[rows], source.offsets[rows]
    raw_id = pl.col(_RAW_ID)
    if contract.id_path is not None:
        raw_id = pl.when(raw_id != "").then(raw_id)
    table = frame.select(
        pl.col("_row"),
        pl.Series("_partition", partitions, dtype=pl.Int32),
        pl.Series("_offset", offsets, dtype=pl.Int64),
        pl.Series("_time", ms, dtype=pl.Int64),
        raw_id.alias("_id"),
        *(pl.col(f.name) for f in contract.fields),
    )
    if verdicts.problems:
        table = table.filter(pl.Series(~verdicts.bad))
    return table, verdicts.problems


def _check_size(contract: Contract, verdicts: _Verdicts) -> None:
    source = verdicts.source
    sizes = np.fromiter(
        (len(source.line(row)) for row in verdicts.rows.tolist()), np.int64, verdicts.rows.size
    )
    verdicts.reject(
        sizes > contract.max_bytes,
        Reason.TOO_LARGE,
        lambda i: too_large(int(sizes[i]), contract.max_bytes),
    )


def too_large(size: int, most: int) -> str:
    """The detail of a record over the size limit."""
    return f"{size} bytes; at most {most} (max_bytes)"


def _check_strings(contract: Contract, frame: pl.DataFrame, verdicts: _Verdicts) -> None:
    texts = [(f.name, f.path, False) for f in contract.fields if f.type == "string"]
    if contract.id_path is not None and id_dtype(contract) is pl.String:
        texts.append((_RAW_ID, contract.id_path, True))
    if not texts:
        return
    doubts = frame.select(
        pl.col(name).str.contains(_MAYBE_NO_ID if is_id else _MAYBE_NO_STRING).any().alias(str(i))
        for i, (name, _, is_id) in enumerate(texts)
    ).row(0)

    def detail(i: int) -> str:
        record = read_object(verdicts.source.line(int(verdicts.rows[i])))
        problem = type_problem(contract, record) if isinstance(record, dict) else None
        return problem or "a value is of the wrong type"

    for (name, path, is_id), doubt in zip(texts, doubts, strict=True):
        if doubt:
            mask = not_strings(verdicts.source, verdicts.rows, frame[name], path, or_integer=is_id)
            verdicts.reject(mask, Reason.WRONG_TYPE, detail)


def _missing(f: Field) -> str:
    return f"{'.'.join(f.path)}: required, but absent or null"


def _check_time(
    contract: Contract, frame: pl.DataFrame, verdicts: _Verdicts
) -> npt.NDArray[np.int64]:
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
                f"{where}: expected ISO 8601 or epoch seconds, milliseconds or microseconds, up to "
                f"9999 and no number below 100000000 (March 1973), found "
                f"{describe(raw[i]).removeprefix('the string ')}"
            ),
        )
    _check_distance(contract, ms, where, verdicts)
    return ms


def _check_distance(contract: Contract, ms: Rows, where: str, verdicts: _Verdicts) -> None:
    """Neither too far ahead of the record's timestamp nor too far behind it."""
    source = verdicts.source
    # No timestamp of a record, however wild, is outside what an event time may be. Kafka's -1 and
    # 0 are none: only the agent's clock judges such a record.
    stamps = source.timestamps[verdicts.rows]
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
    if contract.max_past_ms is not None and source.timestamped:
        most = contract.max_past_ms
        verdicts.reject(ahead < -most, Reason.PAST_TIME, detail("before", most, "max_past"))


def _utc_text(ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds")


def _check_bounds(f: Field, values: pl.Series, verdicts: _Verdicts) -> None:
    where = ".".join(f.path)
    low, high = f.minimum, f.maximum
    if low is not None:
        below = (values < low).fill_null(False).to_numpy()
        verdicts.reject(
            below,
            Reason.OUT_OF_BOUNDS,
            lambda i: f"{where}: {values[i]} is below the minimum {low:.15g}",
        )
    if high is not None:
        above = (values > high).fill_null(False).to_numpy()
        verdicts.reject(
            above,
            Reason.OUT_OF_BOUNDS,
            lambda i: f"{where}: {values[i]} is above the maximum {high:.15g}",
        )
