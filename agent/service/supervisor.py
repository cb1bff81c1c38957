"""`kpi-agent run`: both stages, the board and the exports in one process, on one event loop.

    web server          from the first moment to the last
    └─ one life         ends with new rules, or the end
       ├─ ingest        stage 1: source topics → frames
       ├─ merge         stage 2: frames → windows, targets, alerts; and the board topic
       └─ company view  the board topic → every series of every worker

A stage starts from what is committed and ends with everything committed, or not, when it crashes:
the next one can't tell the difference. One that fails is started anew, by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from importlib import metadata
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from agent.core.changes.diff import compare, summary
from agent.core.changes.outline import outline
from agent.core.model.plan import Plan
from agent.core.output.labels import check_external_labels
from agent.core.output.privacy import Privacy
from agent.errors import EnvironmentFault, KpiAgentError, RulesError
from agent.export.agent_state import AgentState
from agent.export.alertmanager import Delivery
from agent.export.web.access import Access
from agent.export.web.server import serving
from agent.kafka.alert_log import AlertLog
from agent.kafka.board_topic import BoardReader, BoardWriter
from agent.kafka.client import connection, new_producer
from agent.kafka.connecting import wait_for_broker
from agent.kafka.ingest_stage import IngestStage
from agent.kafka.merge_stage import MergeStage
from agent.kafka.placement import has_changed
from agent.kafka.publish import Publisher
from agent.kafka.side_outputs import SideOutputs
from agent.kafka.topic_watch import TopicWatch, check_state_is_whole, end_offsets
from agent.kafka.topics import TopicNames, create_missing, ensure
from agent.service import malloc_trim as memory
from agent.service.fleet_view import Company
from agent.service.signals import handling
from agent.service.status import BOARD, BROKER, COMPONENTS, INGEST, MERGE, News
from agent.settings import Settings, misspelt_variables

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 7.0
TOPICS_CHECK_SECONDS = 5.0

GC_THRESHOLDS = (200_000, 10, 10)
"""Python looks for cycles after so many new objects: two batches of records are fewer. With its
default of 700, that search was half of what the event loop did (decision 0014)."""

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another waits. Folding asks for it some hundred
times a batch, for an instant each: with Python's default of 5 ms it mostly waited for the loop."""

LoadPlan = Callable[[], Plan]


class Service:
    """One running agent. `load_plan` reads the rules anew, and raises RulesError for wrong ones."""

    def __init__(self, settings: Settings, load_plan: LoadPlan, name: str = "KPI agent") -> None:
        self._settings = settings
        self._load_plan = load_plan
        self._names = TopicNames.of(settings)
        self._end = asyncio.Event()
        self._life_over = asyncio.Event()
        self._at_rest = asyncio.Event()  # no stage is running
        self._at_rest.set()
        self._privacy = Privacy(settings.secret_of_people())
        plan = self._load()
        self.state = AgentState(plan, name=name, version=metadata.version("kpi-agent"))
        self.state.privacy = self._privacy
        self.state.group = settings.group
        self.state.external_labels = settings.labels
        self.state.started_at_ms = _now_ms()
        self.state.stats.last_reload_ms = _now_ms()
        self.state.ready = dict.fromkeys(COMPONENTS, "starting")
        self.state.reload = self.reload
        self._topic_watch = TopicWatch(settings)
        self._view = BoardReader(settings, self._names.board, plan)
        self._alert_log = AlertLog(settings, self._names.alerts)
        self.state.alert_log = self._alert_log.steps
        self._company = Company(self.state, self._view)
        self._news = News(self.state, self._company.told)
        urls = settings.alertmanager_urls
        self._delivery = Delivery(
            self.state, urls, self._company.own_alerts, self._company.is_ours, _now_ms,
            settings.alert_resend,
        ) if urls else None  # fmt: skip

    def _load(self) -> Plan:
        """Read the rules. Raises RulesError where they are wrong, and EnvironmentFault where they
        have KPIs of single people, and no secret is known that would hide them."""
        plan = self._load_plan()
        self._privacy.check(plan)
        check_external_labels(plan, self._settings.labels)
        return plan

    def stop(self) -> None:
        """End in good order: flush, commit, leave the groups."""
        if not self._end.is_set():
            log.info("stopping: flushing, committing, leaving the groups")
        self._end.set()
        self._life_over.set()

    async def reload(self) -> tuple[bool, str]:
        """Load the rules anew. All are valid and are taken, or nothing changes.

        Returns once no stage runs by the old rules any more: events that are written from then on
        are judged by the new ones.
        """
        stats = self.state.stats
        try:
            plan = await asyncio.to_thread(self._load)
        except (RulesError, EnvironmentFault) as error:
            stats.reloads_failed += 1
            log.warning("the rules were not reloaded, the old ones stay: %s", error)
            return False, f"the rules are not valid, the old ones stay:\n{error}"
        stats.reloads_ok += 1
        stats.last_reload_ms = _now_ms()
        if plan.config_hash == self.state.plan.config_hash:
            return True, "the rules are the same as before"
        found = compare(outline(self.state.plan), outline(plan))
        self.state.plan = plan
        self._view.replan(plan)
        self._life_over.set()
        with contextlib.suppress(TimeoutError):  # the log says which stage does not stop
            await asyncio.wait_for(self._at_rest.wait(), 2 * STOP_TIMEOUT_SECONDS)
        told = f"{summary(found)}; {len(plan.kpis)} KPIs and {len(plan.rules)} rules are in use now"
        log.info("reloaded: %s", told)
        return True, told

    async def run(self, on_serving: Callable[[int], None] = lambda port: None) -> None:
        """Run until `stop`; `on_serving` is told the port of the web server.

        Raises EnvironmentFault where the surroundings can't serve and waiting won't help.
        """
        host, port = self._settings.web_host, self._settings.web_port
        access = Access(self._settings.web_host_names, self._settings.web_reload)
        for hint in misspelt_variables(os.environ):
            log.warning("%s", hint)
        try:
            async with serving(self.state, host, port, access=access) as served:
                log.info("serving http://%s:%d", "localhost" if host == "0.0.0.0" else host, served)  # noqa: S104
                on_serving(served)
                giving_back = asyncio.create_task(memory.give_back(), name="memory")
                try:
                    async with self._delivering():
                        await self._lives()
                finally:
                    giving_back.cancel()
        except OSError as error:
            if isinstance(error, KpiAgentError):
                raise
            raise EnvironmentFault(str(error)) from error

    @contextlib.asynccontextmanager
    async def _delivering(self) -> AsyncIterator[None]:
        """Send alerts to the Alertmanagers of the settings, if any, beside all lives."""
        delivery = self._delivery
        if delivery is None:
            yield
            return
        task = asyncio.create_task(delivery.run(), name="delivery")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_TIMEOUT_SECONDS)

    async def _lives(self) -> None:
        """One life of the stages after the other: a new one begins with new rules."""
        while not self._end.is_set():
            self._life_over.clear()
            await self._keep(BROKER, self._life_over, self._live)

    async def _live(self) -> None:
        """See that broker and topics are there, then keep all stages going until the life is over.

        A stage that fails is started anew by itself: the others need not read anything again.
        """
        for component in COMPONENTS:
            self.state.ready[component] = "starting"
        admin = await self._reach_broker()
        if admin is None:
            return
        over = self._life_over
        consumer = AIOKafkaConsumer(**connection(self._settings))
        try:
            await consumer.start()
            state_partitions, warnings = await self._ensure_topics(admin, consumer)
            for warning in warnings:
                log.warning("%s", warning)
            self._news.waiting(BROKER, None)
            self._news.waiting(BOARD, None)
            kept = [
                self._keep(INGEST, over, lambda: self._run_ingest(admin, state_partitions)),
                self._keep(MERGE, over, lambda: self._run_merge(state_partitions)),
                self._keep(BOARD, over, self._run_view),
            ]
            self._at_rest.clear()
            kept.append(self._watch_topics(admin, consumer, state_partitions))
            kept.append(self._watch_progress())
            await _all_of(kept)
        finally:
            self._at_rest.set()
            await _in_time("the topics' consumer", consumer.stop())
            await _in_time("the admin client", admin.close())

    async def _ensure_topics(
        self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer
    ) -> tuple[int, list[str]]:
        """See that the agent's topics are there and serve; the number of state partitions and
        warnings. Raises EnvironmentFault."""
        self._topic_watch.refuse_after_loss()
        ends = await end_offsets(admin, consumer, self._names)
        check_state_is_whole(self._settings, self._names, ends)
        found = await ensure(admin, self._settings)
        self._topic_watch.see(await end_offsets(admin, consumer, self._names))
        return found

    async def _watch_topics(
        self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, state_partitions: int
    ) -> None:
        """Create again what is deleted and holds no state; end the life where the board has to be
        written again, or somebody changes the number of state partitions: the next refuses.
        Raises StateLost."""
        over, names = self._life_over, self._names
        while not over.is_set():
            pause = asyncio.create_task(asyncio.sleep(TOPICS_CHECK_SECONDS))
            await _first(over, pause)
            if not pause.done():
                pause.cancel()
                return
            if await has_changed(admin, names.frames, names.series, state_partitions):
                over.set()
                return
            changes = await self._topic_watch.look(admin, consumer)
            if changes.deleted:
                await self._create_again(admin, changes.deleted)
            if names.board in changes.deleted | changes.made_anew:
                log.info("the rows of topic %s are written again", names.board)
                over.set()

    async def _watch_progress(self) -> None:
        """Say on /-/ready when a stage has work and gets nowhere."""
        while not self._life_over.is_set():
            self._news.check_progress(2 * self._settings.flush_interval)
            await _first(self._life_over, asyncio.create_task(asyncio.sleep(1.0)))

    async def _create_again(self, admin: AIOKafkaAdminClient, deleted: frozenset[str]) -> None:
        """Create topics that were deleted and hold no state, where the agent may."""
        told = ", ".join(sorted(deleted))
        if not self._settings.create_topics:
            self._news.waiting(BROKER, f"deleted while running: {told}; create them again")
            return
        self._news.waiting(BROKER, f"deleted while running: {told}; creating them again")
        await create_missing(admin, self._settings, self._names)
        self._news.waiting(BROKER, None)
        log.info("created again: %s", told)

    async def _keep(
        self, component: str, over: asyncio.Event, once: Callable[[], Awaitable[None]]
    ) -> None:
        """Do something until it ends by itself or all is over; after a failure, again."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            try:
                return await once()
            except Exception as error:
                if time.monotonic() - started > LONGEST_PAUSE_SECONDS:
                    pause_seconds = FIRST_PAUSE_SECONDS
                self._say_failure(component, error, pause_seconds)
            # Not in step with other workers that failed for the same reason.
            jitter = random.uniform(0.5, 1.5)  # noqa: S311  no secret
            await _first(over, asyncio.create_task(asyncio.sleep(pause_seconds * jitter)))
            if over.is_set():
                return
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _say_failure(self, component: str, error: Exception, pause_seconds: float) -> None:
        self.state.stats.errors[component] += 1
        reason = f"{error or type(error).__name__}; starting anew in about {pause_seconds:.0f} s"
        mine = not isinstance(error, (KafkaError, EnvironmentFault, OSError))
        log.error("%s: %s", component, reason, exc_info=error if mine else None)
        self.state.ready[component] = reason

    async def _reach_broker(self) -> AIOKafkaAdminClient | None:
        """An admin client once a broker answers; None when the end comes first."""
        waiting = asyncio.create_task(
            wait_for_broker(self._settings, lambda reason: self._news.waiting(BROKER, reason))
        )
        await _first(self._life_over, waiting)
        if not waiting.done():
            waiting.cancel()
            return None
        return waiting.result()

    async def _run_ingest(self, admin: AIOKafkaAdminClient, state_partitions: int) -> None:
        """Stage 1, until the life is over."""
        producer = new_producer(self._settings)
        beside = new_producer(self._settings, idempotent=False)
        try:
            await producer.start()
            await beside.start()
            publisher = Publisher(producer, self._names)
            side_outputs = SideOutputs(beside, self._names, self._news.cut)
            ingest = IngestStage(
                self._settings, self.state.plan, publisher, side_outputs, admin, state_partitions,
                self._news,
            )  # fmt: skip
            await self._until_over(INGEST, ingest.run(), ingest.stop)
        finally:
            await _in_time("the ingest's producer", producer.stop())
            await _in_time("the producer of dead letters", beside.stop())

    async def _run_merge(self, state_partitions: int) -> None:
        """Stage 2 and the writer of its series to the board topic, until the life is over."""
        producer = new_producer(self._settings)
        try:
            await producer.start()
            publisher = Publisher(producer, self._names, self.state.privacy)
            merge = MergeStage(
                self._settings, self.state.plan, publisher, state_partitions, self._news
            )
            writer = BoardWriter(
                publisher, self._view, self._company.held, self._company.is_ours, self.state.privacy
            )
            self._company.begin(merge, state_partitions, writer)
            writing = asyncio.create_task(writer.run(), name="board-writer")
            try:
                await self._until_over(MERGE, merge.run(), merge.stop, writing)
            finally:
                writing.cancel()
                self._company.end()
        finally:
            await _in_time("the merge's producer", producer.stop())

    async def _run_view(self) -> None:
        """The readers of the board topic and of the alerts topic, until the life is over."""
        reading = [
            asyncio.create_task(self._view.run(), name=BOARD),
            asyncio.create_task(self._alert_log.run(), name="alert-log"),
        ]
        try:
            await _first(self._life_over, *reading)
            for task in reading:
                if task.done():
                    task.result()
        finally:
            for task in reading:
                task.cancel()
            await asyncio.wait(reading, timeout=STOP_TIMEOUT_SECONDS)

    async def _until_over(
        self,
        name: str,
        running: Coroutine[Any, Any, None],
        stop: Callable[[], None],
        *beside: asyncio.Task[None],
    ) -> None:
        """Run a stage until it fails, what runs beside it fails, or the life is over; let it end
        in good order, in time."""
        stage = asyncio.create_task(running, name=name)
        try:
            await _first(self._life_over, stage, *beside)
        finally:
            stop()
            done, _ = await asyncio.wait([stage], timeout=STOP_TIMEOUT_SECONDS)
            if not done:
                log.warning("%s did not stop within %.0f s", name, STOP_TIMEOUT_SECONDS)
                stage.cancel()
                await asyncio.wait([stage], timeout=STOP_TIMEOUT_SECONDS)
        for task in (stage, *beside):
            if task.done() and not task.cancelled():
                task.result()


async def run(
    settings: Settings,
    load_plan: LoadPlan,
    name: str = "KPI agent",
    on_serving: Callable[[int], None] = lambda port: None,
) -> None:
    """Run an agent until SIGTERM or SIGINT; SIGHUP reloads its rules.

    Raises RulesError for rules that can't be loaded, EnvironmentFault for surroundings that can't
    serve.
    """
    service = Service(settings, load_plan, name)
    gc.freeze()  # modules and the plan stay for good
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[tuple[bool, str]]] = set()

    def reload() -> None:
        task = loop.create_task(service.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    with handling(service.stop, reload):
        await service.run(on_serving)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _first(event: asyncio.Event, *tasks: asyncio.Task[object] | asyncio.Task[None]) -> None:
    """Wait until the event is set or one of the tasks is done. The tasks go on."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _all_of(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all until each is done. Where one fails the others are cancelled, and its error comes
    out as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _in_time(what: str, closing: Coroutine[Any, Any, None]) -> None:
    """Close something, but don't wait for ever: its broker may be gone."""
    task = asyncio.create_task(closing)
    done, _ = await asyncio.wait([task], timeout=STOP_TIMEOUT_SECONDS)
    if not done:
        log.warning("%s did not close within %.0f s", what, STOP_TIMEOUT_SECONDS)
        task.cancel()
    elif (error := task.exception()) is not None:
        log.warning("%s did not close well: %s", what, error or type(error).__name__)
