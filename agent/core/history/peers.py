"""`deviation_from_group`: how far a series is from its peers in the same window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.history.robust_stats import spread
from agent.core.history.seasonal import FARTHEST
from agent.core.model.history import Feature, FeatureContext

LEAST_MEMBERS = 4
"""With fewer, no series is clearly the outlier."""


@dataclass(frozen=True, slots=True)
class Deviation(Feature):
    """The modified z-score of Iglewicz & Hoaglin (1993): the distance from the group's median, in
    robust standard deviations of the group. The group is all series of the KPI with the same
    dimensions at the indices `by`."""

    by: tuple[int, ...]

    def compute(self, context: FeatureContext) -> float | None:
        """None without a value, or with fewer than `LEAST_MEMBERS` values in the group."""
        group = context.peers(self.by)
        if context.value is None or len(group) < LEAST_MEMBERS:
            return None
        centre = float(np.median(group))
        distance = abs(context.value - centre)
        if distance == 0:
            return 0.0
        sigma = spread(group, centre)
        return min(distance / sigma, FARTHEST) if sigma > 0 else FARTHEST
