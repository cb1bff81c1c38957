"""Every scenario file comes out as it says, however its events are batched and spread."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.scenario import in_words, read, run

FILES = sorted(Path(__file__).parent.glob("*.yaml"))

SLICES = "a slice with events counts only by its end, so silence seems longer than it was"
DROPPED = "a window is judged as current after the panes that it needs were dropped"
DEFECTS = {
    "absence_between_slices": SLICES,
    "absence_of_a_kpi": SLICES,
    "absence_of_a_series": SLICES,
    "current_value": DROPPED,
}
"""Scenarios that do not come out yet, and why."""


def _param(path: Path) -> object:
    defect = DEFECTS.get(path.stem)
    marks = [pytest.mark.xfail(reason=defect, strict=True)] if defect else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [_param(path) for path in FILES])
@pytest.mark.parametrize(
    ("one_by_one", "state_partitions"),
    [(False, 1), (True, 1), (True, 3)],
    ids=["at-once", "one-by-one", "spread"],
)
def test_a_scenario_comes_out_as_it_says(
    path: Path, one_by_one: bool, state_partitions: int, tmp_path: Path
) -> None:
    scenario = read(path, tmp_path)

    told = run(scenario, one_by_one, state_partitions)

    found = in_words(scenario, told)
    assert {name: _sorted(found[name]) for name in scenario.expect} == {
        name: _sorted(lines) for name, lines in scenario.expect.items()
    }
    if state_partitions == 1:
        _assert_in_event_time_order(told.windows, told.transitions)


def _assert_in_event_time_order(windows: list, transitions: list) -> None:  # type: ignore[type-arg]
    by_series: dict[tuple[object, ...], list[int]] = {}
    for window in windows:
        by_series.setdefault((window.kpi, window.dimensions), []).append(window.end_ms)
    for t in transitions:
        by_series.setdefault((t.rule, t.severity, t.dimensions), []).append(t.at_ms)
    assert by_series == {series: sorted(times) for series, times in by_series.items()}


def _sorted(section: object) -> object:
    return sorted(section) if isinstance(section, list) else section
