"""The detector behind `anomaly()`: how unusual a window is for its series.

The residual of a value (without its season, see `profiles`) feeds running means over about 4, 16,
64 and 256 windows. From these follow ten statistics, each compared with its own history
(`tail_model`):

| part | statistic | detects |
|---|---|---|
| spike | the residual minus the shortest mean | an outlier |
| shift | a mean minus the next longer one | a step, over 4 to 64 windows |
| level | a mean minus that of the last eight days | a drift, a lasting change of level |
| unrest, calm | as shift, of ln(1 + (spike / usual spike)²) | more frequent spikes; a flat line |

Their probabilities p are combined as 1 / sum(1 / p), the harmonic mean for dependent tests (Wilson,
*The harmonic mean p-value*, PNAS 2019), and the score is the result as standard deviations of a
normal distribution. Comparing recent errors with their own history follows Lavin & Ahmad's anomaly
likelihood (*Evaluating Real-Time Anomaly Detection Algorithms*, 2015).

Each step is O(1) in the length of the series, and depends only on the values and their order.
"""

from __future__ import annotations

import math
from copy import copy

import msgspec

from agent.core.history.anomaly.profiles import Seasons, Spread
from agent.core.history.anomaly.tail_model import Tail, score_and_learn, sigmas
from agent.core.model.windows import DAY_MS

MEANS = 4
"""The number of running means; the longest spans about a day of 5-minute windows."""
RATIO = 4.0
"""Running mean k is over about RATIO ** (k + 1) windows."""
LEVEL_DAYS = 8
"""The span of the mean that levels are compared with: a week and a day."""
LEARNING = 50
"""Windows without a score at the start, and after the season changes."""
STILL_AWAY = 0.25
"""A slower deviation counts only while the shortest mean is at least this share of it away from the
level; otherwise the series is back."""
FLOOR = 0.005
"""The minimum unit of deviations, as a share of the usual distance from the level: in a series
almost without noise, tiny differences are not anomalies."""
UNREST_FLOOR = 0.05
"""The minimum unit of deviations of ln(1 + (spike / usual spike)²)."""
CALIBRATION = 1.0
"""Added to -ln p of the combined test, so that noise reaches a score of 4 about once in 5,000
windows (two or three weeks of 5-minute windows); measured on generated noise
(docs/rules/anomaly.md)."""
NEW_INTERVAL = 0.75
"""A gap shorter than this share of the interval becomes the interval; a day of 23 hours does
not."""
HIGHEST = 1e36
"""The limit of absolute values: profiles store 32-bit floats."""


class Detection(msgspec.Struct, frozen=True):
    """How unusual a window is, and why.

    `score` None: still learning, or not a number. `part` is the most unusual statistic, over about
    `span_ms`; `actual` and `expected` are what it compared, in the KPI's unit (for `unrest` and
    `calm`: the value, and the mean over as many windows).
    """

    score: float | None
    part: str = ""
    span_ms: int = 0
    actual: float = 0.0
    expected: float = 0.0
    season: str = ""


class DetectorState(msgspec.Struct, array_like=True):
    """The state of a series: at most 4 KB as MessagePack.

    Values are relative to `origin`, the first value. `age` counts windows since the season changed,
    `last` is the last residual, `base` the mean of the last `LEVEL_DAYS`; `means` and `unrest` are
    the running means, `shifts`, `levels` and `unrests` the tails of their statistics.
    """

    count: int = 0
    origin: float = 0.0
    last_ms: int = 0
    interval_ms: int = 0
    seasons: Seasons = msgspec.field(default_factory=Seasons)
    season: str = ""
    spread: Spread = msgspec.field(default_factory=Spread)
    age: int = 0
    last: float = 0.0
    base: float = 0.0
    means: list[float] = []
    unrest: list[float] = []
    shifts: list[Tail] = []
    levels: list[Tail] = []
    unrests: list[Tail] = []

    def __deepcopy__(self, memo: dict[int, object]) -> DetectorState:
        # States are copied for every evaluated window; this is many times faster than the default.
        twin = copy(self)
        twin.seasons = self.seasons.__deepcopy__(memo)
        twin.spread = self.spread.__deepcopy__(memo)
        twin.means, twin.unrest = self.means[:], self.unrest[:]
        twin.shifts = [tail.__deepcopy__(memo) for tail in self.shifts]
        twin.levels = [tail.__deepcopy__(memo) for tail in self.levels]
        twin.unrests = [tail.__deepcopy__(memo) for tail in self.unrests]
        return twin


class _Finding(msgspec.Struct):
    """The evidence of all statistics for one window: the sum of 1 / p (`total`), and the part with
    the smallest p."""

    total: float = 0.0
    log_p: float = 0.0
    part: str = ""
    index: int = 0
    expected: float = 0.0

    def add(self, log_p: float, part: str, index: int, expected: float) -> None:
        if log_p < 0.0:
            self.total += math.exp(min(-log_p, 700.0))
            if log_p < self.log_p:
                self.log_p, self.part, self.index, self.expected = log_p, part, index, expected


def step(state: DetectorState, at_ms: int, value: float) -> tuple[DetectorState, Detection]:
    """Score a window's value by those before it, then learn it.

    Windows must come in event-time order, without those that have no value. `at_ms` is local time
    if the season should follow the local clock. Values beyond `HIGHEST` and NaN are skipped. The
    returned state is `state`, changed in place.
    """
    s = state
    if not abs(value) < HIGHEST:
        return s, Detection(None)
    if not _learn_interval(s, at_ms, value):
        return s, Detection(None)
    value -= s.origin
    expected = s.seasons.step(s.interval_ms, at_ms, value)
    if s.season != s.seasons.chosen:
        s.season, s.age, s.spread = s.seasons.chosen, 0, Spread()
    if math.isnan(expected):
        return s, Detection(None)
    residual = value - expected
    per_day = max(DAY_MS / s.interval_ms, 1.0)
    width = 1.0
    if s.season and s.age:
        width = s.spread.width(at_ms, residual - s.last, max(per_day / 24.0, 1.0))
    s.last = residual
    s.age += 1
    if s.age == 1:
        _begin(s, residual)
        return s, Detection(None)
    finding = _score_parts(s, residual / width, per_day)
    if s.age < LEARNING:
        return s, Detection(None)
    score = sigmas(-math.log(finding.total) - CALIBRATION) if finding.total > 1.0 else 0.0
    return s, _detection(s, finding, score, value, expected, width)


def _learn_interval(s: DetectorState, at_ms: int, value: float) -> bool:
    """Learn the interval between windows; False while it is unknown."""
    s.count += 1
    if s.count == 1:
        s.origin, s.last_ms = value, at_ms
        return False
    gap_ms = at_ms - s.last_ms
    s.last_ms = at_ms
    if gap_ms > 0 and (s.interval_ms == 0 or gap_ms < NEW_INTERVAL * s.interval_ms):
        s.interval_ms = gap_ms
    return s.interval_ms > 0


def _begin(s: DetectorState, residual: float) -> None:
    s.base = residual
    s.means = [residual] * MEANS
    s.unrest = [0.0] * MEANS
    s.shifts = [Tail() for _ in range(MEANS)]
    s.levels = [Tail() for _ in range(MEANS - 1)]
    s.unrests = [Tail() for _ in range(MEANS - 1)]


def _score_parts(s: DetectorState, residual: float, per_day: float) -> _Finding:
    """Score every statistic, and update the means."""
    finding = _Finding()
    floor = FLOOR * s.seasons.error
    means, base = s.means, s.base
    # Once the last windows are back at the level, deviations of slower means are not counted.
    away = means[0] - base
    usual_spike = s.shifts[0].size
    spike = residual - means[0]
    newer = residual
    span = 1.0
    for k in range(MEANS):
        older = means[k]
        shift = newer - older
        log_p = score_and_learn(s.shifts[k], shift, span, floor)
        if k == 0:
            finding.add(log_p, "spike", k, older)
        elif _still(shift, away):
            finding.add(log_p, "shift", k, older)
        span *= RATIO
        newer = older + max(1.0 / s.age, 1.0 / span) * (newer - older)
        means[k] = newer
        if k:
            level = newer - base
            log_p = score_and_learn(s.levels[k - 1], level, RATIO * span, floor)
            if _still(level, away):
                finding.add(log_p, "level", k, base)
    s.base += max(1.0 / s.age, 1.0 / (LEVEL_DAYS * per_day)) * (residual - base)
    energy = 0.0
    if usual_spike > floor:
        energy = math.log1p(min(abs(spike) / usual_spike, 1e6) ** 2)
    _score_unrest(s, energy, finding)
    return finding


def _score_unrest(s: DetectorState, energy: float, finding: _Finding) -> None:
    newer = energy
    span = 1.0
    for k in range(MEANS):
        older = s.unrest[k]
        if k:
            change = newer - older
            log_p = score_and_learn(s.unrests[k - 1], change, span, UNREST_FLOOR)
            finding.add(log_p, "unrest" if change > 0.0 else "calm", k, s.means[k])
        span *= RATIO
        newer = older + max(1.0 / s.age, 1.0 / span) * (newer - older)
        s.unrest[k] = newer


def _still(deviation: float, away: float) -> bool:
    """Whether a slower deviation is still present in the last windows (`STILL_AWAY`)."""
    return deviation * away > 0.0 and abs(away) >= STILL_AWAY * abs(deviation)


def _detection(
    s: DetectorState, finding: _Finding, score: float, value: float, expected: float, width: float
) -> Detection:
    """A finding in the unit of the KPI."""
    k = finding.index
    actual = value
    if finding.part == "shift":
        actual = expected + width * s.means[k - 1]
    elif finding.part == "level":
        actual = expected + width * s.means[k]
    windows = RATIO ** (k + 1 if finding.part == "level" else k)
    return Detection(
        score=score,
        part=finding.part,
        span_ms=int(windows * s.interval_ms),
        actual=s.origin + actual,
        expected=s.origin + expected + width * finding.expected,
        season=s.season,
    )
