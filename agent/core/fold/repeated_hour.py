"""Which of the two is meant by a local time that happens twice, decided by the log before it.

By the record's own timestamp, where that lies near the two; else by the watermark, as in files,
whose records have none. The nearer of the two times counts. Like every verdict, this depends on the
log alone, so a restart comes to the same.
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
    """The tables with the times that are meant. `newest_ms` is the event time of each record
    (`NO_INT`: none), `watermarks_ms` the watermark of each partition before the batch."""
    doubtful = sorted({row for rows in decoded.repeated_ms.values() for row in rows})
    times = {
        name: dict(zip(table["_row"].to_list(), table["_time"].to_list(), strict=True))
        for name, table in decoded.tables.items()
        if decoded.repeated_ms.get(name)
    }
    newest = newest_ms.copy()
    chosen: dict[str, dict[int, int]] = {name: {} for name in times}
    partition, done, watermark = -1, 0, NO_INT
    for row in doubtful:
        if batch.partitions[row] != partition:
            partition = int(batch.partitions[row])
            done = int(np.argmax(batch.partitions == partition))
            known = watermarks_ms.get(partition)
            watermark = NO_INT if known is None else known
        watermark = max(watermark, int(newest[done:row].max(initial=NO_INT)))
        done = row
        latest = NO_INT
        for name, rows in times.items():
            first, later = rows.get(row), decoded.repeated_ms[name].get(row)
            if first is None or later is None:
                continue
            if _is_second(first, later, watermark, batch, row):
                first += later
            chosen[name][row] = first
            latest = max(latest, first)
        newest[row] = latest if latest != NO_INT else newest[row]
    return {
        name: table.with_columns(_replaced(table, chosen[name])) if chosen.get(name) else table
        for name, table in decoded.tables.items()
    }


def _is_second(first_ms: int, later_ms: int, watermark_ms: int, batch: Batch, row: int) -> bool:
    stamp = int(batch.timestamps[row])
    if batch.timestamped and first_ms - later_ms <= stamp <= first_ms + 2 * later_ms:
        return stamp - first_ms > later_ms // 2
    return watermark_ms != NO_INT and watermark_ms - first_ms > later_ms // 2


def _replaced(table: pl.DataFrame, times: Mapping[int, int]) -> pl.Series:
    pairs = zip(table["_row"].to_list(), table["_time"].to_list(), strict=True)
    return pl.Series("_time", [times.get(row, at) for row, at in pairs], pl.Int64)
