"""What /-/ready says of stages that fail, wait, or get nowhere."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from agent.core.model import metrics
from agent.core.model.plan import Plan
from agent.core.output.privacy import Privacy
from agent.export.metrics.agent_metrics import AgentMetrics
from agent.kafka.alert_log import AlertLog
from agent.kafka.value_log import past_windows
from agent.service.fleet_view import FleetView
from agent.service.status import (
    COMPONENTS,
    INGEST,
    MERGE,
    STALLED_SECONDS,
    IngestReporter,
    MergeReporter,
    StatusReporter,
)
from agent.settings import Settings
from tests.generate.plans import company


class World:
    def __init__(self) -> None:
        plan, metrics = company(), AgentMetrics()
        self.registry = metrics.registry
        self.status = StatusReporter(metrics)
        self.ingest = IngestReporter(plan, metrics, self.status)
        log = AlertLog(Settings(), "kpi-alerts")
        board: Any = Board()
        fleet = FleetView(plan, board, log, partial(past_windows, Settings(), "kpi-values"))
        self.merge = MergeReporter(plan, metrics, self.status, fleet, board, Privacy())

    def value(self, name: str, **labels: str) -> float | None:
        """A metric of the agent's own."""
        return self.registry.get_sample_value(name, labels)


class Board:
    def replan(self, plan: Plan) -> None:
        """Not of interest here."""


@pytest.fixture
def world() -> World:
    return World()


def test_every_component_has_its_count_of_errors_before_the_first(world: World) -> None:
    counts = [world.value(metrics.ERRORS, component=component) for component in COMPONENTS]
    assert counts == [0] * len(COMPONENTS)


def test_a_merge_with_work_and_no_results_is_not_ready_until_they_come(world: World) -> None:
    world.merge.held(frozenset({0}))
    world.merge.merging(5, STALLED_SECONDS - 1)
    assert world.status.ready[MERGE] is None
    world.merge.merging(5, STALLED_SECONDS)
    assert world.status.reason(MERGE).startswith("results do not come out: for 60 s 5 frames wait")
    assert world.value(metrics.LAST_MERGE) == 0
    world.merge.merging(0, 0.0)
    assert world.status.ready[MERGE] is None
    assert world.value(metrics.LAST_MERGE) > 0


def test_a_stall_does_not_hide_a_reason_that_is_known(world: World) -> None:
    world.merge.held(None)
    reason = world.status.reason(MERGE)
    world.merge.merging(5, 2 * STALLED_SECONDS)
    assert world.status.reason(MERGE) == reason


def test_partitions_that_another_version_committed_are_named_until_they_are_read(
    world: World,
) -> None:
    world.ingest.assigned(1, [("orders", 0), ("visits", 2)])
    assert world.status.reason(INGEST) == (
        "another version of the agent committed last (docs/upgrading.md): "
        "source partitions not read: orders 0, visits 2"
    )
    assert world.value(metrics.PAUSED_PARTITIONS) == 2
    world.ingest.flushed(1, 0.1)  # of the other partition
    assert world.status.reason(INGEST).startswith("another version")
    world.ingest.assigned(3)
    assert world.status.ready[INGEST] is None
    assert world.value(metrics.PAUSED_PARTITIONS) == 0


def test_an_ingest_that_flushes_nothing_is_not_ready_until_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    world.ingest.assigned(3)
    now += STALLED_SECONDS + 2
    world.ingest.check_flushes(2.0)
    assert world.status.ready[INGEST] is None
    now += 1
    world.ingest.check_flushes(2.0)
    assert world.status.reason(INGEST) == "nothing was flushed for 63 s"
    world.ingest.flushed(1, 0.1)
    assert world.status.ready[INGEST] is None


def test_an_ingest_without_partitions_has_nothing_to_flush(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    world.ingest.assigned(0)
    now += 10 * STALLED_SECONDS
    world.ingest.check_flushes(2.0)
    assert world.status.ready[INGEST] is None


def test_a_frame_that_was_skipped_is_said_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    world.merge.frame_failed(2, 17, ValueError("odd"))
    assert "offset 17 of state partition 2" in world.status.reason(MERGE)
    assert world.value(metrics.ERRORS, component=MERGE) == 1
    world.merge.round(1, 0, (), 0.1)
    assert world.status.reason(MERGE)
    now += 301
    world.merge.round(1, 0, (), 0.1)
    assert world.status.ready[MERGE] is None
