"""A run of ids: each is found with its time, and dropped once it is finished."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from agent.core.fold.id_run import DUE_SHARE, IdRun, hashes_of


def run_of(times_ms: dict[str, int], *others: IdRun) -> IdRun:
    ids = pl.Series(list(times_ms), dtype=pl.String)
    return IdRun.build(ids, hashes_of(ids), np.array(list(times_ms.values()), np.int64), others)


def times_of(run: IdRun, *names: str) -> dict[str, int]:
    """The ids of a run whose hashes some names have, which may be more than the names."""
    hashes = np.sort(hashes_of(pl.Series(names, dtype=pl.String)))
    indices, ids = run.find(hashes)
    times = dict(ids)
    assert bool(len(indices)) == bool(times)
    return {name: times[name] for name in names if name in times}


NAMES = {f"order-{n}": n for n in range(1_000)} | {"": 5, "日本": 6, "a\0b": 7}


def test_every_id_is_found_with_its_time_and_no_other() -> None:
    run = run_of(NAMES)
    assert len(run) == len(NAMES)
    assert times_of(run, *NAMES) == NAMES
    assert times_of(run, "order-1000", "日", "a") == {}


def test_runs_are_merged_with_an_id_for_each_entry() -> None:
    first = run_of({"a": 1, "b": 2})
    second = run_of({"b": 5, "c": 3}, first)
    assert len(second) == 4
    _, ids = second.find(np.sort(hashes_of(pl.Series(["a", "b", "c"]))))
    assert sorted(ids) == [("a", 1), ("b", 2), ("b", 5), ("c", 3)]


@pytest.mark.parametrize("done_ms", [0, 124, 125, 126, 999])
def test_a_run_is_compacted_once_an_eighth_of_it_is_finished(done_ms: int) -> None:
    run = run_of({f"n{n}": n for n in range(1_000)})
    assert run.due_ms == 1_000 // DUE_SHARE
    left = run.after(done_ms)
    if done_ms < run.due_ms:
        assert left is run
    elif done_ms == 999:
        assert left is None
    else:
        assert left is not None and len(left) == 999 - done_ms
        names = [f"n{n}" for n in range(1_000)]
        assert times_of(left, *names) == {f"n{n}": n for n in range(done_ms + 1, 1_000)}
