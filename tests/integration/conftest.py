"""A real broker for the session, and a stage on it for each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .broker import Broker
from .stage import Stage

STAGES = itertools.count(1)


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker that all tests share."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.clean_up()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, not started: to be stopped, started and waited for."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    broker = Broker(folder)
    try:
        yield broker
    finally:
        broker.clean_up()


def _stage(broker: Broker, request: pytest.FixtureRequest, folder: Path) -> Iterator[Stage]:
    words = re.sub(r"[\W_]+", "-", request.node.name.removeprefix("test_"))
    name = f"{words[:30]}-{next(STAGES)}"  # tests that differ in a parameter only share the words
    stage = Stage(broker, name, folder)
    try:
        yield stage
    finally:
        stage.clean_up()


@pytest.fixture
def stage(real_kafka: Broker, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage on the shared broker."""
    yield from _stage(real_kafka, request, tmp_path)


@pytest.fixture
def own_stage(own_kafka: Broker, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage on a broker of its own, which is not started."""
    yield from _stage(own_kafka, request, tmp_path)
