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

LATENESS_MS = 3
Row = tuple[str | None, int, int]
"""Id, horizon and the watermark before."""

# The same beginnings, nothing at all, zero bytes, more bytes than letters, long ones.
NAMES = ("a", "b", "ab", "", "a\0", "\0", "é", "日本", "e0123456789", "e0123456789a", "x" * 40)


@dataclass
class Reference:
    """What a repeat is, said row by row."""

    seen: dict[int, set[str]] = field(default_factory=dict)

    def first_of(self, name: str | None, horizon: int, before: int) -> int | None:
        """The open horizon in which the row's id was seen; None makes it the first."""
        if name is None:
            return None
        for first, names in self.seen.items():
            if name in names and first + LATENESS_MS > before:
                return first
        self.seen.setdefault(horizon, set()).add(name)
        return None

    def forget_finished(self, watermark: int) -> None:
        for horizon in [h for h in self.seen if h + LATENESS_MS <= watermark]:
            del self.seen[horizon]


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


def ask(memory: IdMemory, rows: list[Row]) -> list[int | None]:
    """For each row, the horizon that it repeats."""
    names, horizons, before = zip(*rows, strict=True) if rows else ((), (), ())
    found = memory.repeats(
        pl.Series(names, dtype=pl.String),
        np.array(horizons, np.int64),
        np.array(before, np.int64),
    )
    leans = dict(found.leans)
    assert found.mask.tolist() == [row in leans for row in range(len(rows))]
    assert len(leans) == len(found.leans)
    return [leans.get(row) for row in range(len(rows))]


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
            rows.append((draw(names), now + draw(st.integers(-6, 9)), now))
        log.append((rows, draw(st.booleans())))
    return log


@pytest.mark.usefixtures("_hashes", "_sizes")
def test_every_verdict_is_that_of_the_reference() -> None:
    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(log=logs())
    def check(log: list[tuple[list[Row], bool]]) -> None:
        memory, reference = IdMemory(LATENESS_MS), Reference()
        for rows, forget in log:
            assert ask(memory, rows) == [reference.first_of(*row) for row in rows]
            if forget and rows:
                memory.forget_finished(rows[-1][2])
                reference.forget_finished(rows[-1][2])

    check()


def many(first: int, number: int, horizon: int, before: int = 0) -> list[Row]:
    return [(f"e{n:09}", horizon, before) for n in range(first, first + number)]


@pytest.mark.parametrize("hashes_of", [id_run.hashes_of, poor_hashes], ids=["good", "poor"])
def test_large_batches_are_judged_as_the_reference_does(
    hashes_of: Callable[[pl.Series], id_run.Words], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "hashes_of", hashes_of)
    rng = np.random.default_rng(7)
    memory, reference = IdMemory(LATENESS_MS), Reference()
    now, number = 0, 0
    for size in (1_500, 3, 1_001, 0, 700, 900, 2_500, 40, 1_200, 3_000):
        rows: list[Row] = []
        for _ in range(size):
            now += int(rng.random() < 0.002)
            number += 1
            again = rng.random() < 0.05
            name = f"e{int(rng.integers(max(0, number - 2_000), number)) if again else number}"
            rows.append((None if rng.random() < 0.01 else name, now - now % 2 + 2, now))
        assert ask(memory, rows) == [reference.first_of(*row) for row in rows]
        memory.forget_finished(now)
        reference.forget_finished(now)


def bytes_held(memory: IdMemory) -> int:
    return sum(
        run.hashes.nbytes + run.horizons_ms.nbytes + run.starts.nbytes + run.lengths.nbytes
        + len(run.text) + run.marks.nbytes
        for run in memory.runs
    )  # fmt: skip


def test_an_id_takes_22_bytes_beside_its_own_and_runs_are_few() -> None:
    memory = IdMemory(LATENESS_MS)
    for first in range(0, 100_000, 2_000):
        ask(memory, many(first, 2_000, horizon=10))
    assert sum(len(run) for run in memory.runs) == 100_000
    assert bytes_held(memory) <= 100_000 * (22 + len("e000000000"))
    assert len(memory.runs) <= 6


def test_runs_are_few_also_when_each_batch_has_a_horizon_of_its_own() -> None:
    memory = IdMemory(LATENESS_MS)
    for number in range(100):
        ask(memory, many(number * 1_500, 1_500, horizon=10 + number))
    assert len(memory.runs) <= dedup.MANY + 8


def test_what_is_finished_is_given_back() -> None:
    memory = IdMemory(LATENESS_MS)
    ask(memory, many(0, 2_000, horizon=10) + many(2_000, 3_000, horizon=20))
    ask(memory, many(5_000, 10, horizon=10) + many(5_010, 10, horizon=20))
    before = bytes_held(memory)
    memory.forget_finished(10 + LATENESS_MS - 1)
    assert bytes_held(memory) == before
    memory.forget_finished(10 + LATENESS_MS)
    assert sum(len(run) for run in memory.runs) == 3_000
    assert bytes_held(memory) <= before * 0.7
    assert len(memory.recent) == 10
    memory.forget_finished(20 + LATENESS_MS)
    assert not memory.runs
    assert not memory.recent


def test_at_most_an_eighth_of_a_run_is_finished_and_still_there() -> None:
    memory = IdMemory(LATENESS_MS)
    ask(memory, [(f"e{n:09}", 10 + n, 0) for n in range(8_000)])
    for done in range(0, 8_000, 100):
        memory.forget_finished(10 + done + LATENESS_MS)
        left = 8_000 - done - 1
        assert left <= sum(len(run) for run in memory.runs) <= left * 8 / 7 + 8
        if left > 0:
            row: Row = ("e000007999", 9_000, 10 + done + LATENESS_MS)
            assert ask(memory, [row]) == [10 + 7_999]
