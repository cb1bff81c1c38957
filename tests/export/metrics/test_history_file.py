"""Closed windows as history that Prometheus can load."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.core.model.kpis import Target
from agent.core.model.results import (
    AlertPhase,
    Emitted,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import is_whole
from agent.export.metrics.history_file import History
from tests.export.invented import COMPANY, MINUTE_MS, NOW_MS

SLOW_IN_EMEA = 'kpi_rule_state{rule="slow_support",severity="%s",kpi="response_time",region="emea"}'
START_MS = NOW_MS // 3_600_000 * 3_600_000


def _window(region: str, minute: int, value: float | None, *, open_: bool = False) -> WindowValue:
    end_ms = START_MS + minute * MINUTE_MS
    return WindowValue(
        "response_time", (region,), end_ms - 5 * MINUTE_MS, end_ms, value, 9, open=open_
    )


def _text(
    windows: list[WindowValue],
    targets: list[TargetStatus] | None = None,
    steps: list[Transition] | None = None,
    every_ms: int | None = None,
) -> str:
    with History(COMPANY, every_ms) as history:
        history.add(Emitted(tuple(windows), tuple(targets or ()), tuple(steps or ())))
        return b"".join(history.chunks()).decode()


def _step(rule: str, minute: int, to: AlertPhase, region: str | None = None) -> Transition:
    kpi, severity = COMPANY.rules[rule].kpi, COMPANY.rules[rule].levels[0].severity
    at_ms = START_MS + minute * MINUTE_MS
    return Transition(
        rule, severity, kpi, (region,) if region else (), at_ms, at_ms,
        to, AlertPhase.INACTIVE, 1.0, "", at_ms, at_ms, "when",
    )  # fmt: skip


def _samples(text: str, start: str) -> list[tuple[str, int]]:
    """Value and minute of the samples whose line starts so."""
    points = [line[len(start) :].split() for line in text.splitlines() if line.startswith(start)]
    return [(value, (int(at) - START_MS // 1000) // 60) for value, at in points]


def test_a_closed_window_is_a_sample_at_its_end() -> None:
    window = WindowValue("feedback_score", (), 0, 1_500, 4.5, 3)
    assert _text([window]) == (
        "# HELP kpi_feedback_score_stars Feedback score: closed windows.\n"
        "# TYPE kpi_feedback_score_stars gauge\n"
        "# UNIT kpi_feedback_score_stars stars\n"
        "kpi_feedback_score_stars 4.5 1.500\n"
        "# HELP kpi_window_events Events in closed windows.\n"
        "# TYPE kpi_window_events gauge\n"
        'kpi_window_events{kpi="feedback_score"} 3 1.500\n'
        "# EOF\n"
    )


def test_series_are_in_one_piece_and_in_the_order_of_time() -> None:
    windows = [_window(r, m, m / 2) for r in ("emea", "apac") for m in range(30)]
    shuffled = random.Random(7).sample(windows, len(windows))
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
    assert f'kpi_response_time_target_seconds{{band="at_most",region="emea"}} 240 {at}\n' in text


def test_an_alert_has_its_state_at_the_end_of_every_window_and_where_it_steps() -> None:
    windows = [_window("emea", m, 300.0) for m in range(1, 6)]
    steps = [
        _step("slow_support", 2, AlertPhase.PENDING, "emea"),
        _step("slow_support", 4, AlertPhase.FIRING, "emea"),
        _step("slow_support", 5, AlertPhase.RESOLVED, "emea"),
    ]
    text = _text(windows, steps=steps)
    assert _samples(text, SLOW_IN_EMEA % "warning") == [
        ("0", 1), ("1", 2), ("1", 3), ("2", 4), ("0", 5),
    ]  # fmt: skip
    assert _samples(text, SLOW_IN_EMEA % "critical") == [("0", m) for m in range(1, 6)]


def test_an_alert_of_a_kpi_as_a_whole_has_no_region() -> None:
    assert is_whole(COMPANY.rules["quiet_support"])
    windows = [_window(r, m, 3.0) for m in (1, 2, 3) for r in ("emea", "apac")]
    text = _text(windows, steps=[_step("quiet_support", 2, AlertPhase.FIRING)])
    lines = [line for line in text.splitlines() if "quiet_support" in line]
    assert len(lines) == 3
    start = lines[0].partition("}")[0] + "}"
    assert "region" not in start
    assert _samples(text, start) == [("0", 1), ("2", 2), ("2", 3)]


def test_steps_between_windows_are_samples_of_their_own() -> None:
    first, last = _window("emea", 5, 3.0), _window("emea", 10, 3.0)
    steps = [_step("slow_support", 7, AlertPhase.FIRING, "emea")]
    text = _text([first, last], steps=steps)
    start = (
        'kpi_rule_state{rule="slow_support",severity="warning",kpi="response_time",region="emea"}'
    )
    assert _samples(text, start) == [("0", 5), ("2", 7), ("2", 10)]


def test_values_are_repeated_until_the_next_window_where_that_is_asked_for() -> None:
    windows = [_window("emea", 1, 3.0), _window("emea", 6, None), _window("emea", 11, 4.0)]
    steps = [_step("slow_support", 4, AlertPhase.FIRING, "emea")]
    text = _text(windows, steps=steps, every_ms=2 * MINUTE_MS)
    value = _samples(text, 'kpi_response_time_seconds{region="emea"}')
    # At every other minute; the window that ends at 6 has no value, so nothing is repeated of it.
    assert value == [("3.0", 1), ("3.0", 2), ("3.0", 4), ("4.0", 11)]
    start = (
        'kpi_rule_state{rule="slow_support",severity="warning",kpi="response_time",region="emea"}'
    )
    assert _samples(text, start) == [
        ("0", 1), ("0", 2), ("2", 4), ("2", 6), ("2", 8), ("2", 10), ("2", 11),
    ]  # fmt: skip


def test_what_is_taken_in_parts_is_what_is_taken_at_once() -> None:
    windows = [_window(r, m, m / 2) for m in range(1, 30) for r in ("emea", "apac")]
    steps = [_step("slow_support", m, AlertPhase.FIRING, "emea") for m in (3, 17)]
    with History(COMPANY) as history:
        for at in range(1, 30):
            end_ms = START_MS + at * MINUTE_MS
            part = tuple(w for w in windows if w.end_ms == end_ms)
            history.add(Emitted(part, (), tuple(s for s in steps if s.at_ms == end_ms)))
        parts = b"".join(history.chunks()).decode()
    assert parts == _text(windows, steps=steps)


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


def test_a_window_in_maintenance_has_a_sample_of_it_that_ends_with_the_next() -> None:
    maintained = structs.replace(_window("emea", 5, 7.0), maintenance="phones")
    text = _text([maintained, _window("emea", 10, 8.0)], every_ms=MINUTE_MS)
    start = 'kpi_maintenance{kpi="response_time",maintenance="phones",region="emea"} '
    assert _samples(text, start) == [("1", minute) for minute in range(5, 10)]


def test_external_labels_are_of_every_sample() -> None:
    with History(COMPANY, external={"environment": "prod"}) as history:
        history.add(Emitted((WindowValue("feedback_score", (), 0, 1_500, 4.5, 3),)))
        text = b"".join(history.chunks()).decode()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples
    assert all('environment="prod"' in line for line in samples)
