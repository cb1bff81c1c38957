"""A Kafka broker inside this process, for `kpi-agent demo` and the tests.

It is librdkafka's mock cluster, which comes in the confluent-kafka wheel: no Java, no Docker. It
speaks enough of the protocol for consumer groups, commits and Faust tables. What it lacks: topics
cannot be created or configured (they appear on first use, with four partitions), a partition keeps
only its last 5 MB or 100,000 records and is never compacted, nothing outlives the process. A member
of a group that syncs after its leader is refused: a second agent may need several tries to join.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

START_TIMEOUT_SECONDS = 10.0
PARTITIONS = 4  # of every topic; librdkafka's rdkafka_mock.c, `defaults.partition_cnt`


class EmbeddedBroker:
    """A running broker; `address` is its `host:port`. It stops when closed or collected."""

    def __init__(self) -> None:
        # The client that started the mock cluster owns it: it has to stay alive.
        self._owner: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        self.address = self._find_address(self._owner)

    @staticmethod
    def _find_address(owner: Producer) -> str:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            for broker in owner.list_topics(timeout=START_TIMEOUT_SECONDS).brokers.values():
                if broker.port > 0:
                    return f"{broker.host}:{broker.port}"
            time.sleep(0.02)
        raise RuntimeError(
            f"The embedded broker did not start within {START_TIMEOUT_SECONDS:.0f} s. "
            "Is the loopback interface up?"
        )

    def close(self) -> None:
        """Stop the broker. Its topics are lost."""
        self._owner = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
