"""An agent that was off for an hour, and partitions that lag very differently.

The workers of before live an hour ago: their clocks are behind, as are those of the events and of
their records. Anybody who is started afterwards, in the present, finds an hour's worth of records.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.faults import conclude
from tests.chaos.traffic import Shares
from tests.chaos.world import World

pytestmark = [
    pytest.mark.needs_kafka,
    pytest.mark.timeout(900),
    pytest.mark.full,
]

HOUR_SECONDS = 3_600
BACKLOG_EVENTS_PER_SECOND = 60


@pytest.fixture
def worlds(cluster: Cluster, tmp_path: Path, seed: int) -> Iterator[list[World]]:
    """To be filled by the scenario."""
    made: list[World] = []
    try:
        yield made
    finally:
        for world in made:
            world.clean_up()


def after_an_hour(world: World, workers: int) -> None:
    """Live an hour ago, die, and go on now."""
    world.start(workers)
    world.let_time_pass(10, 20)
    backlog = world.leap(BACKLOG_EVENTS_PER_SECOND)
    world.start_dead()
    world.fault(f"all started an hour later, {backlog:,} records behind")
    conclude(world, world.finish())


def test_a_full_restart_after_an_hour(
    worlds: list[World], cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    world = World(cluster, "hour", tmp_path / "world", seed, behind_seconds=HOUR_SECONDS)
    worlds.append(world)
    after_an_hour(world, 3)


def test_partitions_of_very_different_lag_catch_up(
    worlds: list[World], cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    """90 % of the orders are in one partition, another is empty; one of the visits was silent for
    the hour, and goes on."""
    shares = Shares(shop=(0,) * 9 + (1,), visits=(0, 0, 0, 1), silent=1)
    world = World(cluster, "skew", tmp_path / "world", seed, shares, HOUR_SECONDS)
    worlds.append(world)
    after_an_hour(world, 2)
