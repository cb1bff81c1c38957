"""Rows in, partials out: by KPI, slice and series, with all that a source has of them.

Each case is a list of batches of one source partition, as (time, region) in seconds after a whole
hour. Times behind the frontier are folded for each window that is still open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest

from agent.core.fold.checkpoint import Resume, SourceProgress
from agent.core.fold.kpi_fold import KpiFold, RowsToFold, group_kpis
from agent.core.frame import dimensions_of_key
from agent.core.model.plan import Plan
from tests.core.simulated import EVENTS

HOUR_MS = 1_760_000_400_000
RULES = f"""{EVENTS}kpis:
  visits: {{from: visit, value: count(*), by: [region], window: 1m}}
  traffic: {{from: visit, value: count(*), by: [region], window: 3m every 1m}}
  northern: {{from: visit, value: count(*), by: [region], where: region = 'n', window: 1m}}
  total: {{from: visit, value: count(*), window: 1m}}
"""
Event = tuple[float, str]
Partials = dict[str, int]
"""The count of each partial by "KPI region@slice", or "KPI region@slice of pane", in seconds."""


class Source:
    """One source partition, whose rows are folded for KPIs that share them."""

    def __init__(self, plan: Plan, *kpis: str) -> None:
        [group] = group_kpis(plan.kpis[name] for name in kpis)
        self.fold = KpiFold(group, plan.contracts["visit"], [], 1)
        self.progress = SourceProgress.resumed(Resume(0, 0, None, None))

    def add(self, events: Sequence[Event], frontier: float | None = None) -> None:
        """Fold a batch; `frontier`: before each of its rows."""
        count = len(events)
        times = np.array([HOUR_MS + round(at * 1000) for at, _ in events], np.int64)
        table = pl.DataFrame(
            {"_row": range(count), "_partition": [0] * count, "_time": times,
             "region": [region for _, region in events]},
            schema_overrides={"_row": pl.UInt32, "_partition": pl.Int32},
        )  # fmt: skip
        limits = None
        if frontier is not None:
            limits = np.full(count, HOUR_MS + round(frontier * 1000), np.int64)
        for number, folded in self.fold.fold(
            RowsToFold(table, limits, {}), np.ones(count, np.bool_)
        ):
            self.fold.buffer(number, folded.collect())
        self.progress.advance(times, self.progress.covered + count)

    def changed(self, unsent: bool = False) -> Partials:
        partials = {}
        for _, block in self.fold.drain_changed([0], {0: self.progress}, [0] if unsent else []):
            at = f"@{(block.start_ms - HOUR_MS) // 1000}"
            if block.pane_ms is not None:
                at += f" of {(block.pane_ms - HOUR_MS) // 1000}"
            counts = np.frombuffer(block.columns[0], np.int64)  # type: ignore[arg-type]
            for key, number in zip(block.keys, counts.tolist(), strict=True):
                region = "".join(str(value) for value in dimensions_of_key(key))
                partials[f"{block.kpi} {region}{at}"] = number
        return partials


CASES: Mapping[str, tuple[list[list[Event]], Partials]] = {
    "rows of a series in a slice": ([[(0, "n"), (59, "n")]], {"visits n@0": 2}),
    "by series": ([[(0, "n"), (1, "s"), (2, "n")]], {"visits n@0": 2, "visits s@0": 1}),
    "by slice": ([[(0, "n"), (60, "n"), (61, "n")]], {"visits n@0": 1, "visits n@60": 2}),
    "over batches": (
        [[(0, "n")], [(1, "s"), (2, "n")], [(3, "n")]], {"visits n@0": 3, "visits s@0": 1},
    ),
    "of an empty batch": ([[]], {}),
}  # fmt: skip


@pytest.mark.parametrize(("batches", "expected"), CASES.values(), ids=CASES)
def test_rows_are_counted(batches: list[list[Event]], expected: Partials, plan: Plan) -> None:
    source = Source(plan, "visits")
    for batch in batches:
        source.add(batch)
    assert source.changed() == expected


def test_a_change_is_drained_once_and_cumulative(plan: Plan) -> None:
    source = Source(plan, "visits")
    source.add([(0, "n"), (0, "s")])
    assert source.changed() == {"visits n@0": 1, "visits s@0": 1}
    assert source.changed() == {}
    source.add([(1, "n")])
    assert source.changed() == {"visits n@0": 2}
    assert source.changed(unsent=True) == {"visits n@0": 2, "visits s@0": 1}


def test_a_slice_is_dropped_when_the_watermark_has_passed_it(plan: Plan) -> None:
    source = Source(plan, "visits")
    lateness = plan.contracts["visit"].lateness_ms // 1000
    source.add([(0, "n"), (60 + lateness, "n")])
    assert "visits n@0" in source.changed()
    assert "visits n@0" not in source.changed(unsent=True)


def test_kpis_with_the_same_rows_share_a_fold(plan: Plan) -> None:
    groups = group_kpis(plan.kpis.values())
    assert [[kpi.name for kpi in group] for group in groups] == [
        ["visits", "traffic"],
        ["northern"],
        ["total"],
    ]
    source = Source(plan, "visits", "traffic")
    source.add([(0, "n"), (1, "n")])
    assert source.changed() == {"visits n@0": 2, "traffic n@0": 2}


def test_a_row_of_a_sealed_slice_counts_in_the_windows_that_are_open(plan: Plan) -> None:
    source = Source(plan, "visits", "traffic")
    source.add([(10, "n"), (130, "n")], frontier=120)
    assert source.changed() == {"visits n@120": 1, "traffic n@120": 1, "traffic n@120 of 0": 1}
    assert source.fold.drain_late() == {"visits": 1, "traffic": 1}  # two of its three windows
    assert source.fold.drain_late() == {}


def test_a_source_that_is_revoked_has_no_partials(plan: Plan) -> None:
    source = Source(plan, "visits")
    source.add([(0, "n")])
    source.changed()
    source.add([(1, "s")])
    source.fold.revoke(0)
    assert source.changed(unsent=True) == {}
