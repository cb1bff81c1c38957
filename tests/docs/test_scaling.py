"""The page about scaling: its queries are PromQL over metrics that exist, its example adds up."""

from __future__ import annotations

import re
from dataclasses import replace

import promql_parser
import pytest

from benchmarks import sizing
from benchmarks.sizing import Load, needs
from tests.conftest import ROOT
from tests.docs.test_operations import first_cells, section

PAGE = (ROOT / "docs" / "scaling.md").read_text()
QUERIES = re.findall(r"^```promql\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
MEASURED = {
    "workers-1-uniform": {"median": {"cpu_us_per_event": 5.0}},
    "frames": {"us_per_frame": 400.0},
    "series": {"resident_mb": 600, "series": 100_000},
    "idle": {"resident_mb": 150},
    "costs": {
        "event_us_by_kpis": {"1": 2.0},
        "empty_frame": {"make_us": 5.0, "merge_us": 10.0, "bytes": 50.0},
        "rows": {
            "make_row_us": 0.5, "merge_row_us": 1.0, "frame_row_bytes": 30.0,
            "frame_row_sent_bytes": 10.0, "close_window_us": 5.0, "state_row_us": 5.0,
            "state_row_bytes": 200.0, "state_row_sent_bytes": 40.0, "value_us": 10.0,
            "value_bytes": 250.0, "value_sent_bytes": 20.0,
        },
        "memory": {"series_bytes": 2_000, "open_slice_bytes": 500, "id_bytes": 60},
    },
}  # fmt: skip


def test_there_are_queries_to_test() -> None:
    assert len(QUERIES) >= 8


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_page_is_promql_over_metrics_that_the_agent_exports(query: str) -> None:
    promql_parser.parse(query)
    exported = set(re.findall(r"`(kpi_agent_\w+)", " ".join(first_cells(section("Metrics")))))
    named = set(re.findall(r"kpi_agent_\w+", query))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert plain <= exported
    assert named or "process_" in query


def test_a_million_events_a_second_need_what_their_parts_add_up_to() -> None:
    load = Load(series=5_000, source_partitions=48, state_partitions=16, sources_per_series=48)
    estimate = needs(load, MEASURED)
    assert estimate.ingest_cores == pytest.approx(5.0)  # 1,000,000 × 5 µs
    assert estimate.frames == 768
    assert estimate.rows == 240_000
    assert estimate.merge_cores == pytest.approx(0.3072 + 0.36 + 5_000 / 60 * 20e-6)
    assert estimate.workers == 10  # 5.67 cores, kept 60 % busy
    assert estimate.frames_mb == pytest.approx(0.0384 + 2.4)
    assert estimate.series_gb_each == pytest.approx(5_000 * 4_500 / 1e9)


def test_no_longer_rows_are_sent_than_events_came() -> None:
    assert needs(Load(series=1_000_000), MEASURED).rows == 1_000_000


def test_twice_the_flush_interval_is_half_the_frames_and_rows() -> None:
    once, twice = (needs(Load(flush_seconds=s), MEASURED) for s in (1.0, 2.0))
    assert (twice.frames, twice.rows) == (once.frames / 2, once.rows / 2)


def test_ids_are_remembered_for_a_slice_and_the_lateness() -> None:
    load = replace(Load(), ids=1, lateness_seconds=10, slice_seconds=60)
    assert needs(load, MEASURED).ids_gb == pytest.approx(1e6 * 70 * 60 / 1e9)


def test_every_number_of_the_tables_has_its_words() -> None:
    rows = sizing.cost_rows(MEASURED)
    assert len({what for what, _ in rows}) == len(rows) == 14
    assert ("workers with a core each", "10") in {
        (what, how) for what, how, _ in sizing.example_rows(Load(), MEASURED)
    }
