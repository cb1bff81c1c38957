"""From what was measured to how many workers, partitions and bytes a load needs: the worked example
of docs/scaling.md, and any other.

    python -m benchmarks.sizing
    python -m benchmarks.sizing --events 50000 --series 2000 --source-partitions 8
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from benchmarks import results

BUSY = 0.6
"""How busy a worker may be kept: the rest is for catching up, and the share of one that fails."""
DAY_SECONDS = 86_400
FRAMES_KEPT_DAYS = 3
MEASURED = ("workers-1-uniform", "costs", "frames", "series", "idle")


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in, and how it is cut up."""

    events: int = 1_000_000  # a second
    source_partitions: int = 48
    state_partitions: int = 16
    series: int = 5_000
    sources_per_series: float = 48  # source partitions that bring events of a series in a flush
    window_seconds: float = 60  # between two windows of a series that close
    lateness_seconds: float = 10
    slice_seconds: float = 60
    flush_seconds: float = 1
    ids: int = 0  # 1: events carry an id that is deduplicated


@dataclass(frozen=True, slots=True)
class Needs:
    """What it takes. Rates are a second."""

    ingest_cores: float
    frames: float
    rows: float
    windows: float
    merge_cores: float
    workers: int
    frames_mb: float
    frames_kept_gb: float
    changelog_mb: float
    values_mb: float
    slices_gb: float
    ids_gb: float
    series_gb_each: float


def needs(load: Load, measured: Mapping[str, Any]) -> Needs:
    """What a load takes, of what was measured: the results by name, as in `MEASURED`."""
    worker = measured["workers-1-uniform"]["median"]
    costs, rows, memory = measured["costs"], measured["costs"]["rows"], measured["costs"]["memory"]
    frames = load.source_partitions * load.state_partitions / load.flush_seconds
    changed = min(load.series * load.sources_per_series / load.flush_seconds, load.events)
    windows = load.series / load.window_seconds
    ingest = load.events * worker["cpu_us_per_event"] / 1e6
    merge = (
        frames * measured["frames"]["us_per_frame"]
        + changed * (rows["make_row_us"] + rows["merge_row_us"])
        + windows * (rows["close_window_us"] + rows["state_row_us"] + rows["value_us"])
    ) / 1e6
    frames_bytes = frames * costs["empty_frame"]["bytes"] + changed * rows["frame_row_sent_bytes"]
    open_slices = 1 + (load.lateness_seconds + load.flush_seconds) / load.slice_seconds
    partials = load.series * load.sources_per_series * open_slices
    series_bytes = (
        measured["series"]["resident_mb"] - measured["idle"]["resident_mb"]
    ) * 1e6 / measured["series"]["series"]  # fmt: skip
    remembered = load.ids * load.events * (load.slice_seconds + load.lateness_seconds)
    return Needs(
        ingest_cores=ingest,
        frames=frames,
        rows=changed,
        windows=windows,
        merge_cores=merge,
        workers=math.ceil((ingest + merge) / BUSY),
        frames_mb=frames_bytes / 1e6,
        frames_kept_gb=frames_bytes * FRAMES_KEPT_DAYS * DAY_SECONDS / 1e9,
        changelog_mb=windows * rows["state_row_sent_bytes"] / 1e6,
        values_mb=windows * rows["value_sent_bytes"] / 1e6,
        slices_gb=partials * memory["open_slice_bytes"] / 1e9,
        ids_gb=remembered * memory["id_bytes"] / 1e9,
        series_gb_each=load.series * series_bytes / 1e9,
    )


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


def example_rows(load: Load, measured: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a load takes, how much of it, and by what."""
    needed = needs(load, measured)
    return [
        ("stage 1", f"{needed.ingest_cores:.1f} cores", "events × CPU of an event"),
        ("frames", f"{needed.frames:,.0f} a second",
         "source partitions × state partitions ÷ flush interval"),
        ("rows in them", f"{needed.rows:,.0f} a second",
         "series × source partitions that bring them ÷ flush interval, at most one an event"),
        ("windows that close", f"{needed.windows:,.0f} a second", "series ÷ hop"),
        ("stage 2", f"{needed.merge_cores:.1f} cores",
         "frames, rows and windows, each × its CPU"),
        ("workers with a core each", f"{needed.workers}", f"both stages, kept {BUSY:.0%} busy"),
        ("frames traffic", f"{needed.frames_mb:.1f} MB/s, {needed.frames_kept_gb:,.0f} GB kept",
         f"frames and rows × their bytes; {FRAMES_KEPT_DAYS} days"),
        ("changelog", f"{needed.changelog_mb * 1000:,.0f} kB/s, before compaction",
         "windows × a row of state"),
        ("`kpi-values`", f"{needed.values_mb * 1000:,.0f} kB/s", "windows × a value"),
        ("memory of open slices, all workers", f"{needed.slices_gb:.1f} GB",
         "series × source partitions × open slices"),
        ("memory of ids, all workers", f"{needed.ids_gb:.1f} GB",
         "events × (slice + lateness), where contracts name an id"),
        ("memory of series, each worker", f"{needed.series_gb_each:.2f} GB",
         "series of the company"),
    ]  # fmt: skip


def measured() -> dict[str, Any] | None:
    """The results that it needs; None when some were never measured."""
    by_name = {name: results.load(name) for name in MEASURED}
    return None if None in by_name.values() else by_name


def main() -> None:
    """Say what a load takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for field in fields(Load):
        kind = float if isinstance(field.default, float) or "seconds" in field.name else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    known = measured()
    if known is None:
        raise SystemExit(f"measure first: {', '.join(MEASURED)}")
    needed = needs(Load(**vars(parser.parse_args())), known)
    for field in fields(Needs):
        print(f"{field.name:>16}: {getattr(needed, field.name):,.2f}")


if __name__ == "__main__":
    main()
