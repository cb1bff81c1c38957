"""Records of the dead-letter topic are read as what they were in their source topic."""

from __future__ import annotations

import pytest
from aiokafka.structs import ConsumerRecord

from agent.core.dead_letters import DeadLetter, Origin
from agent.kafka.dead_letters import read_letter
from agent.kafka.fetched import Record
from agent.kafka.side_outputs import Headers, cut, origin_headers

WRITTEN_MS = 1_700_000_360_000
SOURCE = ConsumerRecord(
    "orders", 2, 7, 1_700_000_000_000, 0, b"k", b"{}", None, 1, 2, (("trace", b"1"),)
)


def dead(headers: Headers, value: bytes | None = b"{}") -> Record:
    return ConsumerRecord("dead", 0, 99, WRITTEN_MS, 0, b"k", value, None, 1, 2, tuple(headers))


def test_it_has_the_records_own_headers_and_timestamp() -> None:
    headers = origin_headers(SOURCE, "wrong_type", "detail", "order")
    assert read_letter(dead(headers)) == DeadLetter(
        Origin("orders", 2, 7), SOURCE.timestamp, b"k", b"{}", [("trace", b"1")], "order",
        "wrong_type",
    )  # fmt: skip


def test_one_that_is_truncated_says_so() -> None:
    _, value, headers = cut(SOURCE, origin_headers(SOURCE, "too_large", "", "order"), 500)
    letter = read_letter(dead(headers, value))
    assert letter is not None
    assert letter.is_truncated


@pytest.mark.parametrize("offset", [b"", b"last"])
def test_what_the_agent_has_not_written_is_none(offset: bytes) -> None:
    headers = origin_headers(SOURCE, "not_json", "detail", None)
    changed = [(n, offset if n == "kpi-agent-offset" else v) for n, v in headers]
    assert read_letter(dead(changed)) is None
    assert read_letter(dead([])) is None
