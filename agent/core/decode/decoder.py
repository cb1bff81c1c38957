"""Bytes of a micro-batch → one table per contract, and the records rejected, each with its reason.

The usual way is columnar: all records are joined and read by polars at once, strictly. When any of
them is not as declared, that read fails; then each line is screened with msgspec, the good ones are
read as before and the others examined one by one, exactly. A record's verdict and values never
depend on the records beside it.

Of duplicate keys the first counts. A line break inside a record (pretty-printed JSON) is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.layout import Layout, UnreadableError, demands_of, join_lines, type_demands
from agent.core.decode.single_record import (
    SHORTEST_DEEP,
    has_lone_surrogate,
    is_interested,
    is_too_deep,
    read_object,
    type_problem,
)
from agent.core.decode.validation import (
    Source,
    columns_of,
    judge,
    may_be_no_string,
    not_strings,
    too_large,
)
from agent.core.model.plan import Contract
from agent.core.model.results import Reason, Reject

_Rows = npt.NDArray[np.int64]

_SPLIT_SHARE = 50
"""When more than one line in so many is good for its own contract but not for all of the topic's
together, the contracts are read apart from then on. Only a matter of speed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one topic, in the order (partition, offset).

    `timestamps` are the broker's, ms since the epoch: the judge of events from the future, and of
    those from too long ago. `timestamped` is false of records that carry none, as the lines of a
    file: then `timestamps` is the clock, and an event may be as old as it likes.
    """

    topic: str
    values: Sequence[bytes | None]
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    timestamped: bool = True


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a batch; rows are indices into it.

    `tables` has every contract of the topic, by name, with the columns of docs/architecture.md.
    `rejects`: (row, reject), by row; a record may be rejected by one contract and be in the table
    of another. `empty`: tombstones and values of white space only. `ignored`: records that no
    contract is interested in. Both int64, ascending.
    """

    tables: Mapping[str, pl.DataFrame]
    rejects: tuple[tuple[int, Reject], ...]
    empty: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.int64]


class Decoder:
    """Decodes batches of one topic for all of its contracts.

    Raises ValueError without contracts, or with contracts of several topics.
    """

    def __init__(self, contracts: Sequence[Contract]) -> None:
        if len({c.topic for c in contracts}) != 1:
            raise ValueError("a decoder is for the contracts of one topic")
        self._contracts = tuple(contracts)
        self._max_bytes = max(c.max_bytes for c in contracts)
        self._only = contracts[0].name if len(contracts) == 1 else None
        self._layouts = {c.name: Layout(demands_of(c)) for c in contracts}
        self._together = (
            Layout(d for c in contracts for d in demands_of(c))
            if len(contracts) > 1
            else self._layouts[contracts[0].name]
        )
        self._types = Layout(type_demands(contracts))
        # Contracts that contradict each other on a path would fail each other's records.
        self._split = self._together.reads > max(x.reads for x in self._layouts.values())

    def decode(self, batch: Batch) -> Decoded:
        """Decodes one batch; pure but for a memory of which way was the faster one."""
        return _Run(self, batch).decode()


class _Run:
    """The decoding of one batch: what is known of its rows so far."""

    def __init__(self, decoder: Decoder, batch: Batch) -> None:
        self.decoder = decoder
        self.contracts = decoder._contracts
        self.source = Source(
            batch.values, batch.partitions, batch.offsets, batch.timestamps, batch.timestamped
        )
        self.rejects: dict[tuple[int, str | None], Reject] = {}
        self.frames: dict[str, list[pl.DataFrame]] = {c.name: [] for c in self.contracts}
        self.empty: _Rows = np.zeros(0, dtype=np.int64)
        self.settled = np.zeros(len(batch.values), dtype=np.bool_)
        self.longest = 0
        self.joined = b""

    def decode(self) -> Decoded:
        rows, lines = self._present()
        rows, lines = self._screen_whole(rows, lines)
        if self.decoder._split:
            self._read_apart(rows, lines)
        else:
            self._read_together(rows, lines)
        tables = {c.name: self._table(c) for c in self.contracts}
        order = {c.name: i for i, c in enumerate(self.contracts)}
        keys = sorted(self.rejects, key=lambda x: (x[0], order.get(x[1] or "", -1)))
        rejects = tuple((key[0], self.rejects[key]) for key in keys)
        self.settled[self.empty] = True
        return Decoded(tables, rejects, self.empty, np.flatnonzero(~self.settled))

    def _present(self) -> tuple[_Rows, Sequence[bytes]]:
        """The records that have a value. Without blank ones the reads can't shift rows."""
        values = self.source.values
        if all(values) and not any(map(bytes.isspace, values)):  # type: ignore[arg-type]
            return np.arange(len(values)), values  # type: ignore[return-value]
        present = [bool(value) and not value.isspace() for value in values]  # type: ignore[union-attr]
        self.empty = np.flatnonzero(~np.array(present, dtype=np.bool_))
        return np.flatnonzero(present), list(compress(values, present))  # type: ignore[arg-type]

    def _screen_whole(self, rows: _Rows, lines: Sequence[bytes]) -> tuple[_Rows, Sequence[bytes]]:
        """Takes out what no read may see: too large, too deep, half a surrogate pair."""
        self.longest = max(map(len, lines), default=0)
        self.joined = join_lines(lines)
        suspects = self._suspects(lines)
        if not suspects:
            return rows, lines
        most = self.decoder._max_bytes
        out: set[int] = set()
        for i in suspects:
            size = len(lines[i])
            found = (
                read_object(lines[i]) if size <= most else (Reason.TOO_LARGE, too_large(size, most))
            )
            if not isinstance(found, dict) and lines[i].strip():
                self._reject(int(rows[i]), None, *found)
                out.add(i)
        keep = [i for i in range(len(lines)) if i not in out]
        kept = [lines[i] for i in keep]
        self.joined = join_lines(kept)
        return rows[keep], kept

    def _suspects(self, lines: Sequence[bytes]) -> list[int]:
        """Indices of lines that may be too large, too deep or not Unicode: mostly none."""
        found: set[int] = set()
        most = self.decoder._max_bytes
        if self.longest > most:
            found.update(i for i, line in enumerate(lines) if len(line) > most)
        if self.longest >= SHORTEST_DEEP:
            found.update(i for i, line in enumerate(lines) if is_too_deep(line))
        if b"\\" in self.joined and has_lone_surrogate(self.joined):
            found.update(i for i, line in enumerate(lines) if has_lone_surrogate(line))
        return sorted(found)

    def _read_together(self, rows: _Rows, lines: Sequence[bytes]) -> None:
        layout = self.decoder._together
        frames, odd = self._read(layout, rows, lines, self.joined)
        for frame in frames:
            self._take(self.contracts, layout, frame, sure=False)
        excused = self._examine(odd, self.contracts)
        if excused * _SPLIT_SHARE > len(lines):
            self.decoder._split = True

    def _read_apart(self, rows: _Rows, lines: Sequence[bytes]) -> None:
        """First the types alone, then each contract's records with its own layout."""
        untyped = [c for c in self.contracts if c.type_path is None]
        typed = [c for c in self.contracts if c.type_path is not None]
        chosen: dict[str, list[npt.NDArray[Any]]] = {c.name: [rows] for c in untyped}
        if typed:
            layout = self.decoder._types
            frames, odd = self._read(layout, rows, lines, self.joined)
            self._examine(odd, typed)
            for contract in typed:
                chosen[contract.name] = [
                    frame.filter(self._is_of(contract, layout, frame))["_row"].to_numpy()
                    for frame in frames
                ]
        for contract in self.contracts:
            own = np.sort(np.concatenate([rows[:0], *chosen[contract.name]])).astype(np.int64)
            layout = self.decoder._layouts[contract.name]
            chosen_lines = [self.source.line(r) for r in own.tolist()]
            frames, odd = self._read(layout, own, chosen_lines, join_lines(chosen_lines))
            for frame in frames:
                self._take([contract], layout, frame, sure=True)
            self._examine(odd, [contract])

    def _read(
        self, layout: Layout, rows: _Rows, lines: Sequence[bytes], joined: bytes
    ) -> tuple[list[pl.DataFrame], list[int]]:
        """The lines as frames with `_row`, and the rows of those that can't be read."""
        if not lines:
            return [], []
        try:
            return [_with_rows(layout.read(joined, len(lines)), rows)], []
        except UnreadableError:
            pass
        if joined.count(b"\n") != len(lines) - 1:
            lines = [_without_breaks(line) for line in lines]
        bad = layout.screen(lines)
        good = np.delete(np.arange(len(lines)), bad)
        frames: list[pl.DataFrame] = []
        odd = rows[bad].tolist()
        _read_halves(layout, rows[good], [lines[i] for i in good.tolist()], frames, odd)
        return frames, odd

    def _examine(self, odd: Sequence[int], contracts: Sequence[Contract]) -> int:
        """Judges lines one by one; returns how many were good for a contract after all."""
        fine: dict[str, list[int]] = {c.name: [] for c in contracts}
        excused = 0
        for row in odd:
            found = read_object(self.source.line(row))
            if not isinstance(found, dict):
                self._reject(row, None, *found)
                continue
            before = sum(map(len, fine.values()))
            for contract in contracts:
                if is_interested(contract, found):
                    size, problem = len(self.source.line(row)), type_problem(contract, found)
                    if size > contract.max_bytes:
                        detail = too_large(size, contract.max_bytes)
                        self._reject(row, contract.name, Reason.TOO_LARGE, detail)
                    elif problem is not None:
                        self._reject(row, contract.name, Reason.WRONG_TYPE, problem)
                    else:
                        fine[contract.name].append(row)
            excused += sum(map(len, fine.values())) > before
        for contract in contracts:
            self._read_alone(contract, fine[contract.name])
        return excused

    def _read_alone(self, contract: Contract, rows: list[int]) -> None:
        layout = self.decoder._layouts[contract.name]
        lines = [_without_breaks(self.source.line(row)) for row in rows]
        frames: list[pl.DataFrame] = []
        unreadable: list[int] = []
        _read_halves(layout, np.array(rows, dtype=np.int64), lines, frames, unreadable)
        for frame in frames:
            self._take([contract], layout, frame, sure=True)
        for row in unreadable:
            self._reject(row, None, Reason.NOT_JSON, "the JSON can't be read")

    def _is_of(self, contract: Contract, layout: Layout, frame: pl.DataFrame) -> pl.Expr:
        """Whether a record of the frame is of the contract's type."""
        if contract.type_path is None:
            return pl.lit(True)
        column = layout.column((contract.type_path, pl.String))
        same = pl.col(column) == contract.type_value
        if not may_be_no_string(contract.type_value):
            return same
        rows = frame["_row"].to_numpy().astype(np.int64)
        return same & ~pl.lit(
            pl.Series(not_strings(self.source, rows, frame[column], contract.type_path))
        )

    def _take(
        self, contracts: Sequence[Contract], layout: Layout, frame: pl.DataFrame, *, sure: bool
    ) -> None:
        """Gives each contract its columns of its records; of all of them if it is sure."""
        chosen = [
            frame.lazy()
            .filter(pl.lit(True) if sure else self._is_of(contract, layout, frame))
            .select(columns_of(contract, layout))
            for contract in contracts
        ]
        for contract, found in zip(contracts, pl.collect_all(chosen), strict=True):
            self.settled[found["_row"].to_numpy()] = True
            self.frames[contract.name].append(found)

    def _table(self, contract: Contract) -> pl.DataFrame:
        frames = self.frames[contract.name]
        if not frames:
            layout = self.decoder._layouts[contract.name]
            empty = layout.read(b"{}", 1).clear()
            empty = _with_rows(empty, np.zeros(0, np.int64))
            frames = [empty.select(columns_of(contract, layout))]
        frame = frames[0] if len(frames) == 1 else pl.concat(frames).sort("_row")
        table, problems = judge(contract, frame, self.source, self.longest)
        for row, reason, detail in problems:
            self._reject(row, contract.name, reason, detail)
        return table

    def _reject(self, row: int, contract: str | None, reason: Reason, detail: str) -> None:
        partition, offset = int(self.source.partitions[row]), int(self.source.offsets[row])
        name = contract or self.decoder._only
        # Where contracts are read apart, several may find the same line to be no JSON.
        self.rejects.setdefault((row, name), Reject(partition, offset, name, reason, detail))
        self.settled[row] = True


def _with_rows(frame: pl.DataFrame, rows: _Rows) -> pl.DataFrame:
    return frame.with_columns(pl.Series("_row", rows, dtype=pl.UInt32))


def _without_breaks(line: bytes) -> bytes:
    """A record on one line. Only valid JSON has its breaks replaced: in a string they are wrong."""
    if b"\n" not in line:
        return line
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return line
    return line.replace(b"\n", b" ")


def _read_halves(
    layout: Layout, rows: _Rows, lines: list[bytes], frames: list[pl.DataFrame], odd: list[int]
) -> None:
    """Reads the lines; where that fails, each half, down to the lines that can't be read."""
    if not lines:
        return
    try:
        frames.append(_with_rows(layout.read(join_lines(lines), len(lines)), rows))
    except UnreadableError:
        if len(lines) == 1:
            odd.append(int(rows[0]))
            return
        half = len(lines) // 2
        _read_halves(layout, rows[:half], lines[:half], frames, odd)
        _read_halves(layout, rows[half:], lines[half:], frames, odd)
