"""The state partition of each series."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.rules import is_whole

_encoder = msgspec.msgpack.Encoder()


def state_partition(kpi: Kpi, dimensions: Dimensions, partitions: int) -> int:
    """The state partition of a series: by the dimensions of its KPI's placement only, so that all
    KPIs of one series, the KPIs over them and all that must see each other live in one place."""
    placed = kpi.by if kpi.placement is None else kpi.placement
    return _partition(kpi.by, dimensions, placed, partitions)


def _partition(
    by: Sequence[str], dimensions: Dimensions, placed: Sequence[str], partitions: int
) -> int:
    named = sorted(pair for pair in zip(by, dimensions, strict=True) if pair[0] in placed)
    return zlib.crc32(_encoder.encode(named)) % partitions


def partition_of(
    plan: Plan, subject: str, dimensions: Dimensions | None, partitions: int
) -> int | None:
    """The state partition of a series of a KPI or a composite rule; None: it is not declared so.

    `dimensions` None: what is watched of a KPI as a whole.
    """
    by = plan.by_of(subject)
    if by is None or (dimensions is not None and len(dimensions) != len(by)):
        return None
    if dimensions is None:
        return watch_partition(plan, subject, partitions)
    kpi = plan.kpis.get(_nearest(plan, subject))
    placed = by if kpi is None or kpi.placement is None else kpi.placement
    return _partition(by, dimensions, placed, partitions)


def _nearest(plan: Plan, subject: str) -> str:
    """A KPI that the series of a composite rule live with."""
    while subject not in plan.kpis:
        subject = plan.composites[subject].dependencies[0].subject
    return subject


def watch_partition(plan: Plan, kpi: str, partitions: int) -> int:
    """The state partition that evaluates and reports the `per: kpi` rules of a KPI."""
    if any(is_whole(rule) and rule.depends_on for rule in plan.rules_of(kpi)):
        return gathering_partition(partitions)  # where their dependencies are evaluated
    return zlib.crc32(kpi.encode()) % partitions


def gathering_partition(partitions: int) -> int:
    """The state partition of all series that are placed by no dimensions."""
    return zlib.crc32(_encoder.encode([])) % partitions
