"""What topics take is compared with what the agent sends; the words name topic and setting."""

from __future__ import annotations

import pytest

from agent.core.frame import MAX_FRAME_BYTES
from agent.core.model.kpis import Dimensions
from agent.core.state.rows import MAX_ROW_BYTES, row_key
from agent.errors import EnvironmentFault
from agent.kafka.client import PRODUCER_BATCH_BYTES
from agent.kafka.frame_batches import JOINED_BYTES
from agent.kafka.message_sizes import LEAST_BYTES, larger_records, refuse_small

HEADERS = 4_096
WIDE: Dimensions = ("x" * 1_024,) * 10


def test_what_is_sent_at_once_fits_the_least_that_a_topic_must_take() -> None:
    assert MAX_ROW_BYTES + len(row_key("kpi", WIDE)) + HEADERS < LEAST_BYTES
    assert MAX_FRAME_BYTES + HEADERS < LEAST_BYTES
    assert JOINED_BYTES + HEADERS < LEAST_BYTES
    assert PRODUCER_BATCH_BYTES + HEADERS < LEAST_BYTES


def test_topics_that_take_less_are_refused_with_what_to_change() -> None:
    with pytest.raises(EnvironmentFault) as refused:
        refuse_small({"agent-series": 100_000, "kpi-values": 1_048_588, "agent-frames": 9})
    assert refused.value.message == (
        "the agent sends messages of up to 262144 bytes, and these topics accept less: "
        "agent-frames (max.message.bytes=9), agent-series (max.message.bytes=100000)"
    )
    assert refused.value.hint == (
        "kafka-configs.sh --alter --topic agent-frames --add-config max.message.bytes=262144\n"
        "kafka-configs.sh --alter --topic agent-series --add-config max.message.bytes=262144"
    )


def test_topics_that_take_enough_serve_and_unknown_limits_are_no_fault() -> None:
    refuse_small({"agent-series": LEAST_BYTES})
    refuse_small({})


def test_a_source_with_larger_records_than_the_dead_letters_take_is_warned_of() -> None:
    limits = {"orders": 5_000_000, "visits": 1_048_588, "dead": 1_048_588, "late": 5_000_000}
    assert larger_records(limits, ["visits", "orders", "unknown"], ["dead", "late"]) == [
        "topic orders takes records of 5000000 bytes, and topic dead of 1048588: larger ones are "
        "cut there. Raise max.message.bytes of topic dead"
    ]
