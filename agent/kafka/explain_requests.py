"""Explanations from the worker that holds a series, asked for and given over the board topic.

An explanation is read from the state of a series, which one worker holds. Every worker reads the
board topic, so a question and its answer need neither an address nor a connection of their own, and
carry nobody's identity: only what everybody may see is asked for and given.

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
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from agent.errors import EnvironmentFault, KpiAgentError
from agent.kafka.publish import Publisher, acknowledged

log = logging.getLogger(__name__)

REPLY_SECONDS = 3.0
"""For how long replies are waited for. A reply takes some tens of milliseconds."""
FRESH_MS = 30_000
"""A request that is older, by the clocks of two workers, is not replied to: it is read again."""
FORGOTTEN_MS = 3_600_000
"""What is left of a worker that was killed while it asked is deleted then."""
MOST_OPEN = 8
"""Requests of a worker at a time; others wait their turn."""
MOST_WAITING = 200
"""Requests of other workers that wait to be replied to; more are dropped, and asked again."""


class ExplainRequest(msgspec.Struct, frozen=True, tag="explain_request"):
    """A question as a row of the board topic. `at_ms` is wall clock."""

    worker: str
    number: int
    config_hash: str
    rule: str
    series: str
    partitions: tuple[int, ...]
    at_ms: int


class ExplainReply(msgspec.Struct, frozen=True, tag="explain_reply"):
    """What one worker replies to the request `number` of `worker`: about how many series of these
    state partitions it could say something, and of the most urgent ones what."""

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
    """A request that replies are waited for, and those that have come."""

    partitions: frozenset[int]
    replies: dict[bytes, ExplainReply] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def missing(self) -> frozenset[int]:
        """The state partitions that no reply covers."""
        return self.partitions.difference(*(reply.partitions for reply in self.replies.values()))

    def add(self, key: bytes, reply: ExplainReply) -> None:
        """Take a reply. It replaces those about the same partitions: they were reassigned since."""
        overlapping = set(reply.partitions)
        for known in [k for k, r in self.replies.items() if overlapping.intersection(r.partitions)]:
            del self.replies[known]
        self.replies[key] = reply
        if not self.missing:
            self.complete.set()


class ExplainRequests:
    """Asks other workers, and replies to them. `worker` is the name of this one."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        # Numbers of a worker of the same name before it, whose replies may still be there, differ.
        self._numbers = itertools.count(_now_ms())
        self._open: dict[int, _Open] = {}
        self._turn = asyncio.Semaphore(MOST_OPEN)
        self._waiting: asyncio.Queue[ExplainRequest] = asyncio.Queue(MOST_WAITING)
        self._publisher: Publisher | None = None
        self._rows: dict[bytes, int] = {}  # the rows of all workers, and when they were written

    # ---- what the board topic has

    def add(self, key: bytes, row: ExplainRow) -> None:
        """A row of the board topic."""
        self._rows[key] = row.at_ms
        if isinstance(row, ExplainReply):
            if row.worker == self._worker and row.number in self._open:
                self._open[row.number].add(key, row)
        elif row.worker != self._worker and abs(_now_ms() - row.at_ms) <= FRESH_MS:
            if self._waiting.full():
                log.debug("a request to explain %s is dropped: %d wait", row.rule, MOST_WAITING)
            else:
                self._waiting.put_nowait(row)

    def remove(self, key: bytes) -> None:
        """A key of the board topic that has no row any more."""
        self._rows.pop(key, None)

    def forgotten(self, now_ms: int) -> list[bytes]:
        """Keys of rows that their worker has not deleted."""
        return [key for key, at_ms in self._rows.items() if now_ms - at_ms > FORGOTTEN_MS]

    # ---- asking

    async def ask(
        self, config_hash: str, rule: str, series: str, partitions: Collection[int]
    ) -> list[ExplainReply]:
        """What the workers that hold these state partitions reply, each partition in one reply.

        Raises EnvironmentFault where not all of them are replied for.
        """
        async with self._turn:
            number, publisher = next(self._numbers), self._publisher
            asked = self._open[number] = _Open(frozenset(partitions))
            key = _encoder.encode(["explain_request", self._worker, number])
            request = ExplainRequest(
                self._worker, number, config_hash, rule, series, tuple(sorted(partitions)),
                _now_ms(),
            )  # fmt: skip
            try:
                if publisher is not None:
                    await _write(publisher, {key: _encoder.encode(request)})
                    await asyncio.wait_for(asked.complete.wait(), REPLY_SECONDS)
            except TimeoutError:
                pass
            except KafkaError as error:
                raise EnvironmentFault(f"the workers can't be asked: {error!r}") from error
            finally:
                del self._open[number]
                if publisher is not None:
                    await self._delete(publisher, [key, *asked.replies])
        if asked.missing:
            raise _unanswered(asked.missing)
        return list(asked.replies.values())

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
                _now_ms(),
            )  # fmt: skip
            key = ["explain_reply", request.worker, request.number, self._worker]
            await _write(publisher, {_encoder.encode(key): _encoder.encode(reply)})
        except (KafkaError, KpiAgentError) as error:
            log.debug("a request to explain %s was not replied to: %r", request.rule, error)
        except Exception:  # the stage beside it goes on
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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
