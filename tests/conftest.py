"""A test that needs a tool fails where the tool is missing, and says how to get it.

Such tests are left out unless asked for (`-m needs_kafka`): anybody who asks wants them run, so
that a missing tool must never pass as a skipped test.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from agent.core.model.plan import Plan
    from agent.kafka.embedded import EmbeddedBroker
    from tests.integration.monitoring import Alertmanager
    from tests.kafka.registry_server import Registry

ROOT = Path(__file__).parents[1]

# How many examples of a property are drawn: few by `make test`, more by `.ci/run`, which asks for
# `--hypothesis-profile thorough`. No example has a deadline: a loaded machine is slow.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("quick")


@dataclass(frozen=True, slots=True)
class Need:
    """What a marker stands for: programs on PATH, files of the project, and who installs them."""

    programs: tuple[str, ...]
    install: str
    files: tuple[Path, ...] = ()

    def missing(self) -> list[str]:
        """What is not there, in words."""
        programs = [name for name in self.programs if shutil.which(name) is None]
        return programs + [str(path) for path in self.files if not path.exists()]


NEEDS = {
    "needs_prometheus": Need(
        ("prometheus", "promtool", "prometheus-alertmanager", "amtool"),
        ".ci/install-prometheus.sh",
    ),
    "needs_asyncapi": Need(
        ("npm",),
        ".ci/install-asyncapi.sh",
        files=(ROOT / ".cache" / "asyncapi" / "package" / "schemas" / "3.0.0.json",),
    ),
    "needs_helm": Need((), ".ci/install-helm.sh", files=(ROOT / ".cache" / "helm" / "lock",)),
    "needs_checkov": Need(
        (), ".ci/install-checkov.sh", files=(ROOT / ".cache" / "checkov" / "version",)
    ),
    "needs_browser": Need(
        ("chromium", "chromedriver"),
        ".ci/install-chromium.sh",
        files=(ROOT / ".cache" / "axe-core" / "package" / "axe.min.js",),
    ),
    "needs_kafka": Need(
        ("java",), ".ci/install-kafka.sh", files=(ROOT / ".cache" / "kafka" / "pom.xml",)
    ),
}


WAITING = ("demo/test_runner", "service/test_supervisor", "kafka/", "demo/", "commands/test_usage")
"""Files and folders of the tests that wait for groups of consumers most of their time, and of those
that compute longest."""
COMPUTING = (
    *("docs/test_before_paging", "core/state/test_archive", "oracle/", "core/test_exactness"),
    *("commands/test_init", "docs/test_kinds", "core/test_", "backtest/", "simulation/"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: otherwise one process runs them in the end, and the others wait.
    Files that wait and files that compute alternate, so that the cores have work meanwhile."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    names = {path: str(path.relative_to(ROOT / "tests")) for path in files}
    waiting = sorted(
        (path for path in files if names[path].startswith(WAITING)),
        key=lambda path: _rank(names[path], WAITING),
    )
    others = sorted(
        (path for path in files if path not in set(waiting)),
        key=lambda path: _rank(names[path], COMPUTING),
    )
    order = [path for pair in zip_longest(waiting, others) for path in pair if path is not None]
    items[:] = [item for path in order for item in files[path]]


def _rank(name: str, first: tuple[str, ...]) -> int:
    """Where a file comes: after those that are named."""
    return next((i for i, prefix in enumerate(first) if name.startswith(prefix)), len(first))


def pytest_collection_finish() -> None:
    """As a process of `kpi-agent` does: with Python's own thresholds, garbage collection is a fifth
    of what tests compute. Modules and tests stay, and need no looking at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_unconfigure() -> None:
    """At its end, the process may drop what was frozen: DuckDB reports what is left as leaks."""
    gc.unfreeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a marked test before its fixtures start, where its tools are missing."""
    for marker, need in NEEDS.items():
        if item.get_closest_marker(marker) and (missing := need.missing()):
            pytest.fail(
                f"{marker}: {', '.join(missing)} missing; run {need.install}", pytrace=False
            )


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """A real Alertmanager that runs; the test needs the marker `needs_prometheus`."""
    from tests.integration.monitoring import Alertmanager

    server = Alertmanager("alertmanager", tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.clean_up()


@pytest.fixture(scope="module")
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of the module's RULES."""
    from tests.core.simulated import plan_of

    return plan_of(request.module.RULES, tmp_path_factory.mktemp("rules"))


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of the test's own."""
    from agent.kafka.embedded import EmbeddedBroker

    with EmbeddedBroker() as embedded:
        yield embedded


@pytest.fixture
def address(broker: EmbeddedBroker) -> str:
    """The address of that broker."""
    return broker.address


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A schema registry of the test's own."""
    from tests.kafka.registry_server import running

    with running() as server:
        yield server
