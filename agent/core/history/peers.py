"""`deviation_from_group`: how far one series is from the others of the same window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agent.core.history.robust_stats import spread
from agent.core.history.seasonal import FARTHEST
from agent.core.model.history import FeatureContext, plain_number
from agent.core.model.windows import Window

LEAST_MEMBERS = 4
"""Of three series, the one that is apart from two others may as well be the only right one."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """The modified z-score of Iglewicz & Hoaglin (1993): the distance from the group's median in
    its robust standard deviations. The group are all series of the KPI, or those that are equal in
    the dimensions with the places `by`."""

    text: str
    by: tuple[int, ...]
    depends_on_alerts: ClassVar[bool] = False

    def describe(self, result: float | None, memory: dict[str, Any]) -> str:
        """A plain number."""
        return plain_number(result)

    def needs_ms(self, window: Window) -> int:
        """Nothing: it looks aside, not back."""
        return 0

    def compute(self, context: FeatureContext) -> float | None:
        """None without a value, or with fewer than four series that have one."""
        group = context.peers(self.by)
        if context.value is None or len(group) < LEAST_MEMBERS:
            return None
        centre = float(np.median(group))
        apart = abs(context.value - centre)
        if apart == 0:
            return 0.0
        wide = spread(group, centre)
        return min(apart / wide, FARTHEST) if wide > 0 else FARTHEST
