"""What a load needs: it adds up, and agrees with what was measured."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from agent.core.model.plan import Plan
from agent.errors import RulesError
from agent.language.load import load
from agent.sizing.costs import Costs, load_costs
from agent.sizing.estimate import Estimate, estimate
from agent.sizing.load import KpiLoad, Load, load_of
from benchmarks import cost_table, results
from benchmarks.workload import CHANNELS, LATENESS_MS, REGIONS, STEP_MS
from tests.conftest import ROOT

COSTS = Costs(
    event_us=5.0, event_kpis=1, fold_us=((1, 2.0), (5, 4.0)), frame_us=400.0, frame_bytes=50.0,
    row_us=1.5, row_sent_bytes=10.0, window_us=20.0, state_row_sent_bytes=40.0,
    value_sent_bytes=20.0, idle_bytes=150e6, batch_bytes=300e6, series_bytes=4_500.0,
    state_row_bytes=200.0, open_slice_bytes=500.0, id_bytes=60.0,
)  # fmt: skip
KPI = KpiLoad(series=5_000, hop_seconds=60, slice_seconds=60, lateness_seconds=10)
LOAD = Load(events_per_second=1_000_000, kpis=(KPI,))
MARGIN = 0.15  # as docs/scaling.md says
MEASURED_CPU_US = {"w": 2.22, "w20": 3.45}
"""Of the runs of 2026-11-28 that docs/benchmarks.md shows, on the machine and in the week of the
costs. benchmarks/results/agent-w*.json are newer, and of a busy machine (a load of 3 before)."""
TITLES = {"w": "KPI agent", "w20": "KPI agent, 20 KPIs"}
VALUES = {"region": len(REGIONS), "channel": len(CHANNELS), "employee": 200}


def needs(load: Load, sources: int | None = 48, states: int | None = 16) -> Estimate:
    return estimate(load, COSTS, source_partitions=sources, state_partitions=states)


def test_a_million_events_a_second_need_what_their_parts_add_up_to() -> None:
    needed = needs(LOAD)
    assert needed.ingest_cores == pytest.approx(5.0)  # 1,000,000 × 5 µs
    assert needed.frames == 768
    assert needed.rows == 240_000
    assert needed.merge_cores == pytest.approx(0.3072 + 0.36 + 5_000 / 60 * 20e-6)
    assert needed.workers == 10  # 5.67 cores, 60 % busy
    assert needed.frames_bytes == pytest.approx(38_400 + 2_400_000)
    assert needed.series_bytes_each == 5_000 * 4_500
    slices = 5_000 * 48 * (1 + 11 / 60) * 500
    assert needed.memory_bytes_each == pytest.approx(150e6 + 22.5e6 + slices / 9)


def test_no_more_rows_are_sent_than_events_came() -> None:
    assert needs(replace(LOAD, kpis=(replace(KPI, series=1_000_000),))).rows == 1_000_000


def test_twice_the_flush_interval_is_half_the_frames_and_rows() -> None:
    once, twice = (needs(replace(LOAD, flush_seconds=s)) for s in (1.0, 2.0))
    assert (twice.frames, twice.rows) == (once.frames / 2, once.rows / 2)


def test_records_keyed_by_the_dimensions_send_one_row_a_series() -> None:
    assert needs(replace(LOAD, keyed=True)).rows == 5_000


def test_ids_are_remembered_for_a_slice_and_the_lateness() -> None:
    assert needs(replace(LOAD, ids=True)).ids_bytes == pytest.approx(1e6 * 70 * 60)
    assert needs(LOAD).ids_bytes == 0


def test_kpis_over_kpis_close_windows_but_fold_nothing() -> None:
    derived = needs(replace(LOAD, kpis=(KPI, replace(KPI, base=False))))
    alone = needs(LOAD)
    assert derived.windows == 2 * alone.windows
    assert (derived.rows, derived.ingest_cores) == (alone.rows, alone.ingest_cores)


def test_more_kpis_cost_an_event_what_folding_them_costs() -> None:
    assert [COSTS.event_us_with(kpis) for kpis in (0, 1, 3, 5, 9)] == [5.0, 5.0, 6.0, 7.0, 9.0]


@pytest.mark.parametrize("events", [1, 20_000, 1_000_000, 10_000_000])
def test_partitions_that_are_not_given_suffice_for_the_workers(events: float) -> None:
    needed = estimate(replace(LOAD, events_per_second=events), load_costs())
    assert needed.workers >= max(2, math.ceil((needed.ingest_cores + needed.merge_cores) / 0.6))
    assert needed.source_partitions == 4 * needed.workers
    assert needed.workers * 2 <= needed.state_partitions <= 256


def test_a_load_that_no_number_of_workers_carries_is_refused() -> None:
    with pytest.raises(RulesError, match="more than 256 workers"):
        needs(replace(LOAD, events_per_second=1e9))


def test_the_costs_of_the_package_are_those_that_were_measured() -> None:
    measured = cost_table.measured()
    assert measured is not None
    assert load_costs() == cost_table.costs_of(measured)


def catch_up(plan: Plan, events_per_second: float) -> Load:
    """Workload W, whose hours are read in seconds: its windows are as much shorter."""
    series = {
        kpi.name: math.prod(VALUES[dimension] for dimension in kpi.by) for kpi in plan.kpis.values()
    }
    faster = events_per_second * STEP_MS / 1000
    load = load_of(plan, events_per_second, series_of=series)
    return replace(
        load,
        kpis=tuple(
            replace(
                kpi,
                hop_seconds=kpi.hop_seconds / faster,
                slice_seconds=kpi.slice_seconds / faster,
                lateness_seconds=LATENESS_MS / 1000 / faster,
            )
            for kpi in load.kpis
        ),
    )


@pytest.mark.parametrize("workload", ["w", "w20"])
def test_the_cpu_of_workload_w_is_predicted_within_the_stated_margin(workload: str) -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    row = re.search(rf"^\| {TITLES[workload]} \| ([\d,]+) \|", page, re.MULTILINE)
    assert row is not None
    speed = float(row[1].replace(",", ""))
    load_of_w = catch_up(load(ROOT / "benchmarks" / "rules" / workload), speed)
    needed = estimate(load_of_w, load_costs(), source_partitions=4, state_partitions=8)
    predicted = (needed.ingest_cores + needed.merge_cores) / speed * 1e6
    assert predicted == pytest.approx(MEASURED_CPU_US[workload], rel=MARGIN)


@pytest.mark.parametrize("workload", ["w", "w20"])
def test_the_memory_limit_is_above_the_measured_peak(workload: str) -> None:
    saved = results.load(f"agent-{workload}")
    assert saved is not None
    plan = load(ROOT / "benchmarks" / "rules" / workload)
    needed = estimate(catch_up(plan, 300_000), load_costs(), source_partitions=4)
    assert needed.memory_limit_bytes_each > saved["median"]["peak_mb"] * 1e6
