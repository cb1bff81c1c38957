"""A few hundred seconds of simulated trouble; `make simulate` does thousands of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice

import pytest

from agent.core.fold.checkpoint import Resume
from agent.core.merge.missed_records import MissedRecords
from agent.core.merge.row_store import RowStore
from agent.core.merge.watermark import TopicSources
from agent.core.model.results import Emitted
from agent.kafka import ingest_assignment
from agent.kafka.ingest_assignment import Begin, SourceLog
from tests.simulation.apart import APART
from tests.simulation.cases import CASES, EXPIRING, Case
from tests.simulation.changes import BACKFILL, REDEFINED
from tests.simulation.run import Faults, Run
from tests.simulation.simulation import check, new_run, simulate

RUNS = 24


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--seed", default=None)
        runs = metafunc.config.getoption("--runs", default=None) or RUNS
        metafunc.parametrize("seed", range(runs) if asked is None else [asked])


def test_whatever_goes_wrong_the_figures_are_exact(seed: int) -> None:
    simulate(seed)


@pytest.mark.parametrize("known", [551, 671, 833, 3055, 50418, 70092])
def test_runs_that_once_went_wrong(known: int) -> None:
    # A series' later events were read first, and its silence was counted from them; a row that was
    # not written for a while had steps of others that their listeners had used long ago; a backfill
    # was adopted after a slice was sealed for others, and a partial of it counted twice; the first
    # frames of a topic that was created again, sent and not committed, had reached some state
    # partitions only, and the others never learned that their windows may lack records; a zombie's
    # frame overlapped its successor's, and an event that both covered counted as a new one for a
    # rule with `per: kpi`, whose alert came a slice late.
    simulate(known)


@pytest.mark.parametrize("some", range(8))
@pytest.mark.parametrize("case", [APART, REDEFINED], ids=lambda case: case.name)
def test_what_differs_between_contracts_or_over_time_is_right(some: int, case: Case) -> None:
    simulate(some, case)


@pytest.mark.parametrize("some", range(8))
def test_a_kpi_added_on_the_way_has_the_past_of_one_that_was_always_there(some: int) -> None:
    simulate(some, BACKFILL)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = simulate(3), simulate(3)
    assert first.broker.published == second.broker.published
    assert first.broker.frames == second.broker.frames


@pytest.mark.parametrize("case", [*CASES, APART, EXPIRING], ids=lambda case: case.name)
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


def runs(wanted: Callable[[Run], bool], most: int) -> Iterator[int]:
    """The first seeds whose runs are of a kind."""
    return islice((seed for seed in count() if wanted(new_run(seed))), most)


@pytest.mark.parametrize("some", range(4))
def test_where_retention_deletes_records_what_may_lack_them_is_marked(some: int) -> None:
    (seed,) = islice(runs(lambda run: run.faults.retention > 0, 4), some, some + 1)
    run = simulate(seed)
    assert run.broker.has_gaps


@pytest.mark.parametrize("some", range(2))
def test_what_two_rule_sets_declare_alike_is_right_for_as_long_as_both_are_there(some: int) -> None:
    (seed,) = islice(runs(lambda run: run.is_mixed, 2), some, some + 1)
    assert simulate(seed).is_mixed


def test_of_topics_that_are_created_again_what_was_read_counts_and_the_new_log() -> None:
    done = [simulate(seed).broker for seed in runs(lambda run: run.faults.creation > 0, 8)]
    assert sum(broker.creations.total() for broker in done) > 8
    compared = [len(broker.windows().keys() - broker.incomplete()) for broker in done]
    assert sum(compared) > 100, "most are marked"


def test_a_backfill_knows_that_a_topic_was_created_again() -> None:
    wanted = islice((n for n in count() if new_run(n, case=BACKFILL).faults.creation > 0), 12)
    done = [simulate(seed, BACKFILL).broker for seed in wanted]
    assert sum(bool(broker.creations) and bool(broker.handoffs) for broker in done) >= 3


def no_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that may lack records are not marked."""
    monkeypatch.setattr(MissedRecords, "overlaps", lambda *_: False)


def no_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a row emitted last is not emitted again after a crash."""
    monkeypatch.setattr(RowStore, "drain_replay", lambda _: Emitted())


def no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart begins with the watermark of the commit, not with that of its offset."""
    parse = Resume.parse.__func__  # type: ignore[attr-defined]

    def wrong(cls: type[Resume], offset: int, metadata: str) -> Resume:
        resume: Resume = parse(cls, offset, metadata)
        return replace(resume, floor_ms=resume.watermark_ms)

    monkeypatch.setattr(Resume, "parse", classmethod(wrong))


def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic is known by its name."""
    monkeypatch.setattr(ingest_assignment, "_is_another_log", lambda *_: False)


def no_higher_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new log begins with the epoch of any first one."""
    begin = ingest_assignment._new_log
    monkeypatch.setattr(ingest_assignment, "_new_log", lambda at, source, _: begin(at, source, 0))


def no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not read of a log that is gone is not missed."""
    begin = ingest_assignment._new_log

    def wrong(at: int, source: SourceLog, epoch: int) -> Begin:
        begun = begin(at, source, epoch)
        return replace(begun, resume=replace(begun.resume, missed=None))

    monkeypatch.setattr(ingest_assignment, "_new_log", wrong)


def no_marks_of_backfills(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backfill takes the log that is there for all that there ever was."""
    monkeypatch.setattr(MissedRecords, "earlier_logs", lambda _: MissedRecords(0))


def no_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read after a gap replaces what was read before it."""
    monkeypatch.setattr(
        TopicSources, "source_of", lambda of, frame: frame.partition | of.number << 64
    )


Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: dict[Plant, Callable[[Run], bool]] = {
    no_repeat: lambda run: True,
    no_floor: lambda run: True,
    no_marks: lambda run: run.faults.retention > 0,
    no_identity: lambda run: run.faults.creation > 0,
    no_higher_epoch: lambda run: run.faults.creation > 0,
    no_loss: lambda run: run.faults.creation > 0,
    no_epochs: lambda run: run.faults.retention > 0,
    no_marks_of_backfills: lambda run: run.case is BACKFILL and run.faults.creation > 0,
}
"""Faults, and in which runs they show."""


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in runs(PLANTS[plant], 60):
            simulate(seed)
