"""Learns the season of a series (none, daily or weekly), and predicts windows from it.

A daily and a weekly profile are learnt side by side. The one with the smaller out-of-sample error
is the season, if it predicts better than the long-run level alone. With a season, the spread around
it is learnt by hour of the day.
"""

from __future__ import annotations

import math
import struct
from copy import copy

import msgspec

from agent.core.model.windows import DAY_MS

WEEK_MS = 7 * DAY_MS
FINEST_MS = {"day": 300_000, "week": 1_800_000}
"""A profile's slots are as long as a window, but no shorter: at most 288 and 336 of them."""
RATE = 0.15
"""The learning rate per pass of the period: about the last six passes count."""
BOUND = 3.0
"""The maximum error of a pass in usual errors, so that one bad day does not become the season."""
BETTER = 0.9
"""A season replaces another if its usual error is below this share of the other's."""
ERROR_DAYS = 28
"""The memory of usual errors in days: four of each day of the week."""
HOURS = 24
NARROWEST = 0.25
"""The minimum spread of an hour as a share of the day's: a quiet night may not stay quiet."""
HOUR_TRUST = 20.0
"""The number of values after which an hour's own spread counts as much as the day's."""
HOUR_DAYS = 10
"""The memory of an hour's spread in days."""
FLOAT = struct.Struct("<f")


def bounded(error: float, usual: float) -> float:
    """|error|, bounded so that one outlier hardly changes the usual error, but it can grow from
    0."""
    magnitude = abs(error)
    return min(magnitude, max(4.0 * usual, magnitude / 16.0))


class Profile(msgspec.Struct, array_like=True):
    """The expected value by slot of a period, learnt pass by pass.

    `levels` are packed 32-bit floats, NaN for slots without values. A slot is learnt when time
    leaves it, so that no value is predicted from its own slot. `error` is the usual
    |value - expected|, from `windows` values.
    """

    levels: bytes = b""
    passes: int = 0
    slot: int = -1
    total: float = 0.0
    count: int = 0
    error: float = 0.0
    windows: int = 0

    def step(self, slot: int, slots: int, value: float, memory: float) -> float:
        """The prediction of a value (NaN: unknown); then learn the value."""
        if slot != self.slot:
            self._leave(slots)
            self.passes += slot < self.slot
            self.slot, self.total, self.count = slot, 0.0, 0
        self.total += value
        self.count += 1
        expected: float = FLOAT.unpack_from(self.levels, 4 * slot)[0]
        if not math.isnan(expected):
            self.windows += 1
            rate = max(1.0 / self.windows, 1.0 / memory)
            self.error += rate * (bounded(value - expected, self.error) - self.error)
        return expected

    def _leave(self, slots: int) -> None:
        if not self.levels:
            self.levels = FLOAT.pack(math.nan) * slots
            return
        offset = 4 * self.slot
        level: float = FLOAT.unpack_from(self.levels, offset)[0]
        mean = self.total / self.count
        if not math.isnan(level):
            error = mean - level
            if self.passes > 2:
                error = max(-BOUND * self.error, min(BOUND * self.error, error))
            mean = level + error * max(1.0 / (self.passes + 1), RATE)
        self.levels = self.levels[:offset] + FLOAT.pack(mean) + self.levels[offset + 4 :]


class Spread(msgspec.Struct, array_like=True):
    """The usual step from one value to the next, over the whole day and by hour."""

    hours: list[float] = []
    counts: list[int] = []
    mean: float = 0.0
    count: int = 0

    def __deepcopy__(self, _memo: object) -> Spread:
        twin = copy(self)
        twin.hours, twin.counts = self.hours[:], self.counts[:]
        return twin

    def width(self, at_ms: int, move: float, per_hour: float) -> float:
        """The spread of this hour relative to the whole day's; then learn the step `move`."""
        if not self.hours:
            self.hours = [0.0] * HOURS
            self.counts = [0] * HOURS
        hour = at_ms % DAY_MS * HOURS // DAY_MS
        usual, count = self.hours[hour], self.counts[hour]
        width = 1.0
        if self.mean > 0.0:
            trust = count / (count + HOUR_TRUST)
            width = max(1.0 + trust * (usual / self.mean - 1.0), NARROWEST)
        memory = max(int(HOUR_DAYS * per_hour), 32)
        self.counts[hour] = count = min(count + 1, memory)
        self.hours[hour] = usual + (bounded(move, max(usual, self.mean)) - usual) / count
        self.count = min(self.count + 1, memory * HOURS)
        self.mean += (bounded(move, self.mean) - self.mean) / self.count
        return width


class Seasons(msgspec.Struct, array_like=True):
    """The profiles of one series, and the chosen season: "", "day" or "week".

    `level` and `error` predict without a season: a slow robust mean, and the usual distance from
    it. `anchor_ms` is where slots are counted from.
    """

    interval_ms: int = 0
    anchor_ms: int = 0
    count: int = 0
    level: float = 0.0
    error: float = 0.0
    day: Profile = msgspec.field(default_factory=Profile)
    week: Profile = msgspec.field(default_factory=Profile)
    chosen: str = ""

    def __deepcopy__(self, _memo: object) -> Seasons:
        twin = copy(self)
        twin.day, twin.week = copy(self.day), copy(self.week)
        return twin

    def step(self, interval_ms: int, at_ms: int, value: float) -> float:
        """The prediction of a value (0: no season, NaN: unknown); then learn the value."""
        if interval_ms != self.interval_ms:
            self.interval_ms, self.anchor_ms = interval_ms, at_ms
            self.day, self.week, self.chosen = Profile(), Profile(), ""
        per_day = max(DAY_MS / interval_ms, 1.0)
        memory = max(ERROR_DAYS * per_day, 64.0)
        self._learn_level(value, max(per_day / RATE, 64.0), memory)
        expected, errors = {"": 0.0}, {"": self.error}
        if interval_ms <= DAY_MS // 4:
            expected["day"] = self._profile(self.day, "day", DAY_MS, at_ms, value, memory)
            if self.day.windows >= per_day:
                errors["day"] = self.day.error
        if interval_ms <= DAY_MS:
            expected["week"] = self._profile(self.week, "week", WEEK_MS, at_ms, value, memory)
            if self.week.windows >= 7 * per_day:
                errors["week"] = self.week.error
        for season, error in errors.items():
            if error < BETTER * errors[self.chosen]:
                self.chosen = season
        return expected[self.chosen]

    def _profile(
        self, profile: Profile, name: str, period_ms: int, at_ms: int, value: float, memory: float
    ) -> float:
        slot_ms = max(self.interval_ms, FINEST_MS[name])
        slots = -(-period_ms // slot_ms)
        # Slots start half a slot before the first value, so that a clock change of an hour leaves
        # a daily window in its slot.
        since = (at_ms - self.anchor_ms + slot_ms // 2) % period_ms
        return profile.step(since // slot_ms, slots, value, memory)

    def _learn_level(self, value: float, level_memory: float, error_memory: float) -> None:
        # As slow as a daily profile; otherwise a wandering level would look like a season.
        self.count += 1
        off = value - self.level
        bound = BOUND * self.error if self.count > 2 else math.inf
        self.level += max(1.0 / self.count, 1.0 / level_memory) * max(-bound, min(bound, off))
        rate = max(1.0 / self.count, 1.0 / error_memory)
        self.error += rate * (bounded(off, self.error) - self.error)
