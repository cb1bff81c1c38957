"""`pytest tests/chaos -m needs_kafka --full` runs every scenario; `--chaos-seed N` one again."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--full", action="store_true", help="every scenario, for minutes each")
    group.addoption("--chaos-seed", type=int, default=None, help="the seed of traffic and faults")
