"""Runs both stages, with readers and watches, by one set of rules: until a reload, or the end.

    stage 1    source topics → frames
    stage 2    frames → windows, targets, alerts, and the board topic
    readers    the board topic and the alerts topic → this worker's view of the fleet
    writer     the values topic → a receiver of remote write, where the settings name one
    watches    the agent's own topics; whether the stages make progress

A stage starts from what is committed. It ends with everything committed, or it crashes; the next
one starts in the same way. A stage that fails is started again, without the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.core.output.privacy import names_people
from agent.errors import EnvironmentFault, reason_of
from agent.export.agent_state import AgentState
from agent.kafka.alert_log import AlertLog
from agent.kafka.board_topic import BoardReader, BoardWriter
from agent.kafka.client import new_producer, new_reader
from agent.kafka.connecting import wait_for_broker
from agent.kafka.ingest_stage import IngestStage
from agent.kafka.merge_stage import MergeStage
from agent.kafka.publish import Publisher
from agent.kafka.side_outputs import SideOutputs
from agent.kafka.topics import TopicNames
from agent.service.fleet_view import FleetView
from agent.service.status import (
    BOARD,
    BROKER,
    INGEST,
    MERGE,
    REMOTE_WRITE,
    IngestReporter,
    MergeReporter,
    StatusReporter,
)
from agent.service.tasks import (
    all_of,
    alongside,
    close,
    first_of,
    keep,
    pause,
    run_until,
    until,
)
from agent.service.topic_keeper import TopicKeeper
from agent.settings import Settings

if TYPE_CHECKING:
    from agent.export.remote_write.metrics import RemoteWriteMetrics

log = logging.getLogger(__name__)


class StageRunner:
    """Runs the stages. Each `run` uses the plan that `state` has at its start."""

    def __init__(
        self,
        settings: Settings,
        state: AgentState,
        status: StatusReporter,
        fleet: FleetView,
        board: BoardReader,
        alert_log: AlertLog,
    ) -> None:
        self.at_rest = asyncio.Event()  # no stage is running
        self.at_rest.set()
        self._settings = settings
        self._state = state
        self._status = status
        self._fleet = fleet
        self._board = board
        self._alert_log = alert_log
        self._names = TopicNames.of(settings)
        self._topics = TopicKeeper(settings, status)
        self._remote_write: RemoteWriteMetrics | None = None
        if settings.remote_write_url:  # its libraries are imported where it is used
            from agent.export.remote_write.metrics import RemoteWriteMetrics

            self._remote_write = RemoteWriteMetrics(state.metrics.registry)
            state.metrics.errors.labels(REMOTE_WRITE)

    async def run(self, stopping: asyncio.Event) -> None:
        """Run everything until `stopping` is set; start all of it again after a failure."""
        await keep(lambda: self._once(stopping), stopping, self._on_failure(BROKER))

    async def _once(self, stopping: asyncio.Event) -> None:
        self._status.starting()
        admin = await self._reach_broker(stopping)
        if admin is None:
            return
        consumer = new_reader(self._settings)
        try:
            await consumer.start()
            state_partitions = await self._topics.ensure(admin, consumer)
            self._status.waiting(BROKER, None)
            self._status.waiting(BOARD, None)
            ingest_reporter = IngestReporter(self._state.plan, self._state.metrics, self._status)
            ingest = partial(self._run_ingest, admin, state_partitions, ingest_reporter, stopping)
            merge = partial(self._run_merge, state_partitions, stopping)
            remote_write = partial(self._run_remote_write, stopping)
            self.at_rest.clear()
            await all_of([
                keep(ingest, stopping, self._on_failure(INGEST)),
                keep(merge, stopping, self._on_failure(MERGE)),
                keep(partial(self._run_readers, stopping), stopping, self._on_failure(BOARD)),
                keep(remote_write, stopping, self._on_remote_write_failure),
                self._topics.watch(admin, consumer, state_partitions, stopping),
                self._watch_flushes(ingest_reporter, stopping),
            ])  # fmt: skip
        finally:
            self.at_rest.set()
            await close("the topics' consumer", consumer.stop())
            await close("the admin client", admin.close())

    def _on_failure(self, component: str) -> Callable[[Exception, float], None]:
        def report(error: Exception, pause_seconds: float) -> None:
            reason = f"{reason_of(error)}; trying again in about {pause_seconds:.0f} s"
            is_ours = not isinstance(error, (KafkaError, EnvironmentFault, OSError))
            log.error("%s: %s", component, reason, exc_info=error if is_ours else None)
            self._status.failed(component, reason)

        return report

    def _on_remote_write_failure(self, error: Exception, pause_seconds: float) -> None:
        """Count and log a failure; the worker stays ready."""
        self._state.metrics.errors.labels(REMOTE_WRITE).inc()
        is_ours = not isinstance(error, (KafkaError, OSError))
        log.error(
            "%s: %s; trying again in about %.0f s", REMOTE_WRITE, reason_of(error),
            pause_seconds, exc_info=error if is_ours else None,
        )  # fmt: skip

    async def _reach_broker(self, stopping: asyncio.Event) -> AIOKafkaAdminClient | None:
        """An admin client once a broker answers; None when the end comes first."""
        waiting = asyncio.create_task(
            wait_for_broker(self._settings, lambda reason: self._status.waiting(BROKER, reason))
        )
        await first_of(stopping, waiting)
        if not waiting.done():
            waiting.cancel()
            return None
        return waiting.result()

    async def _watch_flushes(self, reporter: IngestReporter, stopping: asyncio.Event) -> None:
        while not await pause(stopping, 1.0):
            reporter.check_flushes(2 * self._settings.flush_interval)

    async def _run_ingest(
        self,
        admin: AIOKafkaAdminClient,
        state_partitions: int,
        reporter: IngestReporter,
        stopping: asyncio.Event,
    ) -> None:
        """Stage 1."""
        producer = new_producer(self._settings)
        side_producer = new_producer(self._settings, idempotent=False)
        try:
            await producer.start()
            await side_producer.start()
            plan = self._state.plan
            outputs = SideOutputs(
                side_producer, self._names, reporter.cut, partial(names_people, plan)
            )
            ingest = IngestStage(
                self._settings, plan, Publisher(producer, self._names), outputs, admin,
                state_partitions, reporter,
            )  # fmt: skip
            await run_until(stopping, INGEST, ingest.run(), ingest.stop)
        finally:
            await close("the ingest's producer", producer.stop())
            await close("the producer of dead letters", side_producer.stop())

    async def _run_merge(self, state_partitions: int, stopping: asyncio.Event) -> None:
        """Stage 2, and the writer of its series to the board topic."""
        producer = new_producer(self._settings)
        fleet, plan, privacy = self._fleet, self._state.plan, self._state.privacy
        try:
            await producer.start()
            publisher = Publisher(producer, self._names, privacy)
            counts = self._state.metrics.record_counts
            writer = BoardWriter(publisher, self._board, fleet, counts)
            reporter = MergeReporter(
                plan, self._state.metrics, self._status, fleet, writer, privacy
            )
            merge = MergeStage(self._settings, plan, publisher, state_partitions, reporter)
            fleet.attach(merge, state_partitions)
            replying = self._board.requests.run(publisher, plan.config_hash, fleet.explain_held)
            try:
                async with alongside(writer.run(), replying) as tasks:
                    await run_until(stopping, MERGE, merge.run(), merge.stop, *tasks)
            finally:
                fleet.detach()
        finally:
            await close("the merge's producer", producer.stop())

    async def _run_readers(self, stopping: asyncio.Event) -> None:
        """The readers of the board topic and of the alerts topic."""
        await until(stopping, self._board.run(), self._alert_log.run())

    async def _run_remote_write(self, stopping: asyncio.Event) -> None:
        """Send closed windows to the remote write receiver of the settings, if there is one."""
        if self._remote_write is None:
            return
        from agent.service.remote_writer import RemoteWriter

        writer = RemoteWriter(self._settings, self._state.plan, self._remote_write)
        await until(stopping, writer.run())
