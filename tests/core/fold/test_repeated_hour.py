"""The hour that comes twice has both its halves, for times without an offset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Folder, Resume
from agent.core.frame import decode
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome
from tests.core.simulated import plan_of

RULES = """
version: 1
events:
  e: {topic: t, time: at, timezone: %s, lateness: 30s, fields: {x: float}}
kpis:
  hourly: {from: e, value: count(*), window: 1h}
"""
OSLO = (
    "01:30", "02:00", "02:15", "02:30", "02:45", "02:00", "02:15", "02:30", "02:45",
    "03:00", "03:30", "05:00",
)  # fmt: skip
FOLDED = (Outcome.FOLDED, "e", None)


def oslo(tmp_path: Path) -> Plan:
    return plan_of(RULES % "Europe/Oslo", tmp_path)


def fold(
    plan: Plan,
    texts: list[str],
    batches: int,
    stamps: list[int] | None = None,
) -> tuple[Counter[int], Folder]:
    """The hours (UTC, of the epoch) that the events count in."""
    folder = Folder(plan, "t", 1)
    folder.assign(0, None)
    values = [msgspec.json.encode({"type": "e", "at": text, "x": 1}) for text in texts]
    for part in np.array_split(np.arange(len(values)), batches):
        added = folder.add(
            Batch(
                "t",
                [values[i] for i in part],
                np.zeros(len(part), np.int32),
                part.astype(np.int64),
                np.array([stamps[i] if stamps else 4_000_000_000_000 for i in part], np.int64),
                timestamped=stamps is not None,
            )
        )
        assert added.counts.keys() <= {FOLDED}
    hours: Counter[int] = Counter()
    for _, data in folder.flush(0, {}, 1):
        for block in decode(data).blocks:
            column = block.columns[0]
            assert isinstance(column, bytes)
            hours[block.start_ms // 3_600_000] += int(np.frombuffer(column, np.int64).sum())
    return hours, folder


MIDNIGHT = 1_729_987_200_000 // 3_600_000
"""2024-10-27T00:00:00Z, in hours."""


@pytest.mark.parametrize("batches", [1, 2, 5, 12])
def test_each_of_the_two_hours_has_its_events(batches: int, tmp_path: Path) -> None:
    texts = [f"2024-10-27T{at}:00" for at in OSLO]
    hours, _ = fold(oslo(tmp_path), texts, batches)
    assert hours == {
        MIDNIGHT - 1: 1,
        MIDNIGHT: 4,
        MIDNIGHT + 1: 4,
        MIDNIGHT + 2: 2,
        MIDNIGHT + 4: 1,
    }


def test_events_a_little_out_of_order_stay_in_their_hour(tmp_path: Path) -> None:
    texts = [f"2024-10-27T02:{minute}:00" for minute in (10, 30, 28, 50, 41, 59)]
    texts += [f"2024-10-27T02:{minute}:00" for minute in ("00", "03", "01", 20)]
    hours, _ = fold(oslo(tmp_path), texts, 3)
    assert hours == {MIDNIGHT: 6, MIDNIGHT + 1: 4}


def test_a_time_with_an_offset_is_the_time_that_it_says(tmp_path: Path) -> None:
    texts = [f"2024-10-27T{at}" for at in ("02:45:00", "02:05:00+02:00", "02:50:00+02:00")]
    hours, _ = fold(oslo(tmp_path), texts, 1)
    assert hours == {MIDNIGHT: 3}


def test_the_record_s_timestamp_says_which_hour_is_meant(tmp_path: Path) -> None:
    """As where events are few: the second one comes 55 minutes after the first."""
    texts = ["2024-10-27T02:10:00", "2024-10-27T02:05:00"]
    at = MIDNIGHT * 3_600_000 + 600_000
    hours, _ = fold(oslo(tmp_path), texts, 1, [at, at + 3_300_000])
    assert hours == {MIDNIGHT: 1, MIDNIGHT + 1: 1}
    hours, _ = fold(oslo(tmp_path), texts, 1)
    assert hours == {MIDNIGHT: 2}  # nothing says


def test_an_hour_that_comes_twice_by_half_is_read_alike(tmp_path: Path) -> None:
    # Lord Howe Island's clocks go back from 02:00 to 01:30, at 15:00Z of the day before.
    texts = [f"2024-04-07T01:{minute}:00" for minute in (30, 55, 35, 40, 50)]
    hours, _ = fold(plan_of(RULES % "Australia/Lord_Howe", tmp_path), texts, 2)
    first = 1_712_415_600_000 // 3_600_000  # 2024-04-06T15:00:00Z
    assert hours == {first - 1: 2, first: 3}


def test_a_restart_in_the_hour_comes_to_the_same(tmp_path: Path) -> None:
    plan = oslo(tmp_path)
    texts = [f"2024-10-27T{at}:00" for at in OSLO]
    whole, _ = fold(plan, texts, 1)
    _, first = fold(plan, texts[:7], 1)
    commit = first.commits()[0]
    resume = Resume.parse(commit.offset, commit.metadata)
    second = Folder(plan, "t", 1)
    second.assign(0, resume)
    values = [msgspec.json.encode({"type": "e", "at": text, "x": 1}) for text in texts]
    part = np.arange(resume.offset, len(values))
    second.add(
        Batch(
            "t",
            [values[i] for i in part],
            np.zeros(len(part), np.int32),
            part.astype(np.int64),
            np.full(len(part), 4_000_000_000_000, np.int64),
            timestamped=False,
        )
    )
    assert second.sources[0].watermark_ms is not None
    assert sum(whole.values()) == len(texts)
    ((_, data),) = second.flush(0, {}, 1)
    starts = {block.start_ms // 3_600_000 for block in decode(data).blocks}
    assert starts <= set(whole)
    assert starts >= {MIDNIGHT + 1, MIDNIGHT + 2, MIDNIGHT + 4}
