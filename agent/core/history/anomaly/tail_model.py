"""How unusual a number is, published from the numbers of its kind before it.

A statistic's deviation is measured in its own usual size. Up to `BODY` of it is ordinary; beyond
begins the tail, described as extreme value theory has it: by how often it is reached, and a
generalised Pareto law of how far (peaks over threshold: Pickands 1975; on streams: Siffer et al.,
*Anomaly Detection in Streams with Extreme Value Theory*, KDD 2017). Shape and scale are the moment
estimates of Dekkers, Einmahl & de Haan (*A moment estimator for the index of an extreme-value
distribution*, 1989), which need two sums of logarithms and hold for light tails and heavy ones.
Both sides are learnt apart: latency strays upwards only.

A normal distribution is the prior, worth `PRIOR` visits to the tail, so that a few numbers give a
careful answer, and a series whose tail is heavy soon has a heavy one.
"""

from __future__ import annotations

import math
from copy import copy
from statistics import NormalDist

import msgspec

BODY = 2.0
"""Where the tail begins, in standard deviations."""
NORMAL_RATE = 0.02275
"""P(Z > BODY) of a standard normal Z."""
NORMAL_LOG = 0.1620
"""E(ln(Z / BODY) | Z > BODY)."""
NORMAL_LOG_SQUARED = 0.04359
"""E(ln²(Z / BODY) | Z > BODY)."""
PRIOR = 32.0
"""As many visits as 1,400 numbers of a normal distribution make."""
MEMORY = 8192.0
"""Looks after which what was learnt has faded to 1/e: four weeks of 5-minute windows."""
OUTLIER = 8.0
"""One visit to the tail is learnt as at most so many times the mean visit."""
LOOKS = 4.0
"""Nothing is unusual before so many independent looks."""
SIZE_BOUND = 3.0
"""A deviation counts for at most so many usual sizes in the usual size."""
SIGMA_PER_MEAN = math.sqrt(math.pi / 2.0)
"""Standard deviation over mean magnitude, of a normal distribution."""
FARTHEST = 1e6
"""Beyond so many standard deviations there is nothing more to tell."""
LOG_2PI = math.log(2.0 * math.pi)
NORMAL = NormalDist()


class Side(msgspec.Struct, array_like=True):
    """Visits to one tail: their number, and the sums of ln(z / BODY) and of its square."""

    visits: float = 0.0
    logs: float = 0.0
    squares: float = 0.0


class Tail(msgspec.Struct, array_like=True):
    """What is known of one statistic: rows, independent looks, mean magnitude, its two tails."""

    rows: int = 0
    looks: float = 0.0
    size: float = 0.0
    low: Side = msgspec.field(default_factory=Side)
    high: Side = msgspec.field(default_factory=Side)

    def __deepcopy__(self, _memo: object) -> Tail:
        twin = copy(self)
        twin.low, twin.high = copy(self.low), copy(self.high)
        return twin


def score_and_learn(tail: Tail, deviation: float, span: float, floor: float) -> float:
    """ln P(a deviation so large on this side), by what came before; then learn it.

    `span` is the number of rows that one independent look takes: a mean over 16 windows hardly
    changes from one to the next. No standard deviation is taken to be less than `floor`. 0 where
    nothing is unusual. `tail` is changed.
    """
    magnitude = abs(deviation)
    looks = tail.looks
    weight = 1.0 / span
    keep = 1.0 - weight / MEMORY
    low, high = tail.low, tail.high
    sigma = max(tail.size * SIGMA_PER_MEAN, floor)
    log_p = 0.0
    counted = magnitude
    if tail.size > 0.0:
        # Few looks say little of the size: wider, by the order of its own standard error.
        z = magnitude / (sigma * (1.0 + 2.0 / (1.0 + looks)))
        if z > BODY:
            side = low if deviation < 0.0 else high
            beyond = math.log(min(z, FARTHEST) / BODY)
            visits = PRIOR + side.visits
            log_p, mean = _beyond(side, visits, beyond)
            log_p += math.log(visits / (PRIOR / NORMAL_RATE + looks))
            learnt = min(beyond, OUTLIER * mean)
            side.visits += weight
            side.logs += weight * learnt
            side.squares += weight * learnt * learnt
        counted = min(magnitude, SIZE_BOUND * sigma)
    elif magnitude > 0.0:
        log_p = -math.log(looks + 2.0)  # the first ever: Laplace's rule of succession
    for side in (low, high):
        side.visits *= keep
        side.logs *= keep
        side.squares *= keep
    tail.rows += 1
    tail.looks = looks * keep + weight
    tail.size += max(1.0 / tail.rows, 4.0 * weight / MEMORY) * (counted - tail.size)
    return log_p if looks >= LOOKS else 0.0


def _beyond(side: Side, visits: float, beyond: float) -> tuple[float, float]:
    """(ln P(a visit goes beyond exp(beyond) * BODY), the mean of ln(z / BODY) over visits).

    The law is that of z², which for a normal z falls off exponentially (shape 0); the shape is
    raised by 1 / (visits + 1), as the posterior predictive of an exponential law is (a Lomax law).
    """
    mean = (PRIOR * NORMAL_LOG + side.logs) / visits
    square = (PRIOR * NORMAL_LOG_SQUARED + side.squares) / visits
    lightness = 1.0 - 0.5 / max(1.0 - mean * mean / square, 1e-3)
    shape = max(2.0 * mean + lightness, 0.0) + 1.0 / (visits + 1.0)
    scale = 2.0 * mean * (1.0 - min(lightness, 0.0))
    return -math.log1p(shape * math.expm1(2.0 * beyond) / scale) / shape, mean


def sigmas(log_p: float) -> float:
    """How far out a standard normal leaves exp(log_p) on one side; at least 0."""
    if log_p > -20.0:
        return max(0.0, -NORMAL.inv_cdf(min(math.exp(log_p), 0.5)))
    # P(Z > s) ~ exp(-s²/2) / (s sqrt(2 pi)) * (1 - 1 / (s² + 2)), solved by iteration.
    target = -2.0 * log_p - LOG_2PI
    s = math.sqrt(target)
    for _ in range(4):
        s = math.sqrt(target - 2.0 * math.log(s) + 2.0 * math.log1p(-1.0 / (s * s + 2.0)))
    return s
