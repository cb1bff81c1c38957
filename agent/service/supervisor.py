"""`kpi-agent run`: both stages, the board and the exports in one process, on one event loop.

web server, alert delivery    from the first moment to the last
└─ the stages                 until a reload of the rules, or the end (`stage_runner`)
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata

from agent import clock
from agent.core.changes.diff import compare, summary
from agent.core.changes.outline import outline
from agent.core.model.plan import Plan
from agent.core.output.labels import check_external_labels
from agent.core.output.privacy import Privacy
from agent.errors import EnvironmentFault, KpiAgentError, RulesError
from agent.export.agent_state import AgentState, ContractDocuments, Links
from agent.export.alertmanager import Delivery
from agent.export.metrics.agent_metrics import AgentMetrics
from agent.export.web.access import Access, is_loopback
from agent.export.web.server import serving
from agent.export.web.web_config import WebConfig, load_web_config
from agent.generate.contracts import asyncapi, event_schema
from agent.kafka.alert_log import AlertLog
from agent.kafka.board_topic import BoardReader
from agent.kafka.explain_requests import ExplainRequests
from agent.kafka.rule_sets import this_worker
from agent.kafka.topics import TopicNames
from agent.kafka.value_log import past_windows
from agent.service.fleet_view import FleetView
from agent.service.malloc_trim import trim_regularly
from agent.service.signals import handling
from agent.service.stage_runner import StageRunner
from agent.service.status import StatusReporter
from agent.service.tasks import STOP_TIMEOUT_SECONDS, alongside
from agent.settings import Settings, misspelt_variables

log = logging.getLogger(__name__)

GC_THRESHOLDS = (200_000, 10, 10)
"""The cyclic garbage collector runs after so many new objects, more than two batches of records
make. With Python's default of 700 it took half of the event loop's time (decision 0014)."""

SWITCH_SECONDS = 0.002
"""How long a thread may keep the GIL while another waits for it. Folding needs it some hundred
times a batch, for an instant each: with Python's default of 5 ms it mostly waited for the loop.
Shorter ones cost more in changes of the thread (decision 0015)."""

LoadPlan = Callable[[], Plan]


class Service:
    """One running agent (`Rules` of its exports). `load_plan` reads the rules, and raises
    RulesError for wrong ones."""

    def __init__(self, settings: Settings, load_plan: LoadPlan, name: str = "KPI agent") -> None:
        self._settings = settings
        self._load_plan = load_plan
        self._end = asyncio.Event()
        self._stopping = asyncio.Event()  # set: the stages stop
        self._privacy = Privacy(
            *settings.secrets_of("person"), link_secrets=settings.secrets_of("link")
        )
        self.plan = self._load()
        names = TopicNames.of(settings)
        board = BoardReader(settings, names.board, self.plan, ExplainRequests(this_worker()))
        alert_log = AlertLog(settings, names.alerts)
        self._fleet = fleet = FleetView(
            self.plan, board, alert_log, partial(past_windows, settings, names.values)
        )
        self._metrics = metrics = AgentMetrics()
        for started in (metrics.start, metrics.last_reload, metrics.last_merge):
            started.set_to_current_time()
        for topic in (names.dead_letters, names.late):
            metrics.records_truncated.labels(topic)
        status = StatusReporter(metrics)
        self.state = AgentState(
            rules=self,
            fleet=fleet,
            metrics=metrics,
            ready=status.ready,
            privacy=self._privacy,
            external_labels=settings.labels,
            version=metadata.version("kpi-agent"),
            group=settings.group,
            name=name,
            links=Links(settings.external_url, settings.grafana_url, settings.runbooks_url),
            timezone=settings.timezone,
            documents=ContractDocuments(event_schema, asyncapi),
        )
        self._stages = StageRunner(settings, self.state, status, fleet, board, alert_log)
        self._delivery = Delivery(
            self.state, settings.alertmanager_urls, clock.now_ms, settings.alert_resend
        ) if settings.alertmanager_urls else None  # fmt: skip

    def _load(self) -> Plan:
        """Read the rules. Raises RulesError if they are wrong, and EnvironmentFault if they have
        KPIs of single people and there is no secret to hash these with."""
        plan = self._load_plan()
        self._privacy.check(plan)
        check_external_labels(plan, self._settings.labels)
        return plan

    def stop(self) -> None:
        """End in good order: flush, commit, leave the groups."""
        if not self._end.is_set():
            log.info("stopping: flushing, committing, leaving the groups")
        self._end.set()
        self._stopping.set()

    async def reload(self) -> tuple[bool, str]:
        """Load the rules again: all of them are valid and come into use, or nothing changes.

        Returns once no stage runs by the old rules any more: events that are written from then on
        are evaluated by the new ones.
        """
        try:
            plan = await asyncio.to_thread(self._load)
        except (RulesError, EnvironmentFault) as error:
            self._metrics.reloads.labels("failed").inc()
            log.warning("rules not reloaded, keeping the old ones: %s", error)
            return False, f"the rules are invalid, keeping the old ones:\n{error}"
        self._metrics.reloads.labels("ok").inc()
        self._metrics.last_reload.set_to_current_time()
        before = self.plan
        if plan.config_hash == before.config_hash:
            return True, "the rules are the same as before"
        changes = await asyncio.to_thread(lambda: compare(outline(before), outline(plan)))
        self.plan = plan
        self._fleet.replan(plan)
        self._stopping.set()
        with contextlib.suppress(TimeoutError):  # the log says which stage does not stop
            await asyncio.wait_for(self._stages.at_rest.wait(), 2 * STOP_TIMEOUT_SECONDS)
        counts = f"{len(plan.kpis)} KPIs and {len(plan.rules)} rules are in use now"
        message = f"{summary(changes)}; {counts}"
        log.info("reloaded: %s", message)
        return True, message

    async def run(self, on_serving: Callable[[int], None] = lambda port: None) -> None:
        """Run until `stop`; `on_serving` is called with the port of the web server.

        Raises EnvironmentFault for a fault of the environment that waiting does not mend.
        """
        host, port = self._settings.web_host, self._settings.web_port
        access = Access(self._settings.web_host_names, self._settings.web_reload)
        file = self._settings.web_config_file
        config = WebConfig() if file is None else load_web_config(file)
        for hint in misspelt_variables(os.environ):
            log.warning("%s", hint)
        try:
            async with serving(self.state, host, port, access=access, config=config) as served:
                _log_address(host, served, config)
                on_serving(served)
                delivering = [] if self._delivery is None else [self._delivery.run()]
                async with alongside(trim_regularly(), *delivering):
                    await self._lives()
        except OSError as error:
            if isinstance(error, KpiAgentError):
                raise
            raise EnvironmentFault(str(error)) from error

    async def _lives(self) -> None:
        """Run the stages; each reload stops them and runs them again."""
        while not self._end.is_set():
            self._stopping.clear()
            await self._stages.run(self._stopping)


async def run(
    settings: Settings,
    load_plan: LoadPlan,
    name: str = "KPI agent",
    on_serving: Callable[[int], None] = lambda port: None,
) -> None:
    """Run an agent until SIGTERM or SIGINT; SIGHUP reloads its rules.

    Raises RulesError for rules that can't be loaded, EnvironmentFault for a fault of the
    environment that waiting does not mend.
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


def _log_address(host: str, port: int, config: WebConfig) -> None:
    """Log the address, and that anyone may see the board if the web config does not restrict it."""
    scheme = "http" if config.tls_server_config is None else "https"
    name = "localhost" if host == "0.0.0.0" else host  # noqa: S104
    log.info("serving %s://%s:%d", scheme, name, port)
    if not config.is_closed and not is_loopback(host):
        log.info(
            "anyone who can reach port %d sees the board and the metrics; "
            "set web_config_file to restrict access", port
        )  # fmt: skip
