"""The boards of these tests with Prometheus' answers, asked for once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.export.web.browsing import browser

from .answers import Json, answered, newest, scraped
from .companies import chain_of_shops, company
from .node import Workspace, workspace

__all__ = ["browser"]


@pytest.fixture(scope="session")
def node() -> Iterator[Workspace]:
    with workspace() as space:
        yield space


@pytest.fixture(scope="session")
def company_boards(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Json]:
    """Of the invented company, by file name."""
    state, boards = company()
    with scraped(state, tmp_path_factory.mktemp("company")) as prometheus:
        shown = newest(prometheus)
        return {name: answered(prometheus, board, shown) for name, board in boards.items()}


@pytest.fixture(scope="session")
def shop_boards(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Json]:
    """Of two KPIs with two hundred series each."""
    state, boards = chain_of_shops()
    with scraped(state, tmp_path_factory.mktemp("shops")) as prometheus:
        shown = newest(prometheus)
        return {name: answered(prometheus, board, shown) for name, board in boards.items()}
