"""`pytest tests/simulation --seed N` replays one run; `--runs N` does many."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--seed", type=int, default=None, help="replay the simulated run of this seed")
    group.addoption("--runs", type=int, default=None, help="how many simulated runs to do")
