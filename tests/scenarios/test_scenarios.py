"""Every scenario file comes out as it says, however its events are batched and spread."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.scenario import in_words, read, run

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("one_by_one", "state_partitions"),
    [(False, 1), (True, 1), (True, 3)],
    ids=["at-once", "one-by-one", "spread"],
)
def test_a_scenario_comes_out_as_it_says(
    path: Path, one_by_one: bool, state_partitions: int, tmp_path: Path
) -> None:
    scenario = read(path, tmp_path)

    published = run(scenario, one_by_one, state_partitions)

    actual = in_words(scenario, published)
    assert {name: _sorted(actual[name]) for name in scenario.expect} == {
        name: _sorted(lines) for name, lines in scenario.expect.items()
    }
    if state_partitions == 1:
        _assert_in_event_time_order(published.windows, published.transitions)


def _assert_in_event_time_order(windows: list, transitions: list) -> None:  # type: ignore[type-arg]
    by_series: dict[tuple[object, ...], list[int]] = {}
    for window in windows:
        by_series.setdefault((window.kpi, window.dimensions), []).append(window.end_ms)
    for t in transitions:
        by_series.setdefault((t.rule, t.severity, t.dimensions), []).append(t.at_ms)
    assert by_series == {series: sorted(times) for series, times in by_series.items()}


def _sorted(section: object) -> object:
    return sorted(section) if isinstance(section, list) else section
