"""How tests make a batch of records: of one source partition, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.core.decode.batch import Batch

LATER_MS = 2_000_000_000_000
"""2033: what counts as now, so that no event comes from the future."""


def batch_of(
    topic: str,
    values: Sequence[bytes | None],
    partition: int = 0,
    offset: int = 0,
    at_ms: int = LATER_MS,
) -> Batch:
    """Records from an offset on; `at_ms` is the broker's timestamp of all."""
    count = len(values)
    return Batch(
        topic,
        values,
        np.full(count, partition, np.int32),
        np.arange(offset, offset + count, dtype=np.int64),
        np.full(count, at_ms, np.int64),
    )
