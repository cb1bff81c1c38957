"""Tail probabilities, against the distributions that the numbers were drawn from."""

import math

import numpy as np
import pytest

from agent.core.history.anomaly.tail_model import Tail, score_and_learn, sigmas


def learnt(numbers):
    tail = Tail()
    for number in numbers:
        score_and_learn(tail, float(number), 1.0, 0.0)
    return tail


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0])
def test_sigmas_are_the_quantiles_of_a_normal_distribution(sigma):
    log_p = math.log(0.5 * math.erfc(sigma / math.sqrt(2.0)))
    assert sigmas(log_p) == pytest.approx(sigma, abs=0.01)


def test_certainty_is_no_sigma():
    assert sigmas(0.0) == 0.0


@pytest.mark.parametrize("sigma", [2.5, 3.0, 4.0])
def test_a_normal_tail_is_found_normal(sigma):
    tail = learnt(np.random.default_rng(1).standard_normal(8000))
    assert sigmas(score_and_learn(tail, sigma, 1.0, 0.0)) == pytest.approx(sigma, abs=0.5)


def test_a_heavy_tail_makes_the_same_distance_less_unusual():
    rng = np.random.default_rng(2)
    light, heavy = learnt(rng.standard_normal(8000)), learnt(rng.standard_t(3, 8000))
    far = 8.0
    light_p = score_and_learn(light, far * light.size, 1.0, 0.0)
    heavy_p = score_and_learn(heavy, far * heavy.size, 1.0, 0.0)
    assert heavy_p > light_p + 5.0
    # Student's t of 3 degrees: P(T > 8 * E|T|) = 0.0015 (E|T| = 1.103).
    assert math.exp(heavy_p) == pytest.approx(0.0015, rel=1.0)


def test_each_side_has_a_tail_of_its_own():
    tail = learnt(np.random.default_rng(3).exponential(size=8000) - 1.0)
    size = tail.size
    up = score_and_learn(tail, 6.0 * size, 1.0, 0.0)
    down = score_and_learn(tail, -6.0 * size, 1.0, 0.0)
    assert down < up - 3.0


def test_the_first_deviation_of_all_has_the_odds_of_a_first():
    tail = learnt([0.0] * 998)
    assert score_and_learn(tail, 5.0, 1.0, 0.0) == pytest.approx(-math.log(1000), abs=0.1)


def test_under_the_floor_nothing_is_unusual():
    tail = learnt([1e-9, -1e-9] * 500)
    assert score_and_learn(tail, 1e-6, 1.0, 1.0) == 0.0
