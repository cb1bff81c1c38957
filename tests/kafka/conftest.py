"""What several tests of `agent.kafka` need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.kafka import topic_tail
from agent.kafka.embedded import EmbeddedBroker


@pytest.fixture(autouse=True)
def _fetches_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded broker answers a fetch of nothing when its time is over, not when a record
    comes."""
    monkeypatch.setattr(topic_tail, "WAIT_MS", 100)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of the test's own."""
    with EmbeddedBroker() as embedded:
        yield embedded
