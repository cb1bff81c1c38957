"""A few hundred seconds of simulated trouble; `make simulate` does thousands of runs."""

from __future__ import annotations

import pytest

from tests.simulation.cases import BACKFILL, CASES, EXPIRING, Case
from tests.simulation.simulation import Faults, check, new_run, simulate

RUNS = 24


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--seed", default=None)
        runs = metafunc.config.getoption("--runs", default=None) or RUNS
        metafunc.parametrize("seed", range(runs) if asked is None else [asked])


def test_whatever_goes_wrong_the_figures_are_exact(seed: int) -> None:
    simulate(seed)


@pytest.mark.parametrize("known", [551, 671, 833])
def test_runs_that_once_went_wrong(known: int) -> None:
    # A series' later events were read first, and its silence was counted from them; a row that was
    # not written for a while had steps of others that their listeners had used long ago.
    simulate(known)


@pytest.mark.parametrize("some", range(8))
def test_a_kpi_added_on_the_way_has_the_past_of_one_that_was_always_there(some: int) -> None:
    simulate(some, BACKFILL)


def test_the_same_seed_gives_the_same_run() -> None:
    one, two = simulate(3), simulate(3)
    assert one.broker.published == two.broker.published
    assert one.broker.frames == two.broker.frames


@pytest.mark.parametrize("case", [*CASES, EXPIRING], ids=lambda case: case.name)
def test_without_faults_nothing_is_reported_twice(case: Case) -> None:
    for seed in range(2):
        run = new_run(seed, Faults(), case)
        run.broker.history.added_ms = 0  # no partition is added, so nobody gives any back
        run.start()
        while run.broker.now_ms < run.broker.history.end_ms:
            run.step()
        for worker in run.workers:
            worker.ingest.fetch(frozenset())
            worker.ingest.settle(run.generation)
            for p in worker.merge.partitions:
                for _ in range(2):  # a round may be under way
                    worker.merge.apply(p, 1_000_000)
                    worker.merge.write(p, 1_000_000)
                    worker.merge.publish(p, 1_000_000)
                    worker.merge.acknowledge(p, run.generation)
        check(run)
        assert len(run.broker.published) == len(run.broker.windows()) + len(
            run.broker.transitions()
        )
        assert run.broker.outcomes == run.broker.history.outcomes
