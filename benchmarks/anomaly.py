"""How often the anomaly detector is wrong, and how soon it is right, where that is known.

usage: python -m benchmarks.anomaly [--seeds 3] [--weeks 6]

Prints two tables over generated series: alerts per series and week where nothing is odd, in windows
of 5 minutes and of an hour; and after how many windows of 5 minutes an oddity is reported, the
median over seeds ("-": not within two days). The rule is `when: anomaly() > 4`,
`clear: anomaly() < 3`, `keep_firing_for: 3h`.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from agent.core.history.anomaly.detector import DetectorState, step
from benchmarks.nab import Alert
from benchmarks.results import arguments

Values = NDArray[np.float64]
DAY_MS = 86_400_000
START_MS = 1_577_836_800_000


class Times:
    """The windows of one series: how many a day, and where each lies in day and week."""

    def __init__(self, per_day: int, days: int) -> None:
        self.per_day = per_day
        self.count = per_day * days
        self.days = np.arange(self.count) / per_day
        self.wave = np.sin(2 * np.pi * (self.days % 1 - 0.3))
        self.weekend = self.days // 1 % 7 >= 5


def _autoregressive(rng: np.random.Generator, count: int, keep: float) -> Values:
    values = rng.standard_normal(count)
    for i in range(1, count):
        values[i] += keep * values[i - 1]
    return values


def _latency(rng: np.random.Generator, count: int) -> Values:
    spikes = np.where(rng.uniform(size=count) < 0.01, 50 * rng.pareto(2, count), 0)
    return 50 * np.exp(0.1 * rng.standard_normal(count)) + spikes


SHAPES: dict[str, tuple[float, Callable[[np.random.Generator, Times], Values]]] = {
    "normal noise": (1, lambda r, t: r.standard_normal(t.count)),
    "wandering noise, AR(1) of 0.9": (2.3, lambda r, t: _autoregressive(r, t.count, 0.9)),
    "random walk": (1, lambda r, t: np.cumsum(r.standard_normal(t.count))),
    "trend, half a sigma a day": (1, lambda r, t: 0.5 * t.days + r.standard_normal(t.count)),
    "heavy tails, Student's t of 3": (1.7, lambda r, t: r.standard_t(3, t.count)),
    "log-normal": (2.2, lambda r, t: np.exp(r.standard_normal(t.count))),
    "counts, 5 a window": (2.2, lambda r, t: r.poisson(5, t.count)),
    "counts, 1 in 50 windows": (0.14, lambda r, t: r.poisson(0.02, t.count)),
    "ratio, of 40 events": (0.034, lambda r, t: r.binomial(40, 0.95, t.count) / 40),
    "latency with Pareto spikes": (5, lambda r, t: _latency(r, t.count)),
    "day, a sine": (1, lambda r, t: 6 * t.wave + r.standard_normal(t.count)),
    "day, square": (
        1,
        lambda r, t: 30 * (abs(t.days % 1 - 0.55) < 0.2) + r.standard_normal(t.count),
    ),
    "day, noise grows with it": (
        10,
        lambda r, t: (100 + 60 * t.wave) * (1 + 0.1 * r.standard_normal(t.count)),
    ),
    "day, counts": (2.7, lambda r, t: r.poisson(np.exp(2 + 1.5 * t.wave))),
    "week": (
        1,
        lambda r, t: (20 + 8 * t.wave) * np.where(t.weekend, 0.5, 1) + r.standard_normal(t.count),
    ),
}


def _odd(kind: str, values: Values, at: int, sigma: float, times: Times) -> Values:
    odd = values.astype(float)
    rng = np.random.default_rng(0)
    if kind == "spike of 10 sigma":
        odd[at] += 10 * sigma
    elif kind == "shift by 3 sigma":
        odd[at:] += 3 * sigma
    elif kind == "drift, 3 sigma a day":
        odd[at:] += 3 * sigma * np.arange(len(odd) - at) / times.per_day
    elif kind == "scatter, 4 times":
        odd[at:] += 4 * sigma * rng.standard_normal(len(odd) - at)
    else:
        odd[at:] = odd[at - 1]
    return odd


ODDITIES = (
    "spike of 10 sigma",
    "shift by 3 sigma",
    "drift, 3 sigma a day",
    "scatter, 4 times",
    "flat line",
)


def begun(values: Values, per_day: int) -> list[int]:
    """The windows at which an alert begins to fire."""
    state, alert, indexes = DetectorState(), Alert(), []
    for i, value in enumerate(values):
        at_ms = START_MS + i * DAY_MS // per_day
        state, detection = step(state, at_ms, float(value))
        if alert.begins(at_ms, detection.score):
            indexes.append(i)
    return indexes


def false_alarms(shape: str, times: Times, seeds: int) -> float:
    """Alerts per series and week."""
    draw = SHAPES[shape][1]
    alerts = sum(
        len(begun(draw(np.random.default_rng(s), times), times.per_day)) for s in range(seeds)
    )
    return alerts / seeds / (times.count / times.per_day / 7)


def delay(shape: str, kind: str, times: Times, seeds: int) -> float:
    """Windows from the oddity to the alert: the median, infinite where it does not come."""
    sigma, draw = SHAPES[shape]
    at = int(0.75 * times.count) + times.per_day // 2
    delays = []
    for seed in range(seeds):
        values = _odd(kind, draw(np.random.default_rng(seed), times), at, sigma, times)
        until = at + 2 * times.per_day
        later = [i - at for i in begun(values[:until], times.per_day) if i >= at]
        delays.append(later[0] if later else float("inf"))
    return median(delays)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--weeks", type=int, default=6)
    args = parser.parse_args()
    fine, coarse = Times(288, 7 * args.weeks), Times(24, 7 * 4 * args.weeks)
    print("| series | 5-minute windows | hourly windows |\n|---|---|---|")
    for shape in SHAPES:
        often = [false_alarms(shape, times, args.seeds) for times in (fine, coarse)]
        print(f"| {shape} | " + " | ".join(f"{x:.2f}" for x in often) + " |", flush=True)
    print("\n| series | " + " | ".join(ODDITIES) + " |\n|---|" + "---|" * len(ODDITIES))
    for shape in SHAPES:
        late = [delay(shape, kind, fine, args.seeds) for kind in ODDITIES]
        print(
            f"| {shape} | "
            + " | ".join("-" if x == float("inf") else f"{x:.0f}" for x in late)
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
