"""The detector behind `anomaly()`, on generated series whose oddities are known."""

import math
from copy import deepcopy

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.history.anomaly.detector import Detection, DetectorState, step

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_772_323_200_000  # 2026-03-01
SPEAKS = 4.0
CALM_AGAIN = 3.0


def verdicts(values, interval_ms=5 * MINUTE):
    state, published = DetectorState(), []
    for i, value in enumerate(values):
        state, detection = step(state, START + i * interval_ms, float(value))
        published.append(detection)
    return published


def episodes(published, quiet=36):
    """The windows at which an alert begins: over 4, until it was under 3 for so many windows."""
    began, high = [], None
    for i, detection in enumerate(published):
        score = detection.score or 0.0
        if high is None:
            if score > SPEAKS:
                began.append(i)
                high = i
        elif score > CALM_AGAIN:
            high = i
        elif i - high >= quiet:
            high = None
    return began


def noise(count, seed=1):
    return 100.0 + 10.0 * np.random.default_rng(seed).standard_normal(count)


def days(count, interval_ms=5 * MINUTE):
    """A square day: 80 from 08:00 to 18:00, else 20."""
    hour = np.arange(count) * interval_ms % DAY / HOUR
    return np.where((hour >= 8) & (hour < 18), 80.0, 20.0)


def test_a_constant_series_is_never_unusual():
    published = verdicts([7.0] * 3000)
    assert {detection.score for detection in published} == {None, 0.0}


def test_it_is_silent_while_it_learns():
    published = verdicts(noise(60))
    assert all(detection.score is None for detection in published[:50])
    assert published[-1].score is not None


def test_a_spike_of_ten_sigma_is_reported_at_once():
    values = noise(4000)
    values[3000] = 200.0
    detection = verdicts(values)[3000]
    assert detection.score > SPEAKS
    assert detection.part == "spike"
    assert detection.actual == pytest.approx(200.0)
    assert detection.expected == pytest.approx(100.0, abs=20.0)


def test_a_new_level_is_reported_once_and_becomes_normal():
    values = noise(8000)
    values[4000:] += 50.0
    published = verdicts(values)
    assert next(i for i in episodes(published) if i >= 4000) < 4005
    assert len([i for i in episodes(published) if 4000 <= i < 4600]) == 1
    assert max(detection.score for detection in published[7000:]) < SPEAKS


def test_a_slow_drift_is_reported_within_a_day():
    values = noise(6000)
    values[4000:] += 30.0 * np.arange(2000) / 288
    assert any(4000 < i < 4288 for i in episodes(verdicts(values)))


def test_values_that_scatter_more_are_reported_as_unrest():
    values = noise(6000)
    values[4000:] = 100.0 + 4.0 * (values[4000:] - 100.0)
    published = verdicts(values)
    assert any(4000 <= i < 4030 for i in episodes(published))
    assert "unrest" in {v.part for v in published[4000:4030] if (v.score or 0.0) > SPEAKS}


def test_a_noisy_series_gone_flat_is_reported_as_calm():
    values = noise(6000)
    values[4000:] = 100.0
    published = verdicts(values)
    first = next(i for i in range(4000, 6000) if published[i].score > SPEAKS)
    assert first < 4100
    assert published[first].part == "calm"


def test_mornings_are_reported_until_they_are_known_and_never_after():
    rng = np.random.default_rng(2)
    values = days(288 * 21) + 2.0 * rng.standard_normal(288 * 21)
    published = verdicts(values)
    assert published[-1].season == "day"
    after = [i for i in episodes(published) if i > 288 * 5]
    assert len([i for i in after if abs(i % 288 - 96) < 3]) == 0


def test_a_day_that_does_not_begin_is_reported_where_it_should_have():
    rng = np.random.default_rng(3)
    values = days(288 * 14) + 2.0 * rng.standard_normal(288 * 14)
    quiet = 288 * 10
    values[quiet : quiet + 288] = 20.0 + 2.0 * rng.standard_normal(288)
    published = verdicts(values)
    detection = next(v for v in published[quiet + 90 :] if (v.score or 0.0) > SPEAKS)
    assert published.index(detection) - quiet in range(96, 99)
    assert detection.season == "day"


def test_a_quiet_weekend_is_a_season_after_some_weeks():
    hours = np.arange(24 * 7 * 10)
    weekend = hours // 24 % 7 >= 5
    rng = np.random.default_rng(4)
    values = np.where(weekend, 30.0, 100.0) + 20.0 * np.sin(hours * math.pi / 12)
    published = verdicts(values + 3.0 * rng.standard_normal(len(hours)), HOUR)
    assert published[-1].season == "week"
    assert [i for i in episodes(published, 6) if i > 24 * 7 * 6] == []


def test_a_window_of_a_day_keeps_its_week_as_clocks_are_put_on():
    rng = np.random.default_rng(5)
    state, published = DetectorState(), []
    for day in range(300):
        summer = 120 < day < 240
        value = (30.0 if day % 7 >= 5 else 100.0) + 3.0 * rng.standard_normal()
        state, detection = step(state, START + day * DAY - summer * HOUR, value)
        published.append(detection)
    assert published[-1].season == "week"
    assert max(v.score or 0.0 for v in published[110:]) < 5.0


@pytest.mark.parametrize("shape", ["normal", "uniform", "exponential", "poisson", "walk"])
def test_noise_speaks_less_than_once_in_two_thousand_windows(shape):
    rng = np.random.default_rng(6)
    draw = {
        "normal": rng.standard_normal,
        "uniform": lambda n: rng.uniform(size=n),
        "exponential": lambda n: rng.exponential(size=n),
        "poisson": lambda n: rng.poisson(5.0, n),
        "walk": lambda n: np.cumsum(rng.standard_normal(n)),
    }[shape]
    assert len(episodes(verdicts(draw(8000)))) <= 4


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-6, 0.1, 3.0, 1e6]),
    shift=st.sampled_from([0.0, -50.0, 1e3]),
)
def test_units_do_not_matter(seed, scale, shift):
    values = np.random.default_rng(seed).gamma(2.0, size=600)
    published = verdicts(values)
    other = verdicts(scale * (values + shift))
    for a, b in zip(published, other, strict=True):
        assert (a.score is None) == (b.score is None)
        if a.score is not None:
            assert a.score == pytest.approx(b.score, abs=0.02)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 699))
def test_a_state_that_went_through_a_row_goes_on_the_same(seed, cut):
    values = np.random.default_rng(seed).standard_t(3, size=700)
    state, published = DetectorState(), []
    for i, value in enumerate(values):
        if i == cut:
            row = msgspec.msgpack.encode(state)
            assert len(row) <= 4096
            state = msgspec.msgpack.decode(row, type=DetectorState)
        state, detection = step(state, START + i * 30 * MINUTE, float(value))
        published.append(detection)
    assert published == verdicts(values, 30 * MINUTE)


def test_a_copy_of_a_state_is_apart_from_it():
    values = days(288 * 4) + noise(288 * 4)
    state = DetectorState()
    for i, value in enumerate(values):
        state, _ = step(state, START + i * 5 * MINUTE, float(value))
    assert state.season == "day"
    before = msgspec.msgpack.encode(state)
    twin = deepcopy(state)
    assert twin == state
    for i in range(300):
        step(twin, START + (len(values) + i) * 5 * MINUTE, 500.0 + i)
    assert msgspec.msgpack.encode(state) == before


def test_the_state_of_a_seasonal_series_fits_in_four_kilobytes():
    state = DetectorState()
    for i, value in enumerate(days(288 * 15) + noise(288 * 15)):
        state, _ = step(state, START + i * 5 * MINUTE, float(value))
    assert state.season == "day"
    assert len(msgspec.msgpack.encode(state)) <= 4096


@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=True, allow_infinity=True),
            st.sampled_from([0.0, 1.0, 1e-300, 1e35, -1e35, 1e299]),
        ),
        min_size=50,
        max_size=200,
    )
)
def test_no_value_makes_a_score_that_is_not_a_number(values):
    for detection in verdicts(values, HOUR):
        assert detection.score is None or 0.0 <= detection.score < math.inf


def test_a_value_that_is_no_number_is_passed_over():
    values = list(noise(300))
    state, published = DetectorState(), []
    for i, value in enumerate(values):
        if i == 200:
            state, detection = step(state, START + i * HOUR, math.nan)
            assert detection == Detection(None)
        state, detection = step(state, START + i * HOUR, float(value))
        published.append(detection)
    assert published == verdicts(values, HOUR)


def test_windows_without_a_value_do_not_change_the_interval():
    state = DetectorState()
    for i, value in enumerate(noise(500)):
        if i % 7:
            state, _ = step(state, START + i * 10 * MINUTE, float(value))
    assert state.interval_ms == 10 * MINUTE
