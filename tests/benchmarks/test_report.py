"""The report says what was measured, and whether it was enough."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import report, results


def keep(folder: Path, name: str, speed: int, **more: object) -> None:
    median = {"events_per_second": speed, "exact": True, "peak_mb": 300}
    shown = {
        "median": median,
        "runs": [median],
        "machine": {"load_before": 0.1},
        "at": "",
        **more,
    }
    (folder / f"{name}.json").write_text(json.dumps(shown))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


def test_a_figure_that_is_reached_says_yes_and_one_that_is_not_no(folder: Path) -> None:
    keep(folder, "agent-w", 360_000)
    keep(folder, "agent-w20", 180_000)
    keep(folder, "peer-flink-sql", 180_000, title="Flink SQL, cold")
    by_figure = {figure: reached for figure, _, _, reached in report.rows()}
    assert by_figure["W, one process: events/s"] == "yes"
    assert by_figure["W: times as fast as Flink SQL"] == "yes"
    assert by_figure["W with 20 KPIs, share of the speed"] == "**no**"


def test_what_was_not_measured_says_so(folder: Path) -> None:
    assert {measured for _, _, measured, _ in report.rows()} == {"not measured"}


def test_a_wrong_answer_is_not_among_the_speeds(folder: Path) -> None:
    wrong = {"events_per_second": 9_000_000, "exact": False}
    keep(folder, "agent-w", 1, median=wrong)
    keep(folder, "peer-faust", 3_000, title="Plain Faust")
    assert [title for title, _, _ in report.speeds()] == ["Plain Faust"]


def test_the_plot_is_well_formed_and_names_everybody(folder: Path) -> None:
    svg = ElementTree.fromstring(
        report.plot([("KPI agent", 4e5, ""), ("Kafka <Streams>", 1e5, "")])
    )
    texts = [element.text for element in svg.iter() if element.text and element.text.strip()]
    assert {"KPI agent", "Kafka <Streams>", "400,000", "100,000"} <= set(texts)
