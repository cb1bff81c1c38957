"""What several tests of `agent.kafka` need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.kafka.embedded import EmbeddedBroker


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of the test's own."""
    with EmbeddedBroker() as embedded:
        yield embedded
