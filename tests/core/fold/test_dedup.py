"""The memory of ids: exact at any size, whatever the hashes, and given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.fold import dedup, id_run
from agent.core.fold.dedup import IdMemory

Row = tuple[str | None, int]
"""Id and time."""

# The same beginnings, nothing at all, zero bytes, more bytes than letters, long ones.
NAMES = ("a", "b", "ab", "", "a\0", "\0", "é", "日本", "e0123456789", "e0123456789a", "x" * 40)


@dataclass
class Reference:
    """What a repeat is, said row by row."""

    seen: dict[str, int] = field(default_factory=dict)

    def last(self, name: str | None, at: int) -> int | None:
        """When the row's id was stored last."""
        if name is None:
            return None
        last = self.seen.get(name)
        self.seen[name] = at if last is None else max(last, at)
        return last


def poor_hashes(ids: pl.Series) -> id_run.Words:
    """Four hashes for all ids, of which two differ in their last bit alone."""
    kinds = (ids.hash(seed=0) % 4).to_numpy()
    return np.array([0, 1, 2**31, 2**32 - 1], np.uint32)[kinds]


def one_hash(ids: pl.Series) -> id_run.Words:
    return np.full(len(ids), 7, np.uint32)


@pytest.fixture(params=[id_run.hashes_of, poor_hashes, one_hash], ids=["good", "poor", "one"])
def _hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "hashes_of", request.param)


SIZES = ((1_000, 4_000, 8, 500_000), (0, 0, 1, 500_000), (3, 5, 2, 500_000), (2, 0, 1_000, 9))


@pytest.fixture(params=SIZES, ids=str)
def _sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From when on a batch is large, the dict is full, runs are many, and a run is too long."""
    for name, size in zip(("FEW", "RECENT", "MANY", "MAX_IDS"), request.param, strict=True):
        monkeypatch.setattr(dedup, name, size)


def ask(memory: IdMemory, rows: list[Row], done: int = -1) -> list[int | None]:
    """For each row, when its id was stored last; None: never, or not later than `done`."""
    names, times = zip(*rows, strict=True) if rows else ((), ())
    repeats = memory.repeats(pl.Series(names, dtype=pl.String), np.array(times, np.int64))
    assert len(repeats.rows) == len(set(repeats.rows.tolist()))
    last = dict(zip(repeats.rows.tolist(), repeats.last_ms.tolist(), strict=True))
    return young([last.get(row) for row in range(len(rows))], done)


def young(last: list[int | None], done: int) -> list[int | None]:
    return [None if at is not None and at <= done else at for at in last]


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[list[Row], bool]]:
    """A log in batches; after some of them, what is finished is forgotten."""
    names = st.none() | st.sampled_from(draw(st.lists(st.sampled_from(NAMES), min_size=1)))
    now = 0
    log: list[tuple[list[Row], bool]] = []
    for _ in range(draw(st.integers(1, 8))):
        rows: list[Row] = []
        for _ in range(draw(st.integers(0, 8))):
            now += draw(st.sampled_from((0, 0, 0, 1, 2)))
            rows.append((draw(names), now + draw(st.integers(-6, 9))))
        log.append((rows, draw(st.booleans())))
    return log


@pytest.mark.usefixtures("_hashes", "_sizes")
def test_every_verdict_is_that_of_the_reference() -> None:
    @settings(derandomize=True)
    @given(log=logs())
    def check(log: list[tuple[list[Row], bool]]) -> None:
        memory, reference, done = IdMemory(2), Reference(), -99
        for rows, forget in log:
            expected = young([reference.last(*row) for row in rows], done)
            assert ask(memory, rows, done) == expected
            if forget and rows:
                done = max(done, rows[-1][1] - 8)
                memory.forget(done)

    check()


def many(first: int, number: int, at: int) -> list[Row]:
    return [(f"e{n:09}", at) for n in range(first, first + number)]


@pytest.mark.parametrize(
    ("hashes_of", "batches"),
    # With poor hashes, a lookup takes as long as there are ids.
    [(id_run.hashes_of, 10), (poor_hashes, 7)],
    ids=["good", "poor"],
)
def test_large_batches_are_evaluated_as_the_reference_does(
    hashes_of: Callable[[pl.Series], id_run.Words], batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "hashes_of", hashes_of)
    rng = np.random.default_rng(7)
    memory, reference = IdMemory(2), Reference()
    now, number, done = 0, 0, -1
    for size in (1_500, 3, 1_001, 0, 700, 900, 2_500, 40, 1_200, 3_000)[:batches]:
        rows: list[Row] = []
        for _ in range(size):
            now += int(rng.random() < 0.002)
            number += 1
            again = rng.random() < 0.05
            name = f"e{int(rng.integers(max(0, number - 2_000), number)) if again else number}"
            rows.append((None if rng.random() < 0.01 else name, now))
        expected = young([reference.last(*row) for row in rows], done)
        assert ask(memory, rows, done) == expected
        done = now - 3
        memory.forget(done)


def bytes_held(memory: IdMemory) -> int:
    return sum(
        run.hashes.nbytes + run.times_ms.nbytes + run.starts.nbytes + run.lengths.nbytes
        + len(run.text) + run.marks.nbytes
        for run in memory.runs
    )  # fmt: skip


def test_an_id_takes_22_bytes_beside_its_own_and_runs_are_few() -> None:
    memory = IdMemory(1)
    for first in range(0, 100_000, 2_000):
        ask(memory, many(first, 2_000, at=10))
    assert sum(len(run) for run in memory.runs) == 100_000
    assert bytes_held(memory) <= 100_000 * (22 + len("e000000000"))
    assert len(memory.runs) <= 6


def test_runs_are_few_also_when_each_batch_has_a_time_of_its_own() -> None:
    memory = IdMemory(1)
    for number in range(100):
        ask(memory, many(number * 1_500, 1_500, at=10 + number))
    assert len(memory.runs) <= dedup.MANY + 8


def test_what_is_finished_is_given_back() -> None:
    memory = IdMemory(1)
    ask(memory, many(0, 2_000, at=10) + many(2_000, 3_000, at=20))
    ask(memory, many(5_000, 10, at=10) + many(5_010, 10, at=20))
    before = bytes_held(memory)
    memory.forget(9)
    assert bytes_held(memory) == before
    memory.forget(10)
    assert sum(len(run) for run in memory.runs) == 3_000
    assert bytes_held(memory) <= before * 0.7
    assert len(memory.recent) == 10
    memory.forget(20)
    assert not memory.runs
    assert not memory.recent


def test_at_most_an_eighth_of_a_run_is_finished_and_still_there() -> None:
    memory = IdMemory(1)
    ask(memory, [(f"e{n:09}", 10 + n) for n in range(8_000)])
    for done in range(0, 8_000, 100):
        memory.forget(10 + done)
        left = 8_000 - done - 1
        assert left <= sum(len(run) for run in memory.runs) <= left * 8 / 7 + 8
        if left > 0:
            row: Row = ("e000007999", 10 + 7_999)
            assert ask(memory, [row]) == [10 + 7_999]
