"""One record after a log: its verdict in every state that the log can leave it in."""

from __future__ import annotations

import msgspec
import pytest

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Folder, FoldResult, Resume
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome
from tests.core.batches import batch_of
from tests.core.simulated import START_MS

RULES = """
version: 1
defaults: {lateness: 10s, max_future: 1h}
events:
  sale: {topic: shop, time: at, id: id, duplicate_window: 5m, fields: {x: integer}}
  visit: {topic: shop, time: at, fields: {x: integer}}
  note: {topic: shop, time: at}
kpis:
  by_minute: {from: sale, value: count(*), window: 1m}
  by_hour: {from: sale, value: count(*), window: 1h}
  visits: {from: visit, value: count(*), window: 2m every 1m}
"""


def record(kind: str, seconds: float, name: str | None = None, x: object = 1) -> bytes:
    at = START_MS + round(seconds * 1000)
    return msgspec.json.encode({"type": kind, "at": at, "id": name, "x": x})


def batch(values: list[bytes], first: int = 0) -> Batch:
    return batch_of("shop", values, offset=first, at_ms=START_MS)


def verdict(plan: Plan, log: list[bytes], last: bytes) -> tuple[Outcome, dict[str, int]]:
    folder = Folder(plan, "shop", 1)
    folder.assign(0, None, START_MS)
    if log:
        folder.add(batch(log))
    result: FoldResult = folder.add(batch([last], len(log)))
    ((outcome, _, _),) = result.counts
    return outcome, dict(result.late_rows)


A = record("sale", 5, "a")
FOLDED, LATE, DUPLICATE = Outcome.FOLDED, Outcome.LATE, Outcome.DUPLICATE


@pytest.mark.parametrize(
    ("log", "last", "outcome", "late_rows"),
    [
        pytest.param([], A, FOLDED, {}, id="the first"),
        pytest.param([record("visit", 69.9)], A, FOLDED, {}, id="its minute is open"),
        pytest.param([record("visit", 70)], A, FOLDED, {"by_minute": 1}, id="its hour is open"),
        pytest.param(
            [record("visit", 370)], A, LATE,
            {"by_minute": 1, "by_hour": 1}, id="all windows have closed",
        ),
        pytest.param([A], A, DUPLICATE, {}, id="a repeat"),
        pytest.param(
            [A, record("visit", 100)], A, DUPLICATE, {"by_minute": 1}, id="a repeat, for the hour",
        ),
        pytest.param(
            [A, record("visit", 100)], record("sale", 95, "a"), FOLDED, {},
            id="an id used again, in another minute",
        ),
        pytest.param(
            [A, record("visit", 315)], A, FOLDED, {"by_minute": 1},
            id="a repeat after the duplicate window",
        ),
        pytest.param([record("visit", 5, "a")], A, FOLDED, {}, id="an id of another contract"),
        pytest.param([A], record("sale", 5), FOLDED, {}, id="no id"),
        pytest.param(
            [record("visit", 75)], record("visit", 5), FOLDED, {"visits": 1},
            id="one of its two windows is open",
        ),
        pytest.param(
            [record("visit", 130)], record("visit", 5), LATE, {"visits": 1},
            id="neither of its windows is open",
        ),
        pytest.param([record("visit", 9_999)], record("note", 0), FOLDED, {}, id="no KPI asks"),
        pytest.param([], record("sale", 3_599, "b"), FOLDED, {}, id="as far ahead as it may be"),
        pytest.param([], record("sale", 3_601, "b"), Outcome.REJECTED, {}, id="too far ahead"),
        pytest.param([A], record("sale", 5, "a", 1.5), DUPLICATE, {}, id="a field of another type"),
        pytest.param([A], b"", Outcome.EMPTY, {}, id="a tombstone"),
        pytest.param([A], b'{"type": "x"}', Outcome.IGNORED, {}, id="a stranger"),
    ],
)  # fmt: skip
def test_a_record_gets_the_verdict_that_its_log_gives_it(
    plan: Plan, log: list[bytes], last: bytes, outcome: Outcome, late_rows: dict[str, int]
) -> None:
    assert verdict(plan, log, last) == (outcome, late_rows)


def test_what_was_sent_before_a_restart_is_neither_counted_nor_sent_again(plan: Plan) -> None:
    log = [A, record("sale", 20, "b"), record("sale", 130, "c"), A]
    first = Folder(plan, "shop", 1)
    first.assign(0, None)
    first.add(batch(log))
    first.flush(0, {}, 1)
    commit = first.commits()[0]

    second = Folder(plan, "shop", 1)
    resume = Resume.parse(commit.offset, commit.metadata)
    second.assign(0, resume)
    half = log[resume.offset : 3]
    assert not second.add(batch(half, resume.offset)).counts
    assert second.flush(0, {}, 1) == []
    assert second.commits() == {}
    assert not second.add(batch(log[3:], 3)).counts
    assert len(second.flush(0, {}, 1)) == 1
    again = second.commits()[0]
    assert (again.offset, again.metadata) == (commit.offset, commit.metadata)
