"""`kpi-agent erase`: what it wants to know, and how it takes it. `tests/integration/test_erase.py`
erases on a real Kafka."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from aiokafka.structs import ConsumerRecord

from agent.cli import main
from agent.kafka.erasure import PersonTopic

RULES = """\
version: 1
events:
  task: {topic: tasks, time: at, fields: {employee: string}}
kpis:
  own_tasks:
    owner: lead
    from: task
    value: count(*)
    by: [employee]
    window: 5m
    visibility: private
    person: employee
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "work.yaml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KPI_AGENT_PERSON_SECRET", "a secret of sixteen characters or more")
    return tmp_path


@pytest.mark.parametrize("text", ["", "\n", "4711\n4712\n", "4711\n\n4712\n"])
def test_it_takes_one_name(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["erase", "employee"]) == 1
    assert capsys.readouterr().err == (
        "kpi-agent: one name is needed, alone on a line\nRun it once for each person.\n"
    )


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "employee", "--file", "id.txt"]) == 3
    assert "id.txt: can't be read: No such file or directory" in capsys.readouterr().err


def test_a_dimension_that_names_nobody_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "employe"]) == 1
    assert "no person of a private KPI is called employe" in capsys.readouterr().err
    assert main(["erase", "employee=4711"]) == 1
    assert "4711" not in capsys.readouterr().out


def record(offset: int, key: bytes, value: bytes | None) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("t", 0, offset, offset * 1000, 0, key, value, 0, 1, 1, ())


def test_of_a_compacted_topic_only_rows_that_are_left_count() -> None:
    rows = [
        record(0, b"a", b"1"),
        record(1, b"a", None),
        record(2, b"b", b"1"),
        record(3, b"b", b"2"),
    ]
    compacted, log = PersonTopic("t", is_compacted=True), PersonTopic("t", is_compacted=False)
    for row in rows:
        compacted.add(row)
        log.add(row)
    assert (compacted.records, list(compacted.rows), compacted.newest_ms) == (1, [(0, b"b")], 3000)
    assert (log.records, list(log.rows), log.newest_ms) == (4, [], 3000)
