"""The alerts that closed windows give, as docs/rules says and nothing of the agent's code computes.

Three-valued conditions are functions of a series and the index of one of its windows.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pymannkendall
from scipy import stats

UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "month": 2_629_746_000}
LONGEST_HOURS = {"day": 25, "week": 169, "month": 31 * 24 + 1}
"""The longest calendar windows."""

Span = tuple[int, str]
"""A number, and a key of `UNIT_MS` or `windows`."""
Steps = list[tuple[int, str]]
"""Instants (ms) and phases of one alert."""


@dataclass(slots=True)
class Window:
    """A closed window. `bound`: that of its target, where it has one."""

    start: int
    end: int
    value: float | None
    events: int
    maintenance: bool
    bound: float | None

    @property
    def known(self) -> float | None:
        """The value that conditions of other windows read."""
        return None if self.maintenance else self.value


@dataclass(slots=True)
class Series:
    """The windows of a series, oldest first, without a gap. `size`, `hop` (ms) are of fixed
    windows; calendar windows have a `unit`. `others` has all series, by their dimensions."""

    dimensions: tuple[str, ...]
    windows: list[Window]
    size: int
    hop: int
    unit: str | None
    zone: ZoneInfo
    first: int
    others: Mapping[tuple[str, ...], Series] = field(default_factory=dict)

    def step(self, i: int) -> int:
        """The time from the window before to a window."""
        window = self.windows[i]
        return window.end - window.start if self.unit else self.hop

    def ending(self, end: int) -> Window | None:
        """The window with an end."""
        return next((w for w in self.windows if w.end == end), None)

    def before(self, i: int, count: int) -> Window | None:
        """The window so many windows back that do not overlap."""
        if self.unit:
            return self.windows[i - count] if i >= count else None
        return self.ending(self.windows[i].end - count * self.size)

    def disjoint(self, i: int, after: float) -> list[Window]:
        """Windows that end after an instant, up to one that none of them overlaps. Calendar windows
        that only clock changes have brought there do not count."""
        end = self.windows[i].end
        after += 2 * UNIT_MS["h"] if self.unit else 0
        return [
            w
            for w in self.windows[: i + 1]
            if w.end > after and (self.unit or (end - w.end) % self.size == 0)
        ]

    # --- history functions -----------------------------------------------------------------

    def change(self, i: int, span: Span | None, relative: bool) -> float | None:
        """`change('1 week')`; span None: `change('previous')`."""
        now, before = self.windows[i].known, self._earlier(i, span)
        if now is None or before is None or before.known is None:
            return None
        if not relative:
            return now - before.known
        return (now - before.known) / abs(before.known) if before.known else None

    def _earlier(self, i: int, span: Span | None) -> Window | None:
        window = self.windows[i]
        if span is None or span[1] == "windows":
            return self.before(i, 1 if span is None else span[0])
        if self.unit:
            at = back(window.start, span, self.zone)
            return next((w for w in self.windows if w.start <= at < w.end), None)
        at = back(window.end, span, self.zone)
        hops = (window.end - at) / self.hop
        # Half way between two ends, the earlier one.
        return self.ending(window.end - int(np.floor(hops + 0.5)) * self.hop)

    def run(self, i: int, count: int, direction: int) -> bool | None:
        """`rising(count)` and, with -1, `declining(count)`."""
        windows = [self.before(i, back) for back in range(count + 1)]
        values = [None if w is None else w.known for w in windows]
        if None in values:
            return None
        steps = np.diff([v for v in reversed(values) if v is not None])
        return bool((direction * steps > 0).all())

    def trend(self, i: int, span: Span, relative: bool) -> float | None:
        """`trend('8 weeks')`, a day."""
        known = self._span(i, span)
        if known is None:
            return None
        slope, _, median = line(known)
        if not relative:
            return slope
        return slope / abs(median) if median else None

    def breach(self, i: int, ahead: Span, over: Span, sign: int, bound: float) -> bool | None:
        """`breach_in(ahead, over=…)` of a bound from above (1) or from below (-1)."""
        value = self.windows[i].known
        if value is None or sign * value > sign * bound:
            return None if value is None else True
        known = self._span(i, over)
        if known is None:
            return None
        slope, height, _ = line(known)
        later = height + slope * ahead[0] * UNIT_MS[ahead[1]] / UNIT_MS["d"]
        return bool(max(sign * height, sign * later) > sign * bound)

    def _span(self, i: int, span: Span) -> list[Window] | None:
        """The windows with a value, where at least half of the span is known."""
        end, length = self.windows[i].end, span[0] * UNIT_MS[span[1]]
        known = [w for w in self.disjoint(i, end - length) if w.known is not None]
        longest = LONGEST_HOURS[self.unit] * UNIT_MS["h"] if self.unit else self.size
        if self.windows[i].known is None or len(known) < 5:
            return None
        return known if end - known[0].end >= length / 2 - longest else None

    def burn_rate(self, i: int, span: Span, budget: float, good: bool) -> float | None:
        """`burn_rate(span)`; good: the value is the share of good events."""
        windows = self.disjoint(i, self.windows[i].end - span[0] * UNIT_MS[span[1]])
        rows = [(w.events, w.known) for w in windows if w.events and w.known is not None]
        events = sum(count for count, _ in rows)
        bad = sum(count * (1 - share if good else share) for count, share in rows)
        return bad / events / budget if events else None

    def deviation(self, i: int, dimensions: int) -> float | None:
        """`deviation_from_group`, among the series that share the first dimensions."""
        window, values = self.windows[i], []
        for series in self.others.values():
            if series.dimensions[:dimensions] == self.dimensions[:dimensions]:
                same = series.ending(window.end)
                values += [same.known] if same is not None and same.known is not None else []
        if window.known is None or len(values) < 4:
            return None
        median = float(np.median(values))
        apart = np.abs(np.array(values) - median)
        mad = float(stats.median_abs_deviation(values, scale="normal"))
        sigma = mad or float(np.sqrt(np.pi / 2)) * float(apart.mean())
        return abs(window.known - median) / sigma if window.known != median else 0.0


def back(at: int, span: Span, zone: ZoneInfo) -> int:
    """An instant a span earlier: days, weeks and months by the local clock."""
    count, unit = span
    if unit in ("m", "h"):
        return at - count * UNIT_MS[unit]
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(zone)
    if unit == "month":
        year, month = divmod(local.year * 12 + local.month - 1 - count, 12)
        day = min(local.day, monthrange(year, month + 1)[1])
        local = local.replace(year=year, month=month + 1, day=day)
    else:
        local -= timedelta(days=count * (7 if unit == "w" else 1))
    return round(local.timestamp() * 1000)


def line(windows: Sequence[Window]) -> tuple[float, float, float]:
    """Slope a day and height at the last window's end, and the median; flat where no trend is."""
    y = np.array([w.known for w in windows], float)
    x = np.array([(w.end - windows[-1].end) / UNIT_MS["d"] for w in windows])
    median = float(np.median(y))
    if len(set(y.tolist())) == 1 or not pymannkendall.original_test(y, alpha=0.05).h:
        return 0.0, median, median
    fit: Any = stats.theilslopes(y, x)
    return float(fit[0]), float(fit[1]), median


Condition = Callable[[Series, int], bool | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """The fields of a rule, times in ms; `clear` None: `when` is false."""

    when: Condition
    clear: Condition | None = None
    hold: int = 0
    keep: int = 0
    min_events: int = 0
    min_history: int = 0
    on_no_data: str = "keep"
    flapping: tuple[int, int] | None = None


@dataclass(slots=True)
class Alert:
    """One alert of a rule, stepped by evaluations."""

    rule: Rule
    phase: str = "inactive"
    held: int = 0
    last: int = 0
    clear_since: int = 0
    cleared: int | None = None
    fired: list[int] = field(default_factory=list)

    def step(self, at: int, step: int, when: bool | None, clear: bool | None) -> str | None:
        """The new phase, where it changes. An evaluation counts for `step` of time."""
        if when is None and not clear:
            return None
        gone, self.last = min(at - self.last, step), at
        before = self.phase
        if when:
            self.cleared = None
            if self.phase != "firing":
                self.held = self.held + gone if self.phase == "pending" else 0
                self.phase = "firing" if self.held >= self.rule.hold else "pending"
            if self.phase == "firing" != before:
                self.fired.append(at)
        elif self.phase == "pending":
            self.phase = "inactive"
        elif self.phase == "firing" and clear:
            self.clear_since = at if self.cleared is None else self.clear_since
            self.cleared = 0 if self.cleared is None else self.cleared + gone
            self.phase = "resolved" if self.cleared >= self._clear_for() else "firing"
        else:
            self.cleared = None
        return self.phase if self.phase != before else None

    def _clear_for(self) -> int:
        if self.rule.flapping is None:
            return self.rule.keep
        times, within = self.rule.flapping
        flaps = sum(at >= self.clear_since - within for at in self.fired) >= times
        return max(self.rule.keep, within) if flaps else self.rule.keep


def life(series: Series, rule: Rule) -> Steps:
    """All changes of phase of one alert over a series."""
    alert, steps = Alert(rule), []
    for i, window in enumerate(series.windows):
        if window.maintenance or window.end - series.first < rule.min_history:
            continue
        when = rule.when(series, i)
        clear = None if when is None else not when
        if rule.clear is not None:
            clear = rule.clear(series, i)
        few = window.events < rule.min_events
        if few or (window.value is None and rule.on_no_data != "keep"):
            when = True if rule.on_no_data == "alert" else None
            clear = rule.on_no_data == "resolve"
        phase = alert.step(window.end, series.step(i), when, clear)
        if phase is not None:
            steps.append((window.end, phase))
    return steps
