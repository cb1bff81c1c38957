"""Dead letters and late records: whole where the broker takes them, cut where it does not."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.structs import ConsumerRecord

from agent.kafka.side_outputs import SideOutputs, origin_headers
from agent.kafka.topics import TopicNames
from agent.settings import Settings

NAMES = TopicNames.of(Settings())
DEAD = NAMES.dead_letters


def record(
    value: bytes, key: bytes | None = b"k", headers: tuple[tuple[str, bytes], ...] = ()
) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        topic="orders", partition=2, offset=7, timestamp=1_007, timestamp_type=0, key=key,
        value=value, checksum=None, serialized_key_size=1, serialized_value_size=len(value),
        headers=headers,
    )  # fmt: skip


@dataclass
class Batch:
    """A batch that is filled by hand, as aiokafka's builder is."""

    message: dict[str, Any] = field(default_factory=dict)

    def append(self, **message: Any) -> object:
        self.message = message
        return message

    def close(self) -> None:
        pass


@dataclass
class Limited:
    """A producer to a topic that takes messages up to a size; `own_limit` is the producer's."""

    limit: int
    own_limit: int = 100_000_000
    error: type[Exception] = MessageSizeTooLargeError
    got: list[tuple[str, bytes | None, bytes | None, dict[str, bytes]]] = field(
        default_factory=list
    )

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0, 1, 2}

    async def send(
        self, topic: str, value: bytes, key: bytes | None, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[Any]:
        if self._size(key, value, headers) > self.own_limit:
            raise MessageSizeTooLargeError
        return self._answer(topic, key, value, headers)

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, partition: int) -> asyncio.Future[Any]:
        assert partition in (0, 1, 2)
        message = batch.message
        return self._answer(topic, message["key"], message["value"], message["headers"])

    def _answer(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._size(key, value, headers) > self.limit:
            future.set_exception(self.error())
        else:
            self.got.append((topic, key, value, dict(headers)))
            future.set_result(None)
        return future

    @staticmethod
    def _size(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> int:
        of_headers = sum(len(name) + len(content) for name, content in headers)
        return len(key or b"") + len(value or b"") + of_headers


async def dead_letter(producer: Limited, sent: ConsumerRecord[Any, Any]) -> Counter[str]:
    """Send one dead letter, and settle it; how many were cut, by topic."""
    cuts: Counter[str] = Counter()
    outputs = SideOutputs(producer, NAMES, lambda topic: cuts.update([topic]))  # type: ignore[arg-type]
    await outputs.settle([await outputs.dead_letter(sent, "not_json", "it is a comma", "order")])
    return cuts


def test_a_dead_letter_names_its_origin_and_keeps_the_producers_own_headers() -> None:
    headers = origin_headers(
        record(b"{}", headers=(("trace", b"1"), ("kpi-agent-reason", b"old"))),
        "not_json",
        "it is £5",
        None,
    )
    assert headers == [
        ("trace", b"1"),
        ("kpi-agent-topic", b"orders"),
        ("kpi-agent-partition", b"2"),
        ("kpi-agent-offset", b"7"),
        ("kpi-agent-timestamp", b"1007"),
        ("kpi-agent-reason", b"not_json"),
        ("kpi-agent-detail", "it is £5".encode()),
        ("kpi-agent-contract", b""),
    ]


async def test_what_fits_goes_out_whole() -> None:
    producer = Limited(1_048_588)
    assert not await dead_letter(producer, record(b"x" * 1_000_000))
    ((topic, key, value, headers),) = producer.got
    assert (topic, key, value) == (DEAD, b"k", b"x" * 1_000_000)
    assert "kpi-agent-original-length" not in headers


@pytest.mark.parametrize(
    "own_limit", [1_048_576, 100_000_000], ids=["by the client", "by the broker"]
)
async def test_what_does_not_fit_is_cut_and_says_so(own_limit: int) -> None:
    value = b"x" * 1_048_480
    producer = Limited(1_048_588, own_limit)
    assert await dead_letter(producer, record(value)) == {DEAD: 1}
    ((_, key, sent, headers),) = producer.got
    assert sent is not None
    assert key == b"k" and 800_000 < len(sent) < 900_000 and value.startswith(sent)
    assert headers["kpi-agent-original-length"] == b"1048480"
    assert headers["kpi-agent-original-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert headers["kpi-agent-offset"] == b"7" and headers["kpi-agent-reason"] == b"not_json"


async def test_a_large_key_and_a_producers_large_headers_are_left_out() -> None:
    producer = Limited(100_000)
    headed = record(b"x" * 10, b"k" * 600_000, (("trace", b"t" * 300_000), ("b", b"")))
    assert await dead_letter(producer, headed) == {DEAD: 1}
    ((_, key, value, headers),) = producer.got
    assert (key, value) == (None, b"x" * 10)
    assert headers["kpi-agent-original-key-length"] == b"600000"
    assert headers["kpi-agent-original-headers"] == b"2"
    assert "trace" not in headers


async def test_a_topic_that_takes_next_to_nothing_gets_the_headers() -> None:
    producer = Limited(800)
    assert await dead_letter(producer, record(b"x" * 5_000)) == {DEAD: 1}
    ((_, _, value, headers),) = producer.got
    assert value is not None and len(value) < 500
    assert headers["kpi-agent-original-length"] == b"5000"


async def test_what_cannot_be_sent_at_all_is_counted_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await dead_letter(Limited(50), record(b"x" * 5_000)) == {DEAD: 1}
    assert "topic orders partition 2 offset 7 can't be sent to topic" in caplog.text


async def test_another_failure_is_raised_once_all_are_settled() -> None:
    producer = Limited(0, error=KafkaTimeoutError)
    with pytest.raises(KafkaTimeoutError):
        await dead_letter(producer, record(b"{}"))
