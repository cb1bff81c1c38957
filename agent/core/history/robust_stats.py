"""Robust statistics: medians, deviations from them, slopes. All over float64 arrays without NaN."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agent.core.model.history import Floats

MAD_TO_SIGMA = 1.482602218505602
"""1/Φ⁻¹(3/4): the factor from the median absolute deviation to the standard deviation of a normal
distribution (Rousseeuw & Croux 1993)."""

MEAN_AD_TO_SIGMA = 1.2533141373155003
"""√(π/2): the factor from the mean absolute deviation. Used if more than half of the values are
equal, because the median deviation is then 0 (Iglewicz & Hoaglin 1993)."""

MOST_POINTS = 300
"""Slopes are computed over all pairs of points. Longer series are first reduced to the medians of
equal parts (`thinned`), to bound the cost."""

_SIGNIFICANT = 1.959963984540054
"""Φ⁻¹(0.975): a two-sided test at 5 %."""


def spread(values: Floats, centre: float) -> float:
    """A robust standard deviation around a centre: from the median absolute deviation or, if that
    is 0, from the mean one. 0 if all values equal the centre."""
    deviations = np.abs(values - centre)
    mad = float(np.median(deviations))
    return MAD_TO_SIGMA * mad if mad > 0 else MEAN_AD_TO_SIGMA * float(deviations.mean())


def slope(at: Floats, values: Floats) -> tuple[float, float]:
    """The Theil–Sen line: the median of the slopes between all pairs of points (Theil 1950, Sen
    1968), and the intercept, as in scipy.stats.theilslopes."""
    at, values = thinned(at, values)
    i, j = _pairs(len(at))
    run = at[j] - at[i]
    distinct = run != 0
    steep = float(np.median((values[j] - values[i])[distinct] / run[distinct]))
    return steep, float(np.median(values) - steep * np.median(at))


def trending(values: Floats) -> bool:
    """The Mann–Kendall test: whether values in time order rise or fall, two-sided at 5 %, by the
    normal approximation with corrections for ties and continuity (Mann 1945, Kendall 1975)."""
    n = len(values)
    if n < 4:
        return False
    i, j = _pairs(n)
    s = float(np.sign(values[j] - values[i]).sum())
    _, ties = np.unique(values, return_counts=True)
    tied = float((ties * (ties - 1) * (2 * ties + 5)).sum())
    variance = (n * (n - 1) * (2 * n + 5) - tied) / 18
    return variance > 0 and (abs(s) - 1) / math.sqrt(variance) > _SIGNIFICANT


@lru_cache(maxsize=8)
def _pairs(points: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of points, as the indices of the earlier and of the later points."""
    earlier, later = np.triu_indices(points, 1)
    for index in (earlier, later):
        index.flags.writeable = False  # cached, so shared
    return earlier, later


def thinned(at: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The points; if there are more than `MOST_POINTS`, the medians of equal parts instead. Points
    that do not fill a part are dropped at the start."""
    if len(at) <= MOST_POINTS:
        return at, values
    size = math.ceil(len(at) / MOST_POINTS)
    spare = len(at) % size
    shape = (-1, size)
    return (
        np.median(at[spare:].reshape(shape), axis=1),
        np.median(values[spare:].reshape(shape), axis=1),
    )
