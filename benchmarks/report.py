"""The report: tables in `docs/benchmarks.md` and plots beside it, from what was measured last.

    python -m benchmarks.report

The text between the two marks in the page is written again; the rest is written by people.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.export.svg_chart import element
from agent.sizing.estimate import estimate
from agent.sizing.report import rows as estimate_rows
from benchmarks import cost_table, results
from benchmarks.broker import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks.svg"
INK = "#222222"
BEGIN, END = "<!-- measured: written by `make bench-report` -->", "<!-- end of measured -->"
SCALING = ROOT / "docs" / "scaling.md"
COSTS_BEGIN, COSTS_END = "<!-- costs: written by `make bench-report` -->", "<!-- end of costs -->"
EXAMPLE_BEGIN = "<!-- example: written by `make bench-report` -->"
EXAMPLE_END = "<!-- end of example -->"
PEERS = ("flink-sql", "kafka-streams", "quix-streams", "faust")
WORKERS = (*(f"workers-{n}-uniform" for n in (1, 2, 3)), "workers-3-zipf", "workers-3-hot")
WANTED_TIMES = {"faust": 100.0, "quix-streams": 20.0, "kafka-streams": 2.5, "flink-sql": 1.8}
WANTED_SPEED = 350_000

Row = tuple[str, str, str, str]
"""Figure, wanted, measured, whether it is reached."""


def rows() -> list[Row]:
    """The figures against what is wanted; one that was not measured says so."""
    lines: list[Row] = []
    w = results.load("agent-w")
    w20 = results.load("agent-w20")
    speed = _speed(w)
    if w:
        median = w["median"]
        lines.append(_at_least("W, one process: events/s", WANTED_SPEED, speed))
        lines.append(_at_most("W: peak memory, MB", 400, median["peak_mb"]))
    else:
        lines.append(("W, one process", f"{WANTED_SPEED:,} events/s", "not measured", ""))
    for name in PEERS:
        peer = results.load(f"peer-{name}")
        title = (
            f"W: times as fast as {peer['title'].split(',')[0]}" if peer else f"W against {name}"
        )
        times = speed / _speed(peer) if w and peer else None
        lines.append(_at_least(title, WANTED_TIMES[name], times))
    share = _speed(w20) / speed if w and w20 else None
    lines.append(_at_least("W with 20 KPIs, share of the speed", 0.6, share))
    return lines + _scale_rows() + _workers_rows() + _live_rows()


def _scale_rows() -> list[Row]:
    scale = results.load("scale")
    if not scale:
        return [("Cost per event, flat within", "15 %", "not measured", "")]
    million = scale["events"]["by_million_us"]
    series = list(scale["series"].values())
    beyond = [cost["total_us"] - cost["bare_fold_us"] for cost in series]
    return [
        _at_most("Cost per event, 10 million against 1: rise, %", 15,
                 (million[-1] / million[0] - 1) * 100),
        _at_most("Cost per event beyond the bare fold, 10,000 series a KPI against 10: rise, %", 15,
                 (beyond[-1] / beyond[0] - 1) * 100),
    ]  # fmt: skip


def _workers_rows() -> list[Row]:
    more = [_rise(f"workers-{n}-uniform", "workers-1-uniform") for n in (2, 3)]
    skewed = [_rise(f"workers-3-{keys}", "workers-3-uniform") for keys in ("zipf", "hot")]
    return [
        _at_most("CPU of all workers per event, 2 and 3 workers against 1: rise, %", 15,
                 max((speed for speed in more if speed is not None), default=None)),
        _at_most("CPU of all workers per event, skewed keys against even ones: rise, %", 15,
                 max((speed for speed in skewed if speed is not None), default=None)),
    ]  # fmt: skip


def _rise(name: str, base: str) -> float | None:
    """By how many percent an event costs more, in the middle of the runs beside each other."""
    saved, beside = results.load(name), results.load(base)
    if not saved or not beside:
        return None
    pairs = zip(saved["runs"], beside["runs"], strict=True)
    ratios = [run["cpu_us_per_event"] / other["cpu_us_per_event"] for run, other in pairs]
    return (statistics.median(ratios) - 1) * 100


def _live_rows() -> list[Row]:
    series = results.load("series") or {}
    fresh = results.load("freshness") or {}
    idle = results.load("idle") or {}
    start = results.load("startup") or {}
    beside = results.load("backfill") or {}
    return [
        _at_most("100,000 series: scrape, s", 0.5, series.get("scrape_while_ingesting_seconds")),
        _at_most("100,000 series: peak memory, MB", 1200, series.get("peak_mb")),
        _at_most("100,000 series: worst lag of the ingest while scraped, s", 2.0,
                 series.get("worst_lag_seconds")),
        _at_most("Freshness at 50,000 events/s, p99, s", 1.5, fresh.get("p99_seconds")),
        _at_most("Freshness at 20,000 events/s while a KPI's past is read, p99, s", 1.5,
                 beside.get("during", {}).get("p99_seconds")),
        _at_most("Idle: share of a core, %", 2, idle.get("core_percent")),
        _at_most("Idle: memory, MB", 200, idle.get("resident_mb")),
        _at_most("Start to ready on 1,000 open series, s", 10, start.get("ready_seconds")),
    ]  # fmt: skip


def _speed(saved: dict[str, Any] | None) -> float:
    return float(saved["median"]["events_per_second"]) if saved else 0.0


def _at_least(figure: str, wanted: float, measured: float | None) -> Row:
    return _row(figure, "at least ", wanted, measured, measured is not None and measured >= wanted)


def _at_most(figure: str, wanted: float, measured: float | None) -> Row:
    return _row(figure, "at most ", wanted, measured, measured is not None and measured <= wanted)


def _row(figure: str, how: str, wanted: float, measured: float | None, reached: bool) -> Row:
    if measured is None:
        return figure, how + number(wanted), "not measured", ""
    return figure, how + number(wanted), number(measured), "yes" if reached else "**no**"


def number(value: float) -> str:
    """A number as a person reads it."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    out += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(out)


def speeds() -> list[tuple[str, float, str]]:
    """Who, events/s, and details, fastest first; what was not exact is left out."""
    lines = []
    for name, title in (
        ("agent-w", "KPI agent"),
        ("agent-w-cold", "KPI agent, started on the full topic"),
        ("agent-w20", "KPI agent, 20 KPIs"),
        *((f"peer-{name}", "") for name in PEERS),
    ):
        saved = results.load(name)
        if saved and saved["median"]["exact"]:
            runs = ", ".join(number(run["events_per_second"]) for run in saved["runs"])
            lines.append((title or saved["title"], _speed(saved), runs))
    return sorted(lines, key=lambda line: -line[1])


def plot(lines: Sequence[tuple[str, float, str]]) -> str:
    """Bars of events/s, as SVG that reads on a light and on a dark page."""
    width, left, bar, gap = 760, 300, 22, 12
    height = len(lines) * (bar + gap) + 40
    longest = max((speed for _, speed, _ in lines), default=1.0)
    out = [
        element("rect", width="100%", height="100%", fill="#ffffff"),
        element("text", "Workload W: events per second, longer is better", x=8, y=20, fill=INK),
    ]
    for i, (title, speed, _) in enumerate(lines):
        y = 34 + i * (bar + gap)
        size = max(1.0, speed / longest * (width - left - 90))
        color = "#1f6feb" if title.startswith("KPI agent") else "#8c959f"
        name = title.split(", cold")[0][:44]
        out += [
            element("text", name, x=left - 8, y=y + 15, text_anchor="end", fill=INK),
            element("rect", x=left, y=y, width=size, height=bar, fill=color),
            element("text", f"{speed:,.0f}", x=left + size + 6, y=y + 15, fill=INK),
        ]
    drawn = element(
        "svg",
        *out,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label="Events per second on workload W",
        font_family="sans-serif",
        font_size=13,
    )
    return f"{drawn}\n".replace("><", ">\n<")


def measured() -> str:
    """The measured part of the page."""
    parts = []
    names = ["agent-w", "agent-w20", *(f"peer-{name}" for name in PEERS)]
    names += ["scale", *WORKERS, "freshness", "series", "idle", "startup"]
    kept = [(name, result) for name in names if (result := results.load(name))]
    if not kept:
        return "Nothing was measured yet: `make bench`."
    parts.append(_machine(kept[0][1]))
    loads = ", ".join(
        f"{n} {result['machine']['load_before']} ({result['at']})" for n, result in kept
    )
    parts.append(f"Load of the machine (1 minute) when each was kept, and its day: {loads}.")
    parts.append(table(("figure", "wanted", "measured", "reached"), rows()))
    lines = speeds()
    if lines:
        parts.append("![Events per second on workload W](benchmarks.svg)")
        parts.append(
            table(("workload W", "events/s, median", "each run"),
                  [(title, number(speed), runs) for title, speed, runs in lines])
        )  # fmt: skip
    parts += [_costs(), _workers(), _formats(), _shapes()]
    return "\n\n".join(part for part in parts if part)


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{n} {machine[n]}" for n in results.PACKAGES)
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}; Python {machine['python']}, {versions}; {machine['java']}."
    )


def _workers() -> str:
    heads = ("workers", "keys", "CPU of all, µs an event", "each run",
             "standing by, % of a core", "records by worker", "source partitions",
             "state partitions")  # fmt: skip
    lines = []
    for name in WORKERS:
        if result := results.load(name):
            middle = result["median"]
            lines.append(
                (str(middle["workers"]), middle["keys"], f"{middle['cpu_us_per_event']:.2f}",
                 ", ".join(f"{run['cpu_us_per_event']:.2f}" for run in result["runs"]),
                 f"{middle.get('core_percent_standing_by', '')}",
                 ", ".join(f"{n:,}" for n in middle["records_by_worker"]),
                 ", ".join(map(str, middle["source_partitions_by_worker"])),
                 ", ".join(map(str, middle["state_partitions_by_worker"])))
            )  # fmt: skip
    return "Workers on one broker, 12 source partitions:\n\n" + table(heads, lines) if lines else ""


def _costs() -> str:
    scale = results.load("scale")
    if not scale:
        return ""
    heads = ("series a KPI", "decode and fold", "frames and merge", "bare group-by", "total")
    keys = ("decode_and_fold_us", "frames_and_merge_us", "bare_fold_us", "total_us")
    lines = [
        (f"{int(n):,}", *(f"{cost[k]:.2f}" for k in keys)) for n, cost in scale["series"].items()
    ]
    return "CPU microseconds an event, in the core:\n\n" + table(heads, lines)


def _formats() -> str:
    result = results.load("formats")
    if not result:
        return ""
    json = result["formats"]["json"]["total_us"]
    lines = [
        (name, f"{of['bytes']:.0f}", f"{of['decode_us']:.2f}", f"{of['total_us']:.2f}",
         f"{of['total_us'] / json:.2f}")
        for name, of in result["formats"].items()
    ]  # fmt: skip
    heads = ("format", "bytes an event", "decode", "decode and fold", "of JSON's")
    load = result["machine"]["load_before"]
    return (
        "W by format, CPU microseconds an event, without the client; the formats took turns "
        f"(load of the machine {load}, {result['at']}: only the last column says something):\n\n"
        + table(heads, lines)
    )


def _shapes() -> str:
    measured = results.load("shapes")
    if not measured:
        return ""
    flat = next(iter(measured["shapes"].values()))["total_us"]
    lines = [
        (name, f"{of['bytes']:,}", f"{of['total_us'] / flat:.2f}",
         f"{of['total_us'] / of['polars_us']:.2f}" if of["polars_us"] else "")
        for name, of in measured["shapes"].items()
    ]  # fmt: skip
    heads = ("shape", "bytes a record", "of flat", "of polars alone")
    return (
        "W in the shapes that people send, CPU time an event to decode and fold, as ratios within "
        "one run; the shapes took turns. Beside it, the same lines by `polars.read_ndjson` and "
        f"`group_by` alone ({measured['at']}):\n\n" + table(heads, lines)
    )


def between(page: Path, begin: str, end: str, text: str) -> None:
    """Write the text between two marks of a page again."""
    head, _, rest = page.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")


def main() -> None:
    """Write the pages' measured parts, and the plot."""
    between(PAGE, BEGIN, END, measured())
    known = cost_table.measured()
    if known is not None:
        costs = cost_table.costs_of(known)
        cost_table.save_costs(costs)
        lines = table(("what", "costs"), cost_table.cost_rows(known))
        between(SCALING, COSTS_BEGIN, COSTS_END, f"{_machine(known['costs'])}\n\n{lines}")
        needed = estimate(cost_table.EXAMPLE, costs, **cost_table.EXAMPLE_PARTITIONS)
        example = table(("what", "how much", "why"), estimate_rows(needed, costs))
        between(SCALING, EXAMPLE_BEGIN, EXAMPLE_END, example)
    bars = speeds()
    if bars:
        PLOT.write_text(plot(bars))


if __name__ == "__main__":
    main()
