from __future__ import annotations

import pytest

from agent.demo import story


def test_history_is_free_of_trouble() -> None:
    assert [story.stage_at(float(second)) for second in range(-300, 0)] == [None] * 300
    assert {story.slowdown_factor(float(second)) for second in range(-300, 0)} == {1.0}


def test_stages_do_not_overlap_and_fit_into_a_day() -> None:
    ends = [0.0]
    for stage in story.STAGES:
        assert ends[-1] < stage.begins_seconds < stage.ends_seconds <= story.DAY_SECONDS
        ends.append(stage.ends_seconds)


@pytest.mark.parametrize("stage", story.STAGES, ids=lambda s: s.name)
def test_a_stage_includes_its_beginning_excludes_its_end_and_comes_back_every_day(
    stage: story.Stage,
) -> None:
    for day in range(3):
        begin = day * story.DAY_SECONDS + stage.begins_seconds
        end = day * story.DAY_SECONDS + stage.ends_seconds
        assert story.stage_at(begin) is stage
        assert story.stage_at(begin - 0.1) is None
        assert story.stage_at(end) is None


def test_answers_get_slower_bit_by_bit_and_recover() -> None:
    seen = [story.slowdown_factor(second) for second in (5.0, 10.0, 15.0, 44.0, 45.0)]
    assert seen == [1.0, 3.0, 5.0, 5.0, 1.0]


def test_a_day_has_a_quiet_night_and_a_busy_evening() -> None:
    day = [story.traffic_factor(float(second)) for second in range(int(story.DAY_SECONDS))]
    assert sum(day) / len(day) == pytest.approx(1.0, abs=0.01)
    assert 0.5 < min(day) < 0.65
    assert 1.25 < max(day) < 1.45
    assert story.traffic_factor(10.0) == pytest.approx(
        story.traffic_factor(10.0 + story.DAY_SECONDS)
    )
