"""`deviation_from_group()` is the modified z-score of a series in its group."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agent.core.history.peers import Deviation
from tests.core.history.looks import look


@pytest.mark.parametrize("seed", range(5))
def test_a_series_far_from_its_group_is_so_by_the_modified_z_score(seed: int) -> None:
    group = np.random.default_rng(seed).normal(100, 5, 12)
    seen = look([float(group[3])], peers=lambda by: group if by == (1,) else np.empty(0))
    # Iglewicz & Hoaglin 1993: 0.6745 (x - median) / MAD
    expected = 0.6745 * abs(group[3] - np.median(group)) / stats.median_abs_deviation(group)
    assert Deviation("", (1,)).compute(seen) == pytest.approx(expected, rel=1e-4)
    assert Deviation("", ()).compute(seen) is None  # nobody there
