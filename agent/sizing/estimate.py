"""What a load needs: CPU, workers, partitions, memory and disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.errors import RulesError
from agent.sizing.costs import Costs
from agent.sizing.load import KpiLoad, Load

BUSY = 0.6
"""How busy a worker may be: the rest is for catching up, and for the share of a failed worker."""
LEAST_WORKERS = 2
"""So that one may fail."""
MOST_WORKERS = 256
"""As many as there can be state partitions."""
SOURCE_PARTITIONS_PER_WORKER = 4
LEAST_STATE_PARTITIONS = 8  # the setting's default
FRAMES_KEPT_DAYS = 3
DAY_SECONDS = 86_400
MEMORY_RESERVE = 1.5
"""Limit of memory: for events that are larger than those measured, and a share that grows."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a load needs. Rates are a second, memory and disk in bytes, `kept` ones on the broker
    before replication."""

    workers: int
    source_partitions: int
    state_partitions: int
    ingest_cores: float
    frames: float
    rows: float
    windows: float
    merge_cores: float
    cores_each: float
    frames_bytes: float
    frames_kept_bytes: float
    changelog_bytes: float
    state_bytes: float
    values_bytes: float
    slices_bytes: float
    ids_bytes: float
    series_bytes_each: float
    memory_bytes_each: float
    memory_limit_bytes_each: float


def estimate(
    load: Load,
    costs: Costs,
    *,
    source_partitions: int | None = None,
    state_partitions: int | None = None,
) -> Estimate:
    """What a load needs. Partitions that are not given follow from the workers, which depend on
    the partitions: so the workers grow until they suffice.

    Raises RulesError if no number of workers suffices.
    """
    workers = LEAST_WORKERS
    while workers <= MOST_WORKERS:
        needed = _with_workers(
            workers,
            load,
            costs,
            source_partitions or SOURCE_PARTITIONS_PER_WORKER * workers,
            state_partitions or _state_partitions(workers),
        )
        enough = math.ceil((needed.ingest_cores + needed.merge_cores) / BUSY)
        if enough <= workers:
            return needed
        workers = enough
    raise RulesError(
        f"this load needs more than {MOST_WORKERS} workers",
        "Split the rules over several groups of agents, state fewer series, or flush less often.",
    )


def _state_partitions(workers: int) -> int:
    """A power of two, at least twice the workers: their number is fixed, the workers' grows."""
    power = 1 << (2 * workers - 1).bit_length()
    return min(max(LEAST_STATE_PARTITIONS, power), MOST_WORKERS)


def _with_workers(workers: int, load: Load, costs: Costs, sources: int, states: int) -> Estimate:
    spread = 1 if load.keyed else sources  # source partitions that contain events of a series
    frames = sources * states / load.flush_seconds
    rows = sum(_rows(kpi, load, spread) for kpi in load.base_kpis)
    windows = sum(kpi.series / kpi.hop_seconds for kpi in load.kpis)
    ingest = load.events_per_second * costs.event_us_with(len(load.base_kpis)) / 1e6
    merge = (frames * costs.frame_us + rows * costs.row_us + windows * costs.window_us) / 1e6
    frames_bytes = frames * costs.frame_bytes + rows * costs.row_sent_bytes
    slices = sum(_open_slices(kpi, load, spread) for kpi in load.base_kpis) * costs.open_slice_bytes
    ids = _ids(load) * costs.id_bytes
    series = load.series * costs.series_bytes
    memory = costs.idle_bytes + series + (slices + ids) / max(workers - 1, 1)
    return Estimate(
        workers=workers,
        source_partitions=sources,
        state_partitions=states,
        ingest_cores=ingest,
        frames=frames,
        rows=rows,
        windows=windows,
        merge_cores=merge,
        cores_each=(ingest + merge) / workers,
        frames_bytes=frames_bytes,
        frames_kept_bytes=frames_bytes * FRAMES_KEPT_DAYS * DAY_SECONDS,
        changelog_bytes=windows * costs.state_row_sent_bytes,
        state_bytes=load.series * costs.state_row_bytes,
        values_bytes=windows * costs.value_sent_bytes,
        slices_bytes=slices,
        ids_bytes=ids,
        series_bytes_each=series,
        memory_bytes_each=memory,
        memory_limit_bytes_each=MEMORY_RESERVE * (memory + costs.batch_bytes),
    )


def _rows(kpi: KpiLoad, load: Load, spread: int) -> float:
    """Rows of frames a second: one per changed series, source partition and slice of a flush, at
    most one per event."""
    slices = max(1.0, load.flush_seconds / kpi.slice_seconds)
    return min(kpi.series * spread * slices / load.flush_seconds, load.events_per_second)


def _open_slices(kpi: KpiLoad, load: Load, spread: int) -> float:
    waiting = kpi.lateness_seconds + load.flush_seconds
    return kpi.series * spread * (1 + waiting / kpi.slice_seconds)


def _ids(load: Load) -> float:
    if not load.ids:
        return 0.0
    longest = max((k.slice_seconds + k.lateness_seconds for k in load.base_kpis), default=0.0)
    return load.events_per_second * longest
