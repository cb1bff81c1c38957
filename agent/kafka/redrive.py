"""Dead letters that are good by today's contracts go back to their topics, each of them once.

A letter is sent again to the partition that it came from, with its key, its own headers and its
first timestamp, and with `kpi-agent-redriven`, which names where it was first. In the same
transaction a marker goes to the letter's partition of the dead-letter topic: an empty record
with the letter's origin and the reason `redriven`. So both are there, or neither is; retention
deletes a letter before its marker; and of two runs at once the brokers let one finish.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord

from agent.core.decode.batch import Batch
from agent.core.model.plan import Plan
from agent.core.redrive import Reassessment, Verdict
from agent.errors import EnvironmentFault
from agent.kafka.client import connection
from agent.kafka.history import partitions_of
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.side_outputs import Headers
from agent.kafka.topic_reader import batches_to
from agent.kafka.topics import TopicNames
from agent.settings import Settings

TRANSACTION_TIMEOUT_MS = 10_000
"""After a crash, consumers of the source topics wait for so long for the end of a transaction."""

REDRIVEN = "redriven"
REDRIVEN_HEADER = "kpi-agent-redriven"
CUT_HEADER = "kpi-agent-original-length"

Record: TypeAlias = "ConsumerRecord[Any, Any]"
Progress = Callable[[int, int], None]
"""Called with how many dead letters of how many have been looked at."""


class Origin(NamedTuple):
    """Where a dead letter was first."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of the dead-letter topic; `headers` are the producer's own, `timestamp_ms` is that
    of the record that was rejected."""

    origin: Origin
    record: Record
    contract: str
    reason: str
    timestamp_ms: int
    is_cut: bool
    headers: Headers


def read_letter(record: Record) -> DeadLetter | None:
    """A record of the dead-letter topic; None for what the agent has not written."""
    ours = {name: value.decode("utf-8", "replace") for name, value in record.headers or ()}
    try:
        origin = Origin(
            ours["kpi-agent-topic"], int(ours["kpi-agent-partition"]), int(ours["kpi-agent-offset"])
        )
        timestamp_ms = int(ours.get("kpi-agent-timestamp", record.timestamp))
    except (KeyError, ValueError):
        return None
    theirs = [(k, v) for k, v in record.headers if not k.startswith("kpi-agent-")]
    return DeadLetter(
        origin, record, ours.get("kpi-agent-contract", ""), ours.get("kpi-agent-reason", ""),
        timestamp_ms, CUT_HEADER in ours, theirs,
    )  # fmt: skip


Counts = Counter[tuple[str, str, str]]
"""Dead letters by topic, what became of them, and the reason of those that are rejected still:
`redriven` (in a dry run: would be), `before` (by an earlier run), `cut` (not all bytes are there),
`undeclared` (no contract names the topic), `foreign` (not written by the agent), or a verdict."""


async def redrive(
    settings: Settings,
    plan: Plan,
    topics: Collection[str],
    dry_run: bool,
    progress: Progress = lambda _done, _all: None,
) -> Counts:
    """Give back what is good, of some topics (none: of all). Raises EnvironmentFault where the
    brokers can't be reached, refuse, or another run has begun meanwhile."""
    run = _Redrive(settings, plan, topics, dry_run, progress)
    try:
        return await run.run()
    except (ProducerFenced, IllegalOperation) as error:  # the latter, once it is fenced
        raise EnvironmentFault(
            "another redrive of this group has begun", "One at a time: run it again once it ends."
        ) from error
    except (KafkaError, OSError) as error:
        raise EnvironmentFault(f"dead letters can't be given back: {error}") from error


class _Redrive:
    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        topics: Collection[str],
        dry_run: bool,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._topics = topics
        self._dry_run = dry_run
        self._progress = progress
        self._dead_letters = TopicNames.of(settings).dead_letters
        self._given: set[Origin] = set()
        self._seen: set[Origin] = set()
        self._counts: Counts = Counter()
        self._assessments: dict[str, Reassessment] = {}  # by topic
        self._registry = SchemaRegistry(settings, plan)

    async def run(self) -> Counts:
        options = connection(self._settings)
        consumer = AIOKafkaConsumer(
            **options, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
        )
        producer = None
        if not self._dry_run:
            producer = AIOKafkaProducer(
                **options, transactional_id=f"{self._settings.group}-redrive",
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS, compression_type="zstd",
            )  # fmt: skip
        try:
            if producer is not None:
                await producer.start()  # first: it ends what an earlier run has left open
            await consumer.start()
            await self._run(consumer, producer)
        finally:
            await consumer.stop()
            if producer is not None:
                await producer.stop()
            self._registry.close()
        return self._counts

    async def _run(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer | None) -> None:
        topic = self._dead_letters
        numbers = (await partitions_of(connection(self._settings), [topic]))[topic]
        tps = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(tps)
        begins = await consumer.beginning_offsets(tps)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        async for records in _through(consumer, begins, ends):
            letters = filter(None, map(read_letter, records))
            self._given |= {letter.origin for letter in letters if letter.reason == REDRIVEN}
        done, whole = 0, sum(ends[tp] - begins[tp] for tp in tps)
        async for records in _through(consumer, begins, ends):
            good = await self._good(records)
            if good and producer is not None:
                await self._give_back(producer, good)
            self._given |= {letter.origin for letter in good}
            for letter in good:
                self._counts[letter.origin.topic, REDRIVEN, ""] += 1
            done += len(records)
            self._progress(done, whole)

    async def _good(self, records: Sequence[Record]) -> list[DeadLetter]:
        """Those that may go back; the others are counted."""
        by_topic: dict[str, list[DeadLetter]] = {}
        for record in records:
            letter = read_letter(record)
            if letter is None:
                self._counts["", "foreign", ""] += 1
            elif letter.reason != REDRIVEN and (
                not self._topics or letter.origin.topic in self._topics
            ):
                self._sort(letter, by_topic)
        good: list[DeadLetter] = []
        for topic, letters in by_topic.items():
            batch = await self._registry.with_schemas(_batch(topic, letters))
            contracts = [letter.contract for letter in letters]
            if topic not in self._assessments:
                self._assessments[topic] = Reassessment(self._plan, topic)
            verdicts = self._assessments[topic].verdicts(batch, contracts)
            for letter, (verdict, reason) in zip(letters, verdicts, strict=True):
                if verdict is Verdict.GOOD:
                    good.append(letter)
                else:
                    self._counts[topic, verdict.value, reason or ""] += 1
        return good

    def _sort(self, letter: DeadLetter, by_topic: dict[str, list[DeadLetter]]) -> None:
        """Count what needs no look at its bytes, and put the rest with its topic."""
        origin = letter.origin
        if origin in self._given:
            self._counts[origin.topic, "before", ""] += origin not in self._seen
        elif origin in self._seen:
            return  # a crash of the agent may write a letter twice
        elif not self._plan.contracts_of(origin.topic):
            self._counts[origin.topic, "undeclared", ""] += 1
        elif letter.is_cut:
            self._counts[origin.topic, "cut", ""] += 1
        else:
            by_topic.setdefault(origin.topic, []).append(letter)
        self._seen.add(origin)

    async def _give_back(self, producer: AIOKafkaProducer, letters: Sequence[DeadLetter]) -> None:
        async with producer.transaction():
            sends: list[asyncio.Future[Any]] = []
            try:
                for letter in letters:
                    sends += await self._send(producer, letter)
            finally:
                answers = await asyncio.gather(*sends, return_exceptions=True)
            for error in answers:
                if isinstance(error, BaseException):
                    raise error

    async def _send(
        self, producer: AIOKafkaProducer, letter: DeadLetter
    ) -> list[asyncio.Future[Any]]:
        """Send the record and the marker."""
        origin, record = letter.origin, letter.record
        place = "/".join(map(str, origin))
        return [
            await producer.send(
                origin.topic, record.value, key=record.key, partition=origin.partition,
                timestamp_ms=letter.timestamp_ms,
                headers=[*letter.headers, (REDRIVEN_HEADER, place.encode())],
            ),
            await producer.send(
                self._dead_letters, b"", key=record.key, partition=record.partition,
                headers=_marker(letter),
            ),
        ]  # fmt: skip


async def _through(
    consumer: AIOKafkaConsumer,
    begins: dict[TopicPartition, int],
    ends: dict[TopicPartition, int],
) -> AsyncIterator[Sequence[Record]]:
    """The records between offsets, from the beginning again each time."""
    for tp, begin in begins.items():
        consumer.seek(tp, begin)
    wanted = {tp: end for tp, end in ends.items() if begins[tp] < end}
    async for fetched in batches_to(consumer, wanted):
        for records in fetched.values():
            yield records


def _batch(topic: str, letters: Sequence[DeadLetter]) -> Batch:
    """The letters as one partition of their topic."""
    count = len(letters)
    return Batch(
        topic,
        [letter.record.value for letter in letters],
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int64),
        np.fromiter((letter.timestamp_ms for letter in letters), np.int64, count),
        keys=[letter.record.key for letter in letters],
        headers={row: letter.headers for row, letter in enumerate(letters) if letter.headers},
    )


def _marker(letter: DeadLetter) -> Headers:
    """The headers of the record that says that a letter was given back."""
    topic, partition, offset = letter.origin
    return [
        ("kpi-agent-topic", topic.encode()),
        ("kpi-agent-partition", str(partition).encode()),
        ("kpi-agent-offset", str(offset).encode()),
        ("kpi-agent-reason", REDRIVEN.encode()),
    ]
