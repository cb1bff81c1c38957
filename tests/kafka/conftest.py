"""What several tests of `agent.kafka` need."""

from __future__ import annotations

import pytest

from agent.kafka import topic_tail


@pytest.fixture(autouse=True)
def _fetches_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded broker answers a fetch of nothing when its time is over, not when a record
    comes."""
    monkeypatch.setattr(topic_tail, "WAIT_MS", 100)
