"""Closed windows as history that Prometheus can load."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.core.plan import Target
from agent.core.results import TargetState, TargetStatus, WindowValue
from agent.export.openmetrics import openmetrics_chunks
from tests.export.invented import COMPANY, MINUTE_MS, NOW_MS

START_MS = NOW_MS // 3_600_000 * 3_600_000


def _window(region: str, minute: int, value: float | None, *, open_: bool = False) -> WindowValue:
    end_ms = START_MS + minute * MINUTE_MS
    return WindowValue(
        "response_time", (region,), end_ms - 5 * MINUTE_MS, end_ms, value, 9, open=open_
    )


def _text(windows: list[WindowValue], targets: list[TargetStatus] | None = None) -> str:
    return b"".join(openmetrics_chunks(COMPANY, windows, targets or [])).decode()


def test_a_closed_window_is_a_sample_at_its_end() -> None:
    window = WindowValue("feedback_score", (), 0, 1_500, 4.5, 3)
    assert _text([window]) == (
        "# HELP kpi_feedback_score_stars Feedback score: closed windows.\n"
        "# TYPE kpi_feedback_score_stars gauge\n"
        "# UNIT kpi_feedback_score_stars stars\n"
        "kpi_feedback_score_stars 4.5 1.500\n"
        "# HELP kpi_window_events Of closed windows.\n"
        "# TYPE kpi_window_events gauge\n"
        'kpi_window_events{kpi="feedback_score"} 3 1.500\n'
        "# EOF\n"
    )


def test_any_order_of_windows_gives_series_in_the_order_of_time() -> None:
    windows = [_window(r, m, m / 2) for r in ("emea", "apac") for m in range(30)]
    shuffled = random.Random(7).sample(windows, len(windows))
    assert _text(shuffled) == _text(windows)
    families = {f.name: f for f in text_string_to_metric_families(_text(shuffled))}
    seen = [
        (s.labels["region"], float(s.timestamp))
        for s in families["kpi_response_time_seconds"].samples
    ]
    assert seen == sorted(seen)
    assert len(seen) == 60


def test_open_windows_and_missing_values_are_left_out() -> None:
    windows = [_window("emea", 1, 5.0, open_=True), _window("emea", 2, None)]
    assert "kpi_response_time_seconds" not in _text(windows)
    assert _text([]) == "# EOF\n"


def test_a_target_status_gives_state_attainment_and_bounds() -> None:
    window = _window("emea", 3, 300.0)
    status = TargetStatus(
        window, TargetState.MISSED, None, 0.8, Target(at_most=240, warn_at_most=200)
    )
    text = _text([window], [status])
    at = START_MS // 1000 + 180
    assert f'kpi_target_state{{kpi="response_time",region="emea"}} 3 {at}\n' in text
    assert f'kpi_target_attainment_ratio{{kpi="response_time",region="emea"}} 0.8 {at}\n' in text
    assert f'kpi_response_time_target_seconds{{region="emea",band="at_most"}} 240 {at}\n' in text


@pytest.mark.needs_prometheus
def test_promtool_makes_blocks_of_it(tmp_path: Path) -> None:
    windows = [_window(r, m, m / 2) for r in ("emea", 'a "b"\n') for m in range(300)]
    source, blocks = tmp_path / "kpis.om", tmp_path / "data"
    source.write_text(_text(random.Random(7).sample(windows, len(windows))))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(blocks)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (blocks / "wal").mkdir()  # the dump asks for one
    dumped = subprocess.run(
        ["promtool", "tsdb", "dump", str(blocks)], capture_output=True, text=True, check=True
    )
    values = [line for line in dumped.stdout.splitlines() if "kpi_response_time_seconds" in line]
    assert len(values) == 600
