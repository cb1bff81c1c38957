"""An estimate for people, as a table with reasons, and for the Helm chart, as values."""

from __future__ import annotations

import math

from agent.sizing.costs import Costs
from agent.sizing.estimate import BUSY, FRAMES_KEPT_DAYS, Estimate

MIB = 2**20
MEMORY_STEP_MIB = 64
CPU_STEP_MILLI = 50
LEAST_CPU_MILLI = 100

Row = tuple[str, str, str]
"""What is needed, how much, and why."""


HEADER: Row = ("what", "how much", "why")


def rows(needed: Estimate, costs: Costs) -> list[Row]:
    """An estimate with the reasoning, one row each."""
    return [
        ("workers", f"{needed.workers}",
         f"CPU of both stages, a core each, {BUSY:.0%} busy; at least 2, as one may fail"),
        ("source partitions", f"{needed.source_partitions}", "of all source topics"),
        ("state partitions", f"{needed.state_partitions}",
         "fixed later: at least twice the workers, if not given"),
        ("CPU of stage 1, all workers", f"{needed.ingest_cores:.2f} cores",
         "events × CPU of an event, flat JSON of 155 bytes"),
        ("CPU of stage 2, all workers", f"{needed.merge_cores:.2f} cores",
         "frames, rows and windows, each × its CPU"),
        ("frames", f"{needed.frames:,.0f}/s",
         "source partitions × state partitions ÷ flush interval"),
        ("rows in frames", f"{needed.rows:,.0f}/s",
         "series × source partitions with its events ÷ flush interval, at most one an event"),
        ("closed windows", f"{needed.windows:,.1f}/s", "series ÷ hop, of each KPI"),
        ("memory, each worker", size(needed.memory_bytes_each),
         f"{size(costs.idle_bytes)} idle, all series, a share of open slices and ids "
         "with one worker gone"),
        ("memory limit, each worker", size(needed.memory_limit_bytes_each),
         f"1.5 × (memory + {size(costs.batch_bytes)} of batches while it catches up)"),
        ("memory of series, each worker", size(needed.series_bytes_each),
         "every worker keeps all series, for the board"),
        ("memory of open slices, all workers", size(needed.slices_bytes),
         "series × source partitions with its events × open slices"),
        ("memory of ids, all workers", size(needed.ids_bytes),
         "events × (slice + lateness), if a contract has an id"),
        ("disk of state, all workers", size(needed.state_bytes),
         "a row of each series; windows in history come on top"),
        ("broker: frames", f"{size(needed.frames_bytes)}/s",
         f"{size(needed.frames_kept_bytes)} kept in {FRAMES_KEPT_DAYS} days, before replication"),
        ("broker: changelog", f"{size(needed.changelog_bytes)}/s",
         "windows × a row of state, before compaction and replication"),
        ("broker: kpi-values", f"{size(needed.values_bytes)}/s",
         "windows × a value, before replication"),
    ]  # fmt: skip


def notes(needed: Estimate) -> list[str]:
    """What to change: workers beyond the partitions are idle."""
    return [
        f"{count} {kind} partitions limit {stage} to {count} of {needed.workers} workers: "
        f"take at least {needed.workers}"
        for kind, count, stage in (
            ("source", needed.source_partitions, "stage 1"),
            ("state", needed.state_partitions, "stage 2"),
        )
        if count < needed.workers
    ]


def helm_values(needed: Estimate) -> str:
    """Values of the chart in deploy/helm/kpi-agent, as YAML."""
    cpu = max(LEAST_CPU_MILLI, _up(needed.cores_each / BUSY * 1000, CPU_STEP_MILLI))
    request = _up(needed.memory_bytes_each / MIB, MEMORY_STEP_MIB)
    limit = _up(needed.memory_limit_bytes_each / MIB, MEMORY_STEP_MIB)
    return f"""\
replicas: {needed.workers}
settings:
  state_partitions: {needed.state_partitions}   # fixed: leave it out where the agent has run before
resources:
  requests: {{cpu: {cpu}m, memory: {request}Mi}}
  limits: {{memory: {limit}Mi}}   # no limit of CPU: a throttled worker lags
"""


def size(number: float) -> str:
    """Bytes for people, in decimal units."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            amount = number / factor
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{number:.0f} B"


def _up(number: float, step: int) -> int:
    return math.ceil(number / step) * step
