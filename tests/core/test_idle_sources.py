"""Records of a source that event time has overtaken: windows are what they are if it was in time.

Two source partitions. One is idle again and again; until a window closes, all of its records have
come, most of them after their slices were sealed.
"""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.model.plan import Plan
from tests.core.simulated import (
    EVENTS,
    START_MS,
    World,
    sale,
    same,
    settle_with_crashes,
    straight,
    visit,
)

RULES = (
    EVENTS.replace("events:", "defaults: {lateness: 10s, idle_after: 30s}\nevents:")
    + """
kpis:
  total: {from: sale, value: sum(amount), by: [region], window: 10m}
  often: {from: sale, value: count(*), window: 20m every 10m}
  usual: {from: sale, value: "quantile(amount, 0.9)", by: [region], window: 10m}
  spread: {from: sale, value: stddev(amount), window: 10m}
  ends: {from: sale, value: last(amount) - first(amount), by: [region], window: 10m}
  range: {from: sale, value: max(amount) - min(amount), window: 10m}
  buyers: {from: sale, value: count(distinct customer), by: [region], window: 10m}
  stay: {from: sale, value: retention(customer), window: 10m}
  share: {from: [total, buyers], value: total / buyers}
rules:
"""
    + "".join(
        f"  {kpi}: {{kpi: {kpi}, on: current, when: value > 1e9}}\n"  # its slices are short
        for kpi in ("total", "often", "usual", "spread", "ends", "range", "buyers", "stay")
    )
)
SPAN_MS = 600_000  # of the windows
PHASES = 2


def a_log(rng: random.Random, tag: str, phase: int, count: int) -> list[bytes]:
    """The records of one window, in order but for less than the lateness."""
    start = START_MS - START_MS % SPAN_MS + (phase + 1) * SPAN_MS
    times = sorted(rng.randrange(SPAN_MS) for _ in range(count))
    return [
        sale(
            start + max(0, at - rng.choice([0, 0, 4_000, 9_000])),
            rng.choice([0.1, 7.25, 33.0, -4.0, rng.uniform(1, 1e6)]),
            rng.choice(["eu", "us", None]),
            f"c{rng.randint(0, 30)}",
            f"{tag}{phase}-{number}",
        )
        for number, at in enumerate(times)
    ]


@settings(
    max_examples=settings.default.max_examples // 10,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_windows_are_those_of_sources_that_were_never_idle(plan: Plan, seed: int) -> None:
    rng = random.Random(seed)
    counts = [(rng.randint(1, 12), rng.choice([0, 9, 9, 300])) for _ in range(PHASES)]
    phases = [
        [a_log(rng, tag, phase, n) for tag, n in zip("ab", both, strict=True)]
        for phase, both in enumerate(counts)
    ]
    end = visit(START_MS + (PHASES + 3) * SPAN_MS, None)
    phases.append([[end], [end]])
    logs = [[record for phase in phases for record in phase[p]] for p in range(2)]
    expected = straight(plan, logs)
    world = World(plan, logs)
    lively, idle = world.worker([0]), world.worker([1])
    for phase in phases:
        ends = {p: worker.reads[p] + len(phase[p]) for p, worker in enumerate((lively, idle))}
        # The idle one may be read last of all, but before the next window's first record.
        while lively.reads[0] < ends[0] or idle.reads[1] < ends[1]:
            worker, p, idle_ms = rng.choice([(lively, 0, None), (idle, 1, 60_000)])
            size = min(rng.randint(1, 4 if p == 0 else 100), ends[p] - worker.reads[p])
            world.read(worker, {p: size})
            world.commit(world.flush(worker, idle_ms))
            if rng.random() < 0.1:
                world.commit(world.flush(idle, 60_000))
                idle = world.worker([1])
    world.flush(lively)
    world.flush(idle)
    settle_with_crashes(world, rng)
    actual, wanted = world.windows(), expected.windows()
    assert actual.keys() == wanted.keys()
    assert all(same(actual[key], wanted[key]) for key in wanted)
    assert not any(emitted.late for emitted in world.published)
