"""Reads the files of lookups, CSV or NDJSON, into typed tables; reports each error at its line.

A lookup from a topic is an empty table here: its rows are read at run time.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from agent.core.decode.event_time import parse_times
from agent.core.model.events import FIELD_DTYPES
from agent.core.model.lookups import ALWAYS_MS, FROM, UNTIL, Lookup, LookupTopic, cell_of_json
from agent.core.output.messages import iso
from agent.language.compile.kpis import digest
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.lookups import ColumnType, LookupSpec
from agent.language.problems import Problem, suggest

MAX_BYTES = 64 * 2**20
"""Of a file: every worker holds the table in memory, at about the same size."""
MOST_PROBLEMS = 10
"""Of one file: a wrong type is mostly in every row."""

_LINE = "_line"
_WRONG: Mapping[ColumnType, tuple[str, str]] = {
    "integer": ("a whole number", "digits only: 1200"),
    "float": ("a number", "write digits with a decimal point: 1234.5"),
    "boolean": ("true or false", "write true or false"),
    "string": ("text", "put it in quotes"),
}


@dataclass(slots=True)
class _File:
    """One file: its cells by column, and the line that each row begins in (from 1).

    A cell is text, or a JSON value; None where it is empty or null.
    """

    name: str
    entry: Entry[LookupSpec]
    lines: list[str] = field(default_factory=list)
    cells: dict[str, list[Any]] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    is_json: bool = False

    def wrong(self, line: int, message: str, hint: str | None = None, part: str = "") -> None:
        """Add a problem in a line; `part` is underlined."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        at = text.find(part) if part else 0
        span = (at, at + len(part)) if part and at >= 0 else (0, max(1, len(text)))
        where = f"lookups.{self.entry.name}"
        problem = Problem(
            self.name, line, span[0] + 1, span[1] + 1, where, message, hint, "error", text
        )
        self.problems.append(problem)

    def report(self, declared: Declared) -> None:
        """Report the first MOST_PROBLEMS problems, and how many more there are."""
        declared.problems.extend(self.problems[:MOST_PROBLEMS])
        more = len(self.problems) - MOST_PROBLEMS
        if more > 0:
            message = f"{more} more mistakes in {self.name}"
            declared.report(self.entry, ("file",), message, "fix the first one, and check again")


def read_all(declared: Declared) -> dict[str, Lookup]:
    """The tables of all lookups whose files are valid; reports what is wrong with the others."""
    tables: dict[str, Lookup] = {}
    for name, entry in declared.lookups.items():
        if entry.holes or not (entry.model.file or entry.model.topic):
            continue
        if entry.model.topic is not None:
            tables[name] = _of_topic(declared, entry, entry.model.topic)
            continue
        file = _File(str(Path(entry.source.name).parent / (entry.model.file or "")), entry)
        raw = _bytes(declared, file)
        if raw is None:
            continue
        _parse(file, raw)
        table = None if file.problems else _table(file, zone_of(declared, entry.model.timezone))
        file.report(declared)
        if table is not None and not file.problems:
            tables[name] = _lookup(entry, table)
    return tables


def _of_topic(declared: Declared, entry: Entry[LookupSpec], topic: str) -> Lookup:
    """A lookup whose rows are in a topic."""
    model = entry.model
    names = dict.fromkeys((*model.keys, *model.columns))
    schema = {name: FIELD_DTYPES[model.type_of(name) or "string"] for name in names}
    rows = LookupTopic(topic, model.from_, model.until, zone_of(declared, model.timezone))
    digests = {name: digest([astuple(rows), model.keys, name, str(schema[name])]) for name in names}
    table = pl.DataFrame(schema=schema | {FROM: pl.Int64(), UNTIL: pl.Int64()})
    return Lookup(entry.name, model.keys, table, True, digests, "", rows)


def _bytes(declared: Declared, file: _File) -> bytes | None:
    path = Path(file.name)
    try:
        if path.stat().st_size <= MAX_BYTES:
            return path.read_bytes()
    except OSError as error:
        hint = f"expected beside {Path(file.entry.source.name).name}: {file.name}"
        message = f"'{file.entry.model.file}' cannot be read: {error.strerror}"
        declared.report(file.entry, ("file",), message, hint)
        return None
    message = f"'{file.entry.model.file}' has more than {MAX_BYTES // 2**20} MiB"
    declared.report(file.entry, ("file",), message, "keep the columns and rows that events need")
    return None


def _parse(file: _File, raw: bytes) -> None:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        file.wrong(
            line, f"the file is not UTF-8: byte 0x{raw[error.start]:02x}", "save it as UTF-8"
        )
        return
    file.lines = text.splitlines()
    file.is_json = not file.name.lower().endswith(".csv")
    if file.is_json:
        _parse_json(file)
    else:
        _parse_csv(file, text)


def _parse_csv(file: _File, text: str) -> None:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not cells:
                continue
            if not header:
                header = cells
                if not _has_columns(file, header, line):
                    return
            elif len(cells) != len(header):
                many = "cell" if len(cells) == 1 else "cells"
                message = f"{len(cells)} {many}, where the header has {len(header)}"
                file.wrong(line, message, "put a cell with a comma in double quotes")
            else:
                rows.append(cells)
                file.rows.append(line)
    except csv.Error as error:
        file.wrong(reader.line_num, f"not CSV: {error}", 'text with quotes: "say ""yes"""')
        return
    if not header:
        _has_columns(file, header, 1)
        return
    for i, column in enumerate(header):
        if column in _needed(file.entry.model):
            file.cells[column] = [row[i] or None for row in rows]


def _parse_json(file: _File) -> None:
    objects: list[dict[str, Any]] = []
    for line, text in enumerate(file.lines, 1):
        if not text.strip():
            continue
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            file.wrong(line, f"not JSON: {error}", 'one object a line: {"currency": "EUR", …}')
            continue
        if isinstance(value, dict):
            objects.append(value)
            file.rows.append(line)
        else:
            file.wrong(line, "not a JSON object", 'one object a line: {"currency": "EUR", …}')
    known = list(dict.fromkeys(name for value in objects for name in value))
    if objects and not _has_columns(file, known, file.rows[0]):
        return
    for column in _needed(file.entry.model):
        file.cells[column] = [value.get(column) for value in objects]


def _needed(model: LookupSpec) -> list[str]:
    names = (*model.keys, *model.columns, model.from_, model.until)
    return [name for name in dict.fromkeys(names) if name is not None]


def _has_columns(file: _File, known: Sequence[str], line: int) -> bool:
    """Whether the file has every declared column once; reports those that it has not."""
    for column in _needed(file.entry.model):
        if known.count(column) > 1:
            file.wrong(line, f"two columns are called '{column}'", "rename one", column)
        if column not in known:
            hint = suggest(column, known, "columns of the file")
            if len(known) == 1 and ";" in known[0]:
                hint = "separate the cells with commas, not semicolons"
            file.wrong(line, f"there is no column '{column}'", hint)
    return not file.problems


def _table(file: _File, timezone: str) -> pl.DataFrame:
    """The typed rows, with `_line`; reports invalid values, duplicate keys and overlapping
    validity."""
    model = file.entry.model
    columns = {}
    for name in dict.fromkeys((*model.keys, *model.columns)):
        columns[name] = _typed(file, name, model.type_of(name) or "string")
        if name in model.keys:
            for row in columns[name].is_null().arg_true().to_list():
                if file.cells[name][row] is None:
                    file.wrong(
                        file.rows[row], f"the key '{name}' is empty", "give it, or remove the row"
                    )
    table = pl.DataFrame(columns).with_columns(pl.Series(_LINE, file.rows, dtype=pl.Int64))
    if model.from_ is None:
        if not file.problems:
            _check_keys(file, table)
        return table.sort(model.keys)
    begins = _times(file, model.from_, timezone).fill_null(ALWAYS_MS)
    ends = (
        pl.Series([None] * table.height, dtype=pl.Int64)
        if model.until is None
        else _times(file, model.until, timezone)
    )
    table = table.with_columns(begins.alias(FROM), ends.alias(UNTIL)).sort(*model.keys, FROM)
    if not file.problems:
        _check_validity(file, table)
    return table


def _typed(file: _File, name: str, type_: ColumnType) -> pl.Series:
    cells, dtype = file.cells[name], FIELD_DTYPES[type_]
    if file.is_json:
        typed = pl.Series(name, [cell_of_json(cell, dtype) for cell in cells], dtype=dtype)
    else:
        typed = _of_text(pl.Series(name, cells, dtype=pl.String), type_)
    given = pl.Series([cell is not None for cell in cells], dtype=pl.Boolean)
    word, hint = _WRONG[type_]
    for row in (typed.is_null() & given).arg_true().to_list():
        shown = str(cells[row])
        value_text = repr(shown) if isinstance(cells[row], str) else shown
        message = f"{name}: {value_text} is not {word}"
        file.wrong(file.rows[row], message, hint, shown)
    return typed


def _of_text(cells: pl.Series, type_: ColumnType) -> pl.Series:
    if type_ == "string":
        return cells
    text = cells.str.strip_chars()
    if type_ == "boolean":
        lower = text.str.to_lowercase()
        known = {"true": True, "false": False}
        return lower.replace_strict(known, default=None, return_dtype=pl.Boolean)
    number = text.cast(FIELD_DTYPES[type_], strict=False)
    # Infinity and NaN are no numbers that anything could be multiplied with.
    return number if type_ == "integer" else number.set(~number.is_finite(), None)


def _times(file: _File, name: str, timezone: str) -> pl.Series:
    """Instants (ms), null where the cell is empty."""
    cells = [None if cell is None else str(cell) for cell in file.cells[name]]
    ms, readable = parse_times(pl.Series(cells, dtype=pl.String), timezone)
    for row, cell in enumerate(cells):
        if cell is not None and not readable[row]:
            hint = "ISO 8601: 2025-03-01, or 2025-03-01T09:30:00Z"
            file.wrong(file.rows[row], f"{name}: {cell!r} is not a date or time", hint, cell)
    is_given = pl.Series(readable)
    return pl.Series(ms, dtype=pl.Int64).set(~is_given, None)


def _check_keys(file: _File, table: pl.DataFrame) -> None:
    keys = list(file.entry.model.keys)
    first = pl.col(_LINE).min().over(keys)
    twice = table.with_columns(first.alias("_first"))
    for row in twice.filter(pl.col(_LINE) != pl.col("_first")).iter_rows(named=True):
        message = f"{_key(row, keys)} is in line {row['_first']} already"
        hint = "keep one row for each key; or add when each becomes valid: `from: valid_from`"
        file.wrong(row[_LINE], message, hint)


def _check_validity(file: _File, table: pl.DataFrame) -> None:
    keys = list(file.entry.model.keys)
    before = [
        pl.col(name).shift(1).over(keys).alias(f"_before{name}") for name in (_LINE, FROM, UNTIL)
    ]
    for row in table.with_columns(before).filter(_overlaps()).iter_rows(named=True):
        key, line = _key(row, keys), row[f"_before{_LINE}"]
        if row[UNTIL] is not None and row[UNTIL] <= row[FROM]:
            message = f"{key} ends at {iso(row[UNTIL])}, before it begins"
            file.wrong(row[_LINE], message, "`until` is exclusive, and later than `from`")
        elif row[FROM] == row[f"_before{FROM}"]:
            message = f"{key} begins at the same time in line {line}"
            file.wrong(row[_LINE], message, "keep one of the two rows")
        else:
            until = iso(row[f"_before{UNTIL}"])
            message = f"{key} is valid until {until} by line {line}, which overlaps"
            file.wrong(row[_LINE], message, "end the earlier row where the next begins")


def _overlaps() -> pl.Expr:
    overlap = pl.col(f"_before{UNTIL}") > pl.col(FROM)
    return (
        (pl.col(UNTIL) <= pl.col(FROM)).fill_null(False)
        | (pl.col(FROM) == pl.col(f"_before{FROM}")).fill_null(False)
        | overlap.fill_null(False)
    )


def _key(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]!r}" for name in keys)


def _lookup(entry: Entry[LookupSpec], table: pl.DataFrame) -> Lookup:
    model = entry.model
    rows = table.drop(_LINE)
    validity = [name for name in (FROM, UNTIL) if name in rows.columns]
    keys = [*model.keys, *validity]
    digests = {name: _digest(rows, [*keys, name]) for name in rows.columns if name not in validity}
    return Lookup(entry.name, model.keys, rows, bool(validity), digests, model.file or "")


def _digest(rows: pl.DataFrame, columns: Sequence[str]) -> str:
    """12 hexadecimal digits of the SHA-256 of some columns, in the order of keys and validity."""
    digest = hashlib.sha256()
    for part in _parts(rows, columns):
        digest.update(part)
    return digest.hexdigest()[:12]


def _parts(rows: pl.DataFrame, columns: Sequence[str]) -> Iterator[bytes]:
    for name in columns:
        yield msgspec.json.encode([name, rows[name].to_list()])
