"""The probability of a deviation of a statistic, from its earlier deviations.

Deviations are measured in the statistic's usual size. Beyond `BODY` begins the tail, modelled by
extreme value theory (peaks over threshold: Pickands 1975; on streams: Siffer et al., *Anomaly
Detection in Streams with Extreme Value Theory*, KDD 2017): by how often it is reached, and a
generalised Pareto distribution of the excess. Its shape and scale are the moment estimates of
Dekkers, Einmahl & de Haan (*A moment estimator for the index of an extreme-value distribution*,
1989), which need two sums of logarithms and are valid for light and heavy tails. The two sides are
learnt separately: latency, for example, deviates upwards only.

The prior is a normal distribution, worth `PRIOR` visits to the tail: few observations give cautious
results, and a heavy tail is soon learnt as one.
"""

from __future__ import annotations

import math
from copy import copy
from statistics import NormalDist

import msgspec

BODY = 2.0
"""The start of the tail, in standard deviations."""
NORMAL_RATE = 0.02275
"""P(Z > BODY) of a standard normal Z."""
NORMAL_LOG = 0.1620
"""E(ln(Z / BODY) | Z > BODY)."""
NORMAL_LOG_SQUARED = 0.04359
"""E(ln²(Z / BODY) | Z > BODY)."""
PRIOR = 32.0
"""The weight of the prior in visits: as many as 1,400 normal numbers make."""
MEMORY = 8192.0
"""The number of looks after which old observations have faded to 1/e: four weeks of 5-minute
windows."""
OUTLIER = 8.0
"""The excess of one visit is learnt as at most this multiple of the mean excess."""
LOOKS = 4.0
"""The number of independent looks before anything is unusual."""
SIZE_BOUND = 3.0
"""A deviation counts at most as this multiple of the usual size when the usual size is learnt."""
SIGMA_PER_MEAN = math.sqrt(math.pi / 2.0)
"""The standard deviation divided by the mean magnitude, for a normal distribution."""
FARTHEST = 1e6
"""Deviations are capped at this many standard deviations."""
LOG_2PI = math.log(2.0 * math.pi)
NORMAL = NormalDist()


class Side(msgspec.Struct, array_like=True):
    """The visits to one tail: their number, and the sums of ln(z / BODY) and of its square."""

    visits: float = 0.0
    logs: float = 0.0
    squares: float = 0.0


class Tail(msgspec.Struct, array_like=True):
    """The history of one statistic: the number of deviations (`rows`) and of independent looks, the
    mean magnitude (`size`), and its two tails."""

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
    """ln P(a deviation at least this large on this side), by the history; then learn it. 0: not
    unusual. Changes `tail`.

    `span` is the number of rows per independent look: a mean over 16 windows hardly changes from
    one to the next. `floor` is the minimum standard deviation.
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
        # With few looks the size is uncertain: widen it by the order of its standard error.
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
        log_p = -math.log(looks + 2.0)  # the first deviation: Laplace's rule of succession
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

    The distribution is that of z², which for a normal z is exponential in the tail (shape 0). The
    shape is raised by 1 / (visits + 1), as in the posterior predictive of an exponential
    distribution (a Lomax distribution).
    """
    mean = (PRIOR * NORMAL_LOG + side.logs) / visits
    square = (PRIOR * NORMAL_LOG_SQUARED + side.squares) / visits
    lightness = 1.0 - 0.5 / max(1.0 - mean * mean / square, 1e-3)
    shape = max(2.0 * mean + lightness, 0.0) + 1.0 / (visits + 1.0)
    scale = 2.0 * mean * (1.0 - min(lightness, 0.0))
    return -math.log1p(shape * math.expm1(2.0 * beyond) / scale) / shape, mean


def sigmas(log_p: float) -> float:
    """The z with P(Z > z) = exp(log_p) for a standard normal Z; at least 0."""
    if log_p > -20.0:
        return max(0.0, -NORMAL.inv_cdf(min(math.exp(log_p), 0.5)))
    # P(Z > s) ~ exp(-s²/2) / (s sqrt(2 pi)) * (1 - 1 / (s² + 2)), solved by iteration.
    target = -2.0 * log_p - LOG_2PI
    s = math.sqrt(target)
    for _ in range(4):
        s = math.sqrt(target - 2.0 * math.log(s) + 2.0 * math.log1p(-1.0 / (s * s + 2.0)))
    return s
