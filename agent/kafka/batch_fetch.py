"""Makes a consumer return record batches instead of single records.

For each record, aiokafka's `getmany` steps through a generator and fills a `ConsumerRecord`, which
takes 2 to 3 µs: more than decoding and folding it. A batch has the fields that the ingest needs, at
a fifth of that (docs/decisions/0014-records-by-batch.md); they are put into columns (`fetched`)
while the batch is still in the processor's cache. This replaces one step of aiokafka,
`FetchResult.getall`, for one consumer; fetching, positions, rebalances and errors stay aiokafka's.

Only this module uses internals of aiokafka's consumer. `INTERNALS` lists them; an upgrade of
aiokafka that changes one of them fails in `tests/kafka/test_batch_fetch.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from agent.kafka.fetched import Fetched, Raw

INTERNALS = {
    AIOKafkaConsumer: ("_client", "_fetcher"),
    AIOKafkaClient: ("force_metadata_update",),
    Fetcher: ("_records",),
    FetchResult: (
        *("_partition_records", "_topic_partition"),
        *("check_assignment", "has_more", "getall", "_update_position"),
    ),
    PartitionRecords: (
        *("_records", "_records_iterator", "next_fetch_offset", "_tp", "_check_crcs"),
        *("_isolation_level", "_aborted_producers"),
        *("_consume_aborted_up_to", "_contains_abort_marker"),
    ),
}
"""By class, the internal attributes and methods that are used or replaced."""


def refresh_metadata(consumer: AIOKafkaConsumer) -> None:
    """Refresh the metadata of topics now; new partitions make the group rebalance.

    aiokafka does so every `metadata_max_age_ms`, and its public API has no way to do it sooner.
    """
    consumer._client.force_metadata_update()


def enable_batch_fetch(consumer: AIOKafkaConsumer) -> None:
    """Make `getmany` of a started consumer return `Fetched` records. The consumer must have no
    deserializers, and must be read by `getmany` only."""
    fetcher = consumer._fetcher
    results = _Results()
    for tp, result in fetcher._records.items():
        results[tp] = result
    fetcher._records = results


class _Results(OrderedDict[TopicPartition, Any]):
    """Fetched and not read yet. aiokafka reads the records of a result with `getall`."""

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult and result._partition_records is not None:
            result.getall = _BatchReader(result).getall
        super().__setitem__(tp, result)


class _BatchReader:
    """`FetchResult.getall` by batches. `_rest`: the rest of a batch that was read in part."""

    def __init__(self, result: FetchResult) -> None:
        self._result = result
        self._batches = _batches(result._partition_records)
        # Unused, it would keep the fetched bytes alive until the next garbage collection.
        result._partition_records._records_iterator.close()
        self._rest: list[Raw] = []
        self._rest_end = 0

    def getall(self, max_records: int | None = None) -> Fetched:
        """The next records, at most `max_records`; none if the partition was revoked or sought."""
        result = self._result
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            return Fetched()
        fetched = Fetched()
        parsed = result._partition_records
        while max_records is None or len(fetched) < max_records:
            if not self._rest:
                batch = next(self._batches, None)
                if batch is None:
                    result._update_position()
                    result._partition_records = None
                    del result.getall  # a reference cycle
                    return fetched
                self._rest, self._rest_end = batch
            room = len(self._rest) if max_records is None else max_records - len(fetched)
            part, self._rest = self._rest[:room], self._rest[room:]
            fetched.extend(part)
            parsed.next_fetch_offset = part[-1].offset + 1 if self._rest else self._rest_end
        result._update_position()
        return fetched


def _batches(parsed: PartitionRecords) -> Iterator[tuple[list[Raw], int]]:
    """Batches of records with the offset after them, without aborted transactions, control batches
    and records before the position, as in `PartitionRecords`."""
    records = parsed._records
    while records.has_next():
        batch = records.next_batch()
        if parsed._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {parsed._tp}")
        if _is_aborted(parsed, batch) or batch.is_control_batch:
            parsed.next_fetch_offset = batch.next_offset
            continue
        raws = list(batch)
        if raws and raws[0].offset < parsed.next_fetch_offset:
            raws = [raw for raw in raws if raw.offset >= parsed.next_fetch_offset]
        if not raws:  # compacted away, or wholly before the position
            parsed.next_fetch_offset = batch.next_offset
            continue
        yield raws, batch.next_offset


def _is_aborted(parsed: PartitionRecords, batch: Any) -> bool:
    """Whether a batch belongs to a transaction that was aborted."""
    if parsed._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    parsed._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch:
        if parsed._contains_abort_marker(batch):
            parsed._aborted_producers.discard(batch.producer_id)
        return False
    return batch.is_transactional and batch.producer_id in parsed._aborted_producers
