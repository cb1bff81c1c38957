"""Decides which instant is meant by a local time that occurs twice, when clocks go back.

It is the instant nearer to the record's timestamp or, if that is far from both or missing (as in
files), the one nearer to the watermark. Like every verdict, this depends only on the log.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from agent.core.aggregate.columns import NO_INT, Ints
from agent.core.decode.batch import Batch, Decoded


def settle_repeated_hours(
    batch: Batch, decoded: Decoded, newest_ms: Ints, watermarks_ms: Mapping[int, int | None]
) -> Mapping[str, pl.DataFrame]:
    """The tables with these times resolved. `newest_ms`: the event time of each record (`NO_INT`:
    none); `watermarks_ms`: the watermark of each partition before the batch."""
    doubtful = sorted({row for times in decoded.repeated_ms.values() for row, _ in times})
    events: dict[str, dict[int, set[int]]] = {}
    for name, times in decoded.repeated_ms.items():
        table = decoded.tables[name]
        for event in zip(table["_row"].to_list(), table["_time"].to_list(), strict=True):
            if event in times:
                events.setdefault(name, {}).setdefault(event[0], set()).add(event[1])
    newest = newest_ms.copy()
    chosen: dict[str, dict[tuple[int, int], int]] = {name: {} for name in events}
    partition, done, watermark = -1, 0, NO_INT
    for row in doubtful:
        if batch.partitions[row] != partition:
            partition = int(batch.partitions[row])
            done = int(np.argmax(batch.partitions == partition))
            known = watermarks_ms.get(partition)
            watermark = NO_INT if known is None else known
        watermark = max(watermark, int(newest[done:row].max(initial=NO_INT)))
        done = row
        for name, times_of in events.items():
            for first in times_of.get(row, ()):
                later = decoded.repeated_ms[name][row, first]
                is_second = _is_second(first, later, watermark, batch, row)
                chosen[name][row, first] = meant = first + later * is_second
                newest[row] = max(newest[row], meant)
    return {
        name: table.with_columns(_replaced(table, chosen[name])) if chosen.get(name) else table
        for name, table in decoded.tables.items()
    }


def _is_second(first_ms: int, later_ms: int, watermark_ms: int, batch: Batch, row: int) -> bool:
    stamp = int(batch.timestamps[row])
    if batch.timestamped and first_ms - later_ms <= stamp <= first_ms + 2 * later_ms:
        return stamp - first_ms > later_ms // 2
    return watermark_ms != NO_INT and watermark_ms - first_ms > later_ms // 2


def _replaced(table: pl.DataFrame, times: Mapping[tuple[int, int], int]) -> pl.Series:
    events = zip(table["_row"].to_list(), table["_time"].to_list(), strict=True)
    return pl.Series("_time", [times.get(event, event[1]) for event in events], pl.Int64)
