"""Requests for explanations between workers, and their replies, over the board topic.

An explanation is made from the state of a series, which one worker holds. Every worker reads the
board topic, so requests need no addresses or connections of their own. They have no identity of a
user: only what everybody may see is explained.

1. The asking worker writes a request: a rule, a selector, the state partitions of these series.
2. Each worker that holds any of these writes a reply, of all partitions that it holds.
3. When all partitions are covered, the asking worker deletes the request and the replies.

A worker that runs other rules does not reply, nor one that reads a request long after it was
written. Where nobody replies in time, because a partition is being reassigned, the request fails.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from agent import clock
from agent.errors import EnvironmentFault, KpiAgentError
from agent.kafka.publish import Publisher, acknowledged

log = logging.getLogger(__name__)

REPLY_SECONDS = 3.0
"""The timeout of a request. A reply takes some tens of milliseconds."""
FRESH_MS = 30_000
"""Requests that are older, by the clocks of both workers, are ignored: they are read again after a
restart."""
FORGOTTEN_MS = 3_600_000
"""The age at which rows of workers that were killed during a request are deleted."""
MOST_OPEN = 8
"""Concurrent requests of a worker; others wait."""
MOST_WAITING = 200
"""Requests of other workers that wait for a reply; more are dropped."""


class ExplainRequest(msgspec.Struct, frozen=True, tag="explain_request"):
    """A request as a row of the board topic. `at_ms` is wall clock."""

    worker: str
    number: int
    config_hash: str
    rule: str
    series: str
    partitions: tuple[int, ...]
    at_ms: int


class ExplainReply(msgspec.Struct, frozen=True, tag="explain_reply"):
    """The reply of one worker to the request `number` of `worker`: of its state partitions, how
    many series there are (`count`), and the explanations of the most urgent ones."""

    worker: str
    number: int
    partitions: tuple[int, ...]
    count: int
    series: tuple[dict[str, Any], ...]
    at_ms: int


ExplainRow = ExplainRequest | ExplainReply
Explain = Callable[[str, str], Awaitable[tuple[frozenset[int], int, Sequence[dict[str, Any]]]]]
"""Explains a rule, for a selector, over the series held here: the state partitions, how many
series, the most urgent ones. Raises RulesError for a rule that is not declared."""

_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class _Open:
    """A request that waits for replies, and those that have arrived."""

    partitions: frozenset[int]
    replies: dict[bytes, ExplainReply] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def missing(self) -> frozenset[int]:
        """The state partitions that no reply covers."""
        return self.partitions.difference(*(reply.partitions for reply in self.replies.values()))

    def add(self, key: bytes, reply: ExplainReply) -> None:
        """Add a reply. It replaces those of the same partitions: they were reassigned since."""
        overlapping = set(reply.partitions)
        for known in [k for k, r in self.replies.items() if overlapping.intersection(r.partitions)]:
            del self.replies[known]
        self.replies[key] = reply
        if not self.missing:
            self.complete.set()


class ExplainRequests:
    """Sends requests to other workers, and replies to theirs. `worker` is the name of this one."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        # Different from those of an earlier worker of the same name, whose replies may still exist.
        self._numbers = itertools.count(clock.now_ms())
        self._open: dict[int, _Open] = {}
        self._turn = asyncio.Semaphore(MOST_OPEN)
        self._waiting: asyncio.Queue[ExplainRequest] = asyncio.Queue(MOST_WAITING)
        self._publisher: Publisher | None = None
        self._rows: dict[bytes, int] = {}  # the rows of all workers, and when they were written

    # ---- rows of the board topic

    def add(self, key: bytes, row: ExplainRow) -> None:
        """Add a row of the board topic."""
        self._rows[key] = row.at_ms
        if isinstance(row, ExplainReply):
            if row.worker == self._worker and row.number in self._open:
                self._open[row.number].add(key, row)
        elif row.worker != self._worker and abs(clock.now_ms() - row.at_ms) <= FRESH_MS:
            if self._waiting.full():
                log.debug("a request to explain %s is dropped: %d wait", row.rule, MOST_WAITING)
            else:
                self._waiting.put_nowait(row)

    def remove(self, key: bytes) -> None:
        """Forget a deleted row of the board topic."""
        self._rows.pop(key, None)

    def forgotten(self, now_ms: int) -> list[bytes]:
        """Keys of rows that their worker has not deleted."""
        return [key for key, at_ms in self._rows.items() if now_ms - at_ms > FORGOTTEN_MS]

    # ---- asking

    async def ask(
        self, config_hash: str, rule: str, series: str, partitions: Collection[int]
    ) -> list[ExplainReply]:
        """The replies of the workers that hold these state partitions, each partition in one reply.

        Raises EnvironmentFault if a partition has no reply in time.
        """
        async with self._turn:
            number, publisher = next(self._numbers), self._publisher
            waiting = self._open[number] = _Open(frozenset(partitions))
            key = _encoder.encode(["explain_request", self._worker, number])
            request = ExplainRequest(
                self._worker, number, config_hash, rule, series, tuple(sorted(partitions)),
                clock.now_ms(),
            )  # fmt: skip
            try:
                if publisher is not None:
                    await _write(publisher, {key: _encoder.encode(request)})
                    await asyncio.wait_for(waiting.complete.wait(), REPLY_SECONDS)
            except TimeoutError:
                pass
            except KafkaError as error:
                raise EnvironmentFault(f"the workers can't be asked: {error!r}") from error
            finally:
                del self._open[number]
                if publisher is not None:
                    await self._delete(publisher, [key, *waiting.replies])
        if waiting.missing:
            raise _unanswered(waiting.missing)
        return list(waiting.replies.values())

    async def _delete(self, publisher: Publisher, keys: Collection[bytes]) -> None:
        try:
            await _write(publisher, dict.fromkeys(keys))
        except (KafkaError, EnvironmentFault) as error:
            log.debug("requests to explain are left on the board topic: %r", error)

    # ---- replying

    async def run(self, publisher: Publisher, config_hash: str, explain: Explain) -> None:
        """Ask and reply through a publisher, until cancelled."""
        self._publisher = publisher
        try:
            while True:
                request = await self._waiting.get()
                if request.config_hash == config_hash:
                    await self._reply(publisher, request, explain)
        finally:
            self._publisher = None

    async def _reply(self, publisher: Publisher, request: ExplainRequest, explain: Explain) -> None:
        try:
            partitions, count, series = await explain(request.rule, request.series)
            if partitions.isdisjoint(request.partitions):
                return
            reply = ExplainReply(
                request.worker, request.number, tuple(sorted(partitions)), count, tuple(series),
                clock.now_ms(),
            )  # fmt: skip
            key = ["explain_reply", request.worker, request.number, self._worker]
            await _write(publisher, {_encoder.encode(key): _encoder.encode(reply)})
        except (KafkaError, KpiAgentError) as error:
            log.debug("a request to explain %s was not replied to: %r", request.rule, error)
        except Exception:  # the merge stage must go on
            log.exception("%s could not be explained", request.rule)


async def _write(publisher: Publisher, rows: dict[bytes, bytes | None]) -> None:
    await acknowledged(await publisher.board(rows))


def _unanswered(partitions: Collection[int]) -> EnvironmentFault:
    named = ", ".join(map(str, sorted(partitions)))
    which = "partition" if len(partitions) == 1 else "partitions"
    return EnvironmentFault(
        f"no worker explains the series of state {which} {named} within {REPLY_SECONDS:.0f} s",
        "Their worker is starting, or runs other rules; try again.",
    )
