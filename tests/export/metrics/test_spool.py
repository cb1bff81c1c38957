"""Samples on disk, given back in order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.export.metrics import spool
from agent.export.metrics.spool import Spool


def read(made: Spool) -> list[tuple[str, list[tuple[str, list[tuple[int, float | int]]]]]]:
    return [(m, [(labels, list(samples)) for labels, samples in s]) for m, s in made.read()]


def test_samples_come_back_by_metric_labels_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ROWS_AT_ONCE", 7)
    given = [(m, f'n="{n}"', at) for m in ("b", "a") for n in (2, 1) for at in range(10)]
    with Spool() as made:
        for metric, labels, at in random.Random(3).sample(given, len(given)):
            made.add(made.series(metric, labels), at, at / 4)
        samples = [(at, at / 4) for at in range(10)]
        series = [('n="1"', samples), ('n="2"', samples)]
        assert read(made) == [("a", series), ("b", series)]


def test_of_two_of_one_instant_the_later_counts_and_whole_numbers_stay_whole() -> None:
    with Spool() as made:
        number = made.series("a", "")
        for at, value in ((1, 0), (2, 1.5), (1, 2), (3, 3)):
            made.add(number, at, value)
        [(_, [(_, samples)])] = read(made)
        assert [(at, repr(value)) for at, value in samples] == [(1, "2"), (2, "1.5"), (3, "3")]


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Spool() as made:
        made.add(made.series("a", ""), 1, 1)
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
