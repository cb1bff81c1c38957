"""`pytest tests/chaos -m needs_kafka --full` runs every scenario; `--chaos-seed N` one again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.world import World
from tests.integration.conftest import real_kafka, stage  # noqa: F401  fixtures of small worlds


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--full", action="store_true", help="every scenario, for minutes each")
    group.addoption("--chaos-seed", type=int, default=None, help="the seed of traffic and faults")
    group.addoption("--soak-minutes", type=float, default=10.0, help="how long the soak lasts")
    group.addoption("--soak-rate", type=int, default=150_000, help="events a second of the soak")
    group.addoption("--storm-minutes", type=float, default=3.0, help="how long the storm lasts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skipped here, a test does not start the brokers that it would need."""
    if not config.getoption("--full", default=False):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip("takes minutes: --full"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker behind a proxy."""
    started = Cluster(tmp_path_factory.mktemp("cluster"), 1)
    try:
        started.start()
        yield started
    finally:
        started.clean_up()


@pytest.fixture(scope="module")
def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, replication 3, two of them must have a record."""
    started = Cluster(tmp_path_factory.mktemp("three"), 3)
    try:
        started.start()
        yield started
    finally:
        started.clean_up()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    asked = request.config.getoption("--chaos-seed", default=None)
    if asked is not None:
        return int(asked)
    # What runs before every landing is the same each time; `make chaos` draws again.
    return random.randrange(10_000) if request.config.getoption("--full", default=False) else 1


def world_of(cluster: Cluster, request: pytest.FixtureRequest, folder: Path, seed: int) -> World:
    name = re.sub(r"[\W_]+", "-", request.node.name.removeprefix("test_")).strip("-")
    return World(cluster, name, folder / "world", seed)


@pytest.fixture
def world(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path, seed: int
) -> Iterator[World]:
    made = world_of(cluster, request, tmp_path, seed)
    try:
        yield made
    finally:
        cluster.mend()
        made.clean_up()


@pytest.fixture
def wide_world(
    three_brokers: Cluster, request: pytest.FixtureRequest, tmp_path: Path, seed: int
) -> Iterator[World]:
    made = world_of(three_brokers, request, tmp_path, seed)
    try:
        yield made
    finally:
        three_brokers.mend()
        made.clean_up()
