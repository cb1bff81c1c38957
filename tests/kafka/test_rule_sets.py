"""When workers of a group are found to run different rules."""

from __future__ import annotations

import logging

import pytest

from agent.kafka.rule_sets import FORGOTTEN_MS, RuleSets, WorkerRow

MINUTE_MS = 60_000
NOW_MS = 1_700_000_000_000


def said(caplog: pytest.LogCaptureFixture, rows: dict[int, list[tuple[str, str]]]) -> list[int]:
    """The minutes at which a worker with the rules `mine` reports an error, given the rows that the
    others have just written, by minute."""
    sets, minutes = RuleSets("a:1"), []
    for minute, others in rows.items():
        caplog.clear()
        now_ms = NOW_MS + minute * MINUTE_MS
        others_rows = [WorkerRow(worker, config_hash, now_ms) for worker, config_hash in others]
        sets.observe("mine", [WorkerRow("a:1", "mine", now_ms), *others_rows], now_ms)
        if any(r.levelno == logging.ERROR for r in caplog.records):
            minutes.append(minute)
    return minutes


def test_workers_with_the_same_rules_are_nothing_to_talk_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not said(caplog, {m: [("b:1", "mine"), ("c:1", "mine")] for m in range(100)})


def test_a_rolling_change_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    assert not said(caplog, {m: [("b:1", "other" if m < 14 else "mine")] for m in range(60)})


def test_other_rules_for_longer_than_that_are_an_error_once_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = {m: [("b:1", "other")] for m in range(120)}
    assert said(caplog, rows) == [15, 75]
    caplog.clear()
    assert said(caplog, dict.fromkeys((0, 20), rows[0])) == [20]
    assert "worker b:1 (other) of this group runs other rules than this one (mine)" in caplog.text


def test_a_worker_that_does_not_run_any_more_has_no_rules() -> None:
    sets = RuleSets("a:1")
    old = WorkerRow("b:1", "other", NOW_MS - 2 * MINUTE_MS)
    sets.observe("mine", [old], NOW_MS)
    assert sets.forgotten([old], NOW_MS) == []
    assert sets.forgotten([old], NOW_MS + FORGOTTEN_MS) == ["b:1"]
