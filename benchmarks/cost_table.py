"""The costs that `kpi-agent size` computes with, from what was measured; and their table in
docs/scaling.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.sizing.costs import FILE, Costs
from agent.sizing.load import KpiLoad, Load
from benchmarks import results

MEASURED = ("workers-1-uniform", "costs", "frames", "series", "idle")
WORKLOAD_KPIS = 6  # of benchmarks/rules/w, which the workers run
EXAMPLE = Load(
    events_per_second=1_000_000,
    kpis=(KpiLoad(series=5_000, hop_seconds=60, slice_seconds=60, lateness_seconds=10),),
)
"""Of docs/scaling.md."""
EXAMPLE_PARTITIONS = {"source_partitions": 48, "state_partitions": 16}


def costs_of(measured: Mapping[str, Any]) -> Costs:
    """The costs of the package, from results by name, as in `MEASURED`."""
    worker = measured["workers-1-uniform"]["median"]
    costs, rows, memory = measured["costs"], measured["costs"]["rows"], measured["costs"]["memory"]
    idle, series = measured["idle"], measured["series"]
    return Costs(
        event_us=worker["cpu_us_per_event"],
        event_kpis=WORKLOAD_KPIS,
        fold_us=tuple((int(kpis), us) for kpis, us in costs["event_us_by_kpis"].items()),
        frame_us=measured["frames"]["us_per_frame"],
        frame_bytes=costs["empty_frame"]["bytes"],
        row_us=round(rows["make_row_us"] + rows["merge_row_us"], 3),
        row_sent_bytes=rows["frame_row_sent_bytes"],
        window_us=round(rows["close_window_us"] + rows["state_row_us"] + rows["value_us"], 3),
        state_row_sent_bytes=rows["state_row_sent_bytes"],
        value_sent_bytes=rows["value_sent_bytes"],
        idle_bytes=idle["resident_mb"] * 1e6,
        batch_bytes=(worker["peak_mb_by_worker"][0] - idle["resident_mb"]) * 1e6,
        series_bytes=(series["resident_mb"] - idle["resident_mb"]) * 1e6 / series["series"],
        state_row_bytes=rows["state_row_bytes"],
        open_slice_bytes=memory["open_slice_bytes"],
        id_bytes=memory["id_bytes"],
    )


def save_costs(costs: Costs) -> None:
    """Write the package's costs."""
    FILE.write_text(json.dumps(asdict(costs), indent=2) + "\n")


def measured() -> dict[str, Any] | None:
    """The results by name; None if some were never measured."""
    by_name = {name: results.load(name) for name in MEASURED}
    return None if None in by_name.values() else by_name


def cost_rows(measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was measured, each with its number."""
    worker, costs = measured["workers-1-uniform"]["median"], measured["costs"]
    rows, memory, empty = costs["rows"], costs["memory"], costs["empty_frame"]
    by_kpis = costs["event_us_by_kpis"]
    series, idle = measured["series"], measured["idle"]
    shared = (series["resident_mb"] - idle["resident_mb"]) / series["series"] * 1e6
    return [
        (
            "an event, the whole of one worker, 6 KPIs",
            f"{worker['cpu_us_per_event']:.2f} µs of CPU",
        ),
        (
            f"an event, decoded and folded, with {', '.join(by_kpis)} KPIs",
            ", ".join(f"{us:.2f}" for us in by_kpis.values()) + " µs",
        ),
        (
            "a frame with nothing in it, the whole of both stages",
            f"{measured['frames']['us_per_frame']:.0f} µs; {empty['bytes']:.0f} bytes",
        ),
        (
            "of that, made and merged in the core",
            f"{empty['make_us']:.0f} and {empty['merge_us']:.0f} µs",
        ),
        (
            "a row of a frame, made and merged",
            f"{rows['make_row_us']:.2f} and {rows['merge_row_us']:.2f} µs",
        ),
        ("a row of a frame, sent", f"{rows['frame_row_sent_bytes']:.0f} bytes of "
         f"{rows['frame_row_bytes']:.0f}, by zstd"),
        ("a window that closes, its row of state, its value as JSON",
         f"{rows['close_window_us']:.1f}, {rows['state_row_us']:.1f} and "
         f"{rows['value_us']:.1f} µs"),
        ("a row of state, sent to the changelog",
         f"{rows['state_row_sent_bytes']:.0f} bytes of {rows['state_row_bytes']:.0f}"),
        ("a closed window, sent to `kpi-values`",
         f"{rows['value_sent_bytes']:.0f} bytes of {rows['value_bytes']:.0f}"),
        ("memory of a worker that idles", f"{idle['resident_mb']} MB"),
        (f"memory of a series, the whole of a worker that holds {series['series']:,}",
         f"{shared / 1000:.1f} kB"),
        ("memory of a series, in both stages alone, one slice open",
         f"{memory['series_bytes'] / 1000:.1f} kB"),
        ("memory of an open slice of it, from one source partition",
         f"{memory['open_slice_bytes']:,} bytes"),
        ("memory of an id of 11 characters that is remembered", f"{memory['id_bytes']:,} bytes"),
    ]  # fmt: skip
