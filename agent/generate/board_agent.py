"""The agent's own board in Grafana: whether it runs, keeps up, and what it rejects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.core.model import metrics
from agent.core.output.addresses import AGENT_TITLE, AGENT_UID, STRATEGY_UID
from agent.generate import names, panels, ranking
from agent.generate.agent_alerts import WORKERS
from agent.generate.layout import Board, Cell, Section
from agent.generate.panels import About, Column, Query

RATE = "[$__rate_interval]"


def agent_board(external: Sequence[str] = ()) -> Board:
    """The board of all workers; `external`: the labels that distinguish environments."""
    series = _Series(external)
    return Board(
        uid=AGENT_UID,
        title=AGENT_TITLE,
        description="The health of the agents: for those who run them.",
        tags=["agent"],
        sections=[
            Section("Workers", 5, list(_workers(series))),
            Section("Records", 8, list(_records(series))),
            Section("Keeping up", 8, list(_keeping_up(series))),
            Section("Inside", 8, list(_inside(series))),
            Section("Process", 7, list(_process(series))),
        ],
        external_labels=external,
        links=[("Strategy", f"/d/{STRATEGY_UID}")],
        since="now-1h",
    )


class _Series:
    """Selects the series of the environment that is selected on the board."""

    def __init__(self, external: Sequence[str]) -> None:
        self._environment = names.chosen(external)

    def of(self, metric: str, *matchers: str) -> str:
        """The series of all workers of a metric."""
        return names.matching(metric, [*matchers, *self._environment])


def _or_zero(query: str, label: str, word: str) -> str:
    """A query of rare events; without any, a line at zero with this legend instead of `no data`."""
    return f'{query} or on () label_replace(vector(0), "{label}", "{word}", "", "")'


def _increase(series: str, label: str) -> str:
    """The increase of counters that rose, by label."""
    return f"sum by ({label}) (increase({series}{RATE})) > 0"


def _workers(series: _Series) -> Iterator[Cell]:
    about = About("Workers", "Agents that Prometheus can scrape.", "short")
    yield Cell(
        panels.stat_panel(about, [Query(f"count({series.of(metrics.BUILD_INFO)})", "workers")]), 3
    )
    about = About(
        "Ready",
        "Components of workers, those that are not ready first; /-/ready says why not.",
        "none",
    )
    not_ready_first = f"bottomk({ranking.ROWS}, {series.of(metrics.READY)})"
    query = Query(not_ready_first, "{{instance}} {{component}}")
    yield Cell(panels.stat_panel(about, [query], states=panels.READY_STATES), 9)
    about = About("Rules loaded", "When each worker loaded the rules it runs.", "dateTimeFromNow")
    query = Query(f"{series.of(metrics.LAST_RELOAD)} * 1000", "{{instance}}")
    yield Cell(panels.stat_panel(about, [query]), 4)
    about = About("Versions", "All workers should run the same version and the same rules.", "none")
    panel = panels.table_panel(
        about,
        [Query(series.of(metrics.BUILD_INFO))],
        columns={
            "instance": Column("Worker"),
            "version": Column("Version"),
            "config_hash": Column("Rules"),
            "python": Column("Python"),
        },
        sort_by="instance",
    )
    yield Cell(panel, 8)


def _records(series: _Series) -> Iterator[Cell]:
    about = About(
        "Records by outcome",
        "What became of the consumed records; every record has one outcome.",
        "cps",
    )
    query = Query(f"sum by (outcome) (rate({series.of(metrics.RECORDS)}{RATE}))", "{{outcome}}")
    yield Cell(panels.line_panel(about, [query], stacked=True), 8)
    about = About("Records by topic", f"The {ranking.LINES} topics with the most records.", "cps")
    read = f"sum by (topic) (rate({series.of(metrics.RECORDS)}{RATE}))"
    query = Query(ranking.highest(read, ranking.LINES), "{{topic}}")
    yield Cell(panels.line_panel(about, [query]), 8)
    about = About(
        "Refused records by reason",
        "Rejected records are in the dead-letter topic, late ones in the late topic.",
        "cps",
    )
    refused = series.of(metrics.RECORDS, 'outcome=~"rejected|late|duplicate"')
    by_reason = f"sum by (topic, outcome, reason) (rate({refused}{RATE}))"
    most = ranking.highest(by_reason, ranking.LINES)
    query = Query(_or_zero(most, "outcome", "none"), "{{topic}} {{outcome}} {{reason}}")
    yield Cell(panels.line_panel(about, [query]), 8)


def _keeping_up(series: _Series) -> Iterator[Cell]:
    about = About(
        "Lag",
        "Records that wait to be read, by topic; frames to be merged; values to be written "
        "remotely.",
        "short",
    )
    queries = [
        Query(
            ranking.highest(f"sum by (topic) ({series.of(metrics.LAG)})", ranking.LINES),
            "{{topic}}",
        ),
        Query(f"sum({series.of(metrics.FRAMES_LAG)})", "frames"),
        Query(f"sum({series.of(metrics.REMOTE_WRITE_PENDING)})", "remote write"),
    ]
    yield Cell(panels.line_panel(about, queries), 8)
    about = About(
        "Event time behind the clock",
        "How old the watermark of each topic's slowest partition is. Windows close by it.",
        "s",
    )
    behind = f"time() - min by (topic) (max without ({WORKERS}) ({series.of(metrics.WATERMARK)}))"
    query = Query(ranking.highest(behind, ranking.LINES), "{{topic}}")
    yield Cell(panels.line_panel(about, [query]), 8)
    about = About(
        "Stages, 99th percentile",
        "Fold: decoding and folding a batch. Flush: until its frames are acknowledged. Close: from "
        "a frame's arrival until what it closed is published.",
        "s",
    )
    queries = [
        Query(
            f"histogram_quantile(0.99, sum by (le) (rate({series.of(f'{metric}_bucket')}{RATE})))",
            stage,
        )
        for stage, metric in (
            ("fold", metrics.FOLD_SECONDS),
            ("flush", metrics.FLUSH_SECONDS),
            ("close", metrics.CLOSE_SECONDS),
        )
    ]
    yield Cell(panels.line_panel(about, queries), 8)


def _inside(series: _Series) -> Iterator[Cell]:
    about = About(
        "Frames",
        "Sent by the first stage, applied by the second. Ignored ones cover less than one applied "
        "before: normal after a restart.",
        "cps",
    )
    queries = [
        Query(f"sum(rate({series.of(metric)}{RATE}))", word)
        for word, metric in (
            ("sent", metrics.FRAMES_SENT),
            ("applied", metrics.FRAMES_APPLIED),
            ("ignored", metrics.FRAMES_IGNORED),
            ("late partials", metrics.LATE_PARTIALS),
        )
    ]
    yield Cell(panels.line_panel(about, queries), 8)
    about = About("State", "Series and table rows by worker.", "short")
    queries = [
        Query(series.of(metrics.SERIES), "series {{instance}}"),
        Query(series.of(metrics.TABLE_ROWS), "rows {{instance}}"),
    ]
    yield Cell(panels.line_panel(about, queries), 8)
    about = About(
        "Errors, missed records and refused series",
        "Exceptions caught, by component; failed reloads; records that were deleted before they "
        "were read; series over their KPI's max_series.",
        "short",
    )
    failed = series.of(metrics.RELOADS, 'result="failed"')
    queries = [
        Query(
            _or_zero(_increase(series.of(metrics.ERRORS), "component"), "component", "errors"),
            "{{component}}",
        ),
        Query(f"sum(increase({failed}{RATE}))", "failed reloads"),
        Query(
            _or_zero(_increase(series.of(metrics.RECORDS_MISSED), "topic"), "topic", "records"),
            "missed {{topic}}",
        ),
        Query(
            _or_zero(_increase(series.of(metrics.DROPPED_SERIES), "kpi"), "kpi", "series"),
            "dropped {{kpi}}",
        ),
    ]
    yield Cell(panels.line_panel(about, queries, bars=True), 8)


def _process(series: _Series) -> Iterator[Cell]:
    job = f"job={names.quoted(names.JOB)}"
    about = About("CPU", "Seconds of CPU a second, by worker.", "short")
    cpu = f"rate({series.of('process_cpu_seconds_total', job)}{RATE})"
    query = Query(ranking.highest(cpu, ranking.LINES), "{{instance}}")
    yield Cell(panels.line_panel(about, [query], ranked="highest first"), 12)
    about = About("Memory", "Resident memory by worker.", "bytes")
    memory = series.of("process_resident_memory_bytes", job)
    query = Query(ranking.highest(memory, ranking.LINES), "{{instance}}")
    yield Cell(panels.line_panel(about, [query], ranked="highest first"), 12)
