"""A derived KPI: the closed windows of its inputs in, its windows out.

Each case is a list of steps. `Slice` is how many events an input has counted in the slice that
begins at a minute; `Advance` moves the frontiers of inputs, and then that of the derived KPI, as
the merger does. Minutes are those after 09:00 UTC, a whole hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from agent.core.evaluate.evaluator import Evaluator
from agent.core.frame import Block, series_key
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.derived_kpi import DerivedKpi
from agent.core.merge.live_series import series_limit
from agent.core.model.kpis import OTHER
from agent.core.model.plan import Plan
from agent.core.model.results import Number, WindowValue
from agent.core.state.series import Series
from tests.core.simulated import EVENTS

MINUTE_MS = 60_000
NINE_MS = 1_760_000_400_000
RULES = f"""{EVENTS}kpis:
  orders:
    {{from: sale, value: count(*), by: [region], window: 5m, expire_after: 10m, max_series: 2}}
  visits: {{from: visit, value: count(*), by: [region], window: 5m, expire_after: 1h}}
  conversion: {{from: [orders, visits], value: orders / visits}}
  busiest: {{from: [visits], value: max(visits), by: []}}
  hops: {{from: visit, value: count(*), by: [region], window: 4m every 2m}}
  doubled: {{from: [hops], value: 2 * hops}}
"""


@dataclass(frozen=True)
class Slice:
    """How many events an input has of a region in the slice that begins at a minute."""

    kpi: str
    minute: int
    region: str
    count: int


@dataclass(frozen=True)
class Advance:
    """The frontiers of inputs reach a minute. `closed`: "region@end" (or "@end") to the value of
    each window of the derived KPI that closes, in order. `expired`: its regions that expire."""

    minutes: Mapping[str, int]
    closed: dict[str, Number]
    expired: str = ""


class Partition:
    """A derived KPI and its inputs."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.derived = DerivedKpi(plan, Evaluator(plan, plan.kpis[name]), is_read=False)
        self.inputs = {
            kpi: BaseKpi(Evaluator(plan, plan.kpis[kpi]), series_limit(plan.kpis[kpi], 1), True)
            for kpi in plan.kpis[name].inputs
        }

    def run(self, steps: Sequence[Slice | Advance]) -> None:
        """Do the steps, and compare what each returns."""
        for step in steps:
            if isinstance(step, Slice):
                self.update(step)
                continue
            closed, expired = self.advance(step.minutes)
            assert list(closed.items()) == list(step.closed.items()), step
            assert expired == step.expired, step

    def update(self, of: Slice) -> None:
        kpi, counts = self.inputs[of.kpi].kpi, np.array([of.count], np.int64).tobytes()
        keys = [series_key((of.region,))]
        block = Block(kpi.name, kpi.fingerprint, minute_ms(of.minute), keys, [counts])
        assert self.inputs[of.kpi].update(block, 0, 0) == 0

    def advance(self, minutes: Mapping[str, int]) -> tuple[dict[str, Number], str]:
        """The windows that close, and the regions that expire."""
        for name, minute in minutes.items():
            self.inputs[name].advance(minute_ms(minute))
        step = self.derived.advance([*self.inputs.values()])
        if self.derived.consumed_ms is not None:
            for state in self.inputs.values():
                for series in state.unread_series:
                    series.drop_read(self.derived.consumed_ms)
        closed = {label(window): window.value for window, _, _ in step.closed}
        return closed, "".join(sorted(str(region) for (region,) in step.expired))

    def open_windows(self) -> dict[str, Number]:
        inputs = [*self.inputs.values()]
        opened = [state.all_open_windows() for state in inputs]
        return {label(w): w.value for w in self.derived.open_windows(inputs, opened)}


def minute_ms(minute: int) -> int:
    return NINE_MS + minute * MINUTE_MS


def label(window: WindowValue) -> str:
    region = "".join(str(value) for value in window.dimensions)
    return f"{region}@{(window.end_ms - NINE_MS) // MINUTE_MS}"


def both(minute: int) -> dict[str, int]:
    return {"orders": minute, "visits": minute}


ONE_OF_FOUR = [Slice("orders", 0, "a", 1), Slice("visits", 0, "a", 4)]

CONVERSION: dict[str, list[Slice | Advance]] = {
    "a window closes when all inputs have closed it": [
        *ONE_OF_FOUR, Advance({"orders": 5}, {}), Advance({"visits": 4}, {}),
        Advance({"visits": 5}, {"a@5": 0.25}), Advance(both(5), {}),
    ],
    "an input that is ahead waits with all its windows": [
        *ONE_OF_FOUR, Slice("orders", 5, "a", 2), Slice("visits", 5, "a", 2),
        Advance({"orders": 10, "visits": 5}, {"a@5": 0.25}), Advance({"visits": 10}, {"a@10": 1}),
    ],
    "windows close in the order of their ends": [
        *ONE_OF_FOUR, Slice("visits", 5, "a", 2), Slice("visits", 0, "b", 2),
        Advance(both(10), {"a@5": 0.25, "b@5": 0, "a@10": 0, "b@10": None}),
    ],
    "an input without the series has the value of an empty window": [
        Slice("visits", 0, "a", 4), Advance(both(5), {"a@5": 0}),
    ],
    "a division by an empty window has no value": [
        Slice("orders", 0, "a", 1), Advance(both(5), {"a@5": None}),
    ],
    "an input that has lost the series has no value": [
        *ONE_OF_FOUR, Slice("visits", 20, "a", 4),
        Advance(both(20), {"a@5": 0.25, "a@10": None, "a@15": None, "a@20": None}),
        Advance(both(25), {"a@25": None}),
    ],
    "an input whose __other__ has events may have the series": [
        Slice("orders", 0, "b", 1), Slice("orders", 0, "c", 1), Slice("orders", 0, "d", 1),
        Slice("visits", 0, "a", 4), Slice("visits", 0, "b", 4),
        Advance(both(5), {"b@5": 0.25, "c@5": None, f"{OTHER}@5": None, "a@5": None}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", CONVERSION.values(), ids=CONVERSION)
def test_orders_per_visit(steps: list[Slice | Advance], plan: Plan) -> None:
    partition = Partition(plan, "conversion")
    partition.run(steps)


def test_a_series_expires_once_no_input_has_it_or_a_window_of_it(plan: Plan) -> None:
    partition = Partition(plan, "conversion")
    partition.run([*ONE_OF_FOUR, Slice("visits", 60, "b", 1)])
    expired = {minute: partition.advance(both(minute))[1] for minute in range(5, 100, 5)}
    # Its last input expires at 70, with a window that is read there.
    assert {minute: region for minute, region in expired.items() if region} == {75: "a"}
    assert set(partition.derived.series) == {("b",)}


def test_a_roll_up_aggregates_the_series_that_have_events(plan: Plan) -> None:
    Partition(plan, "busiest").run(
        [
            Slice("visits", 0, "a", 4),
            Slice("visits", 0, "b", 7),
            Slice("visits", 5, "a", 2),
            Advance({"visits": 10}, {"@5": 7, "@10": 2}),
            Advance({"visits": 15}, {"@15": None}),
        ]
    )


def test_hopping_windows_close_with_those_of_the_input(plan: Plan) -> None:
    Partition(plan, "doubled").run(
        [
            Slice("hops", 0, "a", 1),
            Slice("hops", 2, "a", 2),
            Advance({"hops": 3}, {"a@2": 2}),
            Advance({"hops": 6}, {"a@4": 6, "a@6": 4}),
        ]
    )


def test_an_open_window_has_what_the_inputs_have_so_far(plan: Plan) -> None:
    partition = Partition(plan, "conversion")
    partition.run(ONE_OF_FOUR)
    partition.advance(both(1))
    assert partition.open_windows() == {"a@5": 0.25}
    partition.advance({"orders": 5})
    assert partition.open_windows() == {"a@5": 0.25}  # closed in one input, open in the other
    partition.advance({"visits": 5})
    assert partition.open_windows() == {}


def test_windows_before_the_handoff_of_a_backfill_are_not_known(plan: Plan) -> None:
    partition = Partition(plan, "conversion")
    partition.derived.note_backfills(waits=True, handoff_ms=None)
    partition.run([*ONE_OF_FOUR, Slice("orders", 5, "a", 1), Slice("visits", 5, "a", 2)])
    partition.inputs["orders"].advance(minute_ms(1))
    partition.inputs["visits"].advance(minute_ms(1))
    assert partition.open_windows() == {}
    partition.derived.note_backfills(waits=False, handoff_ms=minute_ms(5))
    partition.run([Advance(both(10), {"a@10": 0.5})])


def test_a_restart_does_not_close_a_window_again(plan: Plan) -> None:
    before, after = Partition(plan, "conversion"), Partition(plan, "conversion")
    before.run([*ONE_OF_FOUR, Advance(both(5), {"a@5": 0.25})])
    restored: Series = before.derived.series["a",]
    after.derived.restore(restored)
    assert after.derived.drain_changed_views() == {("a",)}
    after.run(
        [
            *ONE_OF_FOUR,
            Slice("visits", 5, "a", 2),
            Advance(both(5), {}),
            Advance(both(10), {"a@10": 0}),
        ]
    )
