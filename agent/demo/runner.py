"""`kpi-agent demo`: an embedded broker, events into it, and the whole agent on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import clock, logs
from agent.core.output.privacy import Privacy, public_plan
from agent.demo import story
from agent.demo.generator import BACKFILL_SECONDS, Company
from agent.demo.retail import Timelapse
from agent.demo.screen import Screen, waiting_line
from agent.demo.sender import Sender
from agent.demo.shipped import COMPANY_RULES, RETAIL_DATA, RETAIL_RULES
from agent.errors import EnvironmentFault
from agent.export.metrics.agent_metrics import samples
from agent.kafka.embedded import EmbeddedBroker
from agent.language.load import load
from agent.service.signals import handling
from agent.service.supervisor import Service
from agent.settings import Settings, load_settings

LOOPBACK = "127.0.0.1"
UPDATE_SECONDS = 0.5
PORTS_TRIED = 20


@dataclass(frozen=True, slots=True)
class Show:
    """One of the demos: `send` sends its events; `line` is the text of the live line, so many
    seconds after the start; `over` is printed when all events are sent."""

    title: str
    rules: Path
    about: tuple[str, ...]
    send: Callable[[Sender], Coroutine[Any, Any, None]]
    line: Callable[[float], str]
    over: str | None = None


async def demo(
    retail: bool = False,
    port: int = 9108,
    seconds: float | None = None,
    rules: Path | None = None,
    screen: Screen | None = None,
    on_service: Callable[[Service], None] = lambda service: None,
) -> None:
    """Run the demo until Ctrl-C, or for so many seconds. `rules`: an edited copy of its own rules.
    `on_service` is called with the service before it starts.

    Raises RulesError where the rules are wrong, EnvironmentFault where no port is free.
    """
    screen = screen or Screen()
    show, free = _retail() if retail else _company(), free_port(port)
    if rules is not None:
        reload = f"To use changed rules: curl -X POST http://localhost:{free}/-/reload"
        show = replace(show, rules=rules, about=(*show.about, "", reload))
    if free != port:
        screen.print(f"port {port} is taken by another program: using {free}", "yellow")
    with EmbeddedBroker() as broker:
        settings = _settings(broker.address, free, show.rules, may_reload=rules is not None)
        pages = _private_pages(show, settings)
        logs.configure(settings)
        # Warnings of a busy event loop do not matter in a demo.
        logging.getLogger("mode.timers").setLevel(logging.ERROR)
        service = Service(settings, lambda: load(show.rules), show.title)
        on_service(service)
        sender = Sender(broker.address)
        with handling(service.stop, reload=service.stop):
            try:
                await _play(show, pages, service, sender, screen, seconds)
            finally:
                screen.close()
                await sender.close()


async def _play(
    show: Show,
    pages: Sequence[tuple[str, str]],
    service: Service,
    sender: Sender,
    screen: Screen,
    seconds: float | None,
) -> None:
    """Run the agent with the show's events until it is stopped or the time is over."""
    sending = asyncio.create_task(show.send(sender))
    updating = asyncio.create_task(_update_screen(show, service, sender, sending, screen))
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, service.stop)
    try:
        await service.run(lambda port: screen.open(show.title, port, show.about, pages))
    finally:
        for task in (sending, updating):
            task.cancel()
        ended = await asyncio.gather(sending, updating, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result


async def _update_screen(
    show: Show,
    service: Service,
    sender: Sender,
    sending: asyncio.Task[None],
    screen: Screen,
) -> None:
    """Keep the live line and the alerts' lines up to date; stop the agent if sending failed."""
    started, stage, over = time.monotonic(), None, False
    while True:
        await asyncio.sleep(UPDATE_SECONDS)
        elapsed = time.monotonic() - started
        if sending.done() and not sending.cancelled() and sending.exception() is not None:
            service.stop()
            return
        if sending.done() and show.over and not over:
            over = True
            screen.print(show.over, "bold")
        state = service.state
        if not over and show.line is _company_line and story.stage_at(elapsed) is not stage:
            stage = story.stage_at(elapsed)
            screen.print(f"staged: {stage.description}" if stage else "staged: back to normal")
        shown = public_plan(state.plan)
        alerts = [alert for alert in state.fleet.alerts() if alert.rule in shown.rules]
        screen.alerts(alerts, shown)
        read = int(sum(sample.value for sample in samples(state.metrics.records)))
        waiting = waiting_line(state.ready)
        doing = f"waiting for {waiting}" if waiting else show.line(elapsed)
        screen.now(f"{doing} · {sender.sent:,} events sent, {read:,} read")


def _company() -> Show:
    async def send(sender: Sender) -> None:
        await sender.send_company(Company(clock.now_ms()))

    return Show(
        title="Example company",
        rules=COMPANY_RULES,
        about=(
            f"A shop with a support desk: its last {BACKFILL_SECONDS // 60} minutes, then its",
            f"life. A day takes {story.DAY_SECONDS / 60:.0f} minutes, and brings this trouble:",
            *(f"  {s.begins_seconds:>3.0f} s  {s.description}" for s in story.STAGES),
        ),
        send=send,
        line=_company_line,
    )


def _company_line(elapsed_seconds: float) -> str:
    day = int(elapsed_seconds // story.DAY_SECONDS) + 1
    stage = story.stage_at(elapsed_seconds)
    doing = stage.description if stage else "calm"
    return f"day {day}, {story.day_time(elapsed_seconds):.0f} s: {doing}"


def _retail() -> Show:
    year = Timelapse(RETAIL_DATA)
    minutes = year.seconds / 60
    return Show(
        title="A real retailer's year",
        rules=RETAIL_RULES,
        about=(
            f"{len(year.events):,} events of a UK online retailer, December 2010 to 2011.",
            f"Time-lapse: {year.days_per_second:g} day a second, {minutes:.1f} minutes in all.",
            "Data: Online Retail, Daqing Chen, UCI Machine Learning Repository, CC BY 4.0",
            "(examples/retail/ATTRIBUTION.md).",
        ),
        send=lambda sender: sender.send_year(year),
        line=lambda elapsed: f"{year.date_at(min(elapsed, year.seconds)):%a %d %b %Y}",
        over="The year is over. The board stays until Ctrl-C.",
    )


def _settings(address: str, port: int, rules: Path, may_reload: bool) -> Settings:
    # Arguments override the settings of a real broker that the environment may have.
    return load_settings(
        brokers=address,
        security_protocol="PLAINTEXT",
        create_topics=False,  # the embedded broker makes topics on first use, and can't otherwise
        start_from="earliest",
        rules=rules,
        # A new one each time; a real agent keeps its secret, so that people keep their hashes.
        person_secret=secrets.token_hex(),
        web_host=LOOPBACK,  # it takes reloads, and prints the addresses of private pages
        web_port=port,
        web_reload=may_reload,
        log_level="warning",
        log_format="text",
    )


def _private_pages(show: Show, settings: Settings) -> list[tuple[str, str]]:
    """The path of each owner's page of private KPIs, and its description."""
    privacy = Privacy(*settings.secrets_of("person"))
    kpis = load(show.rules).kpis.values()
    owners = sorted({kpi.owner for kpi in kpis if kpi.person is not None and kpi.owner})
    return [
        (f"/private/{privacy.owner_tokens(owner)[0]}", f"people's own figures, for {owner} only")
        for owner in owners
    ]


def free_port(wanted: int) -> int:
    """The wanted port, or the next free one after it; 0 (any) stays 0.

    Raises EnvironmentFault if none of PORTS_TRIED ports is free.
    """
    if wanted == 0:
        return 0
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))  # as the web server will
                return port
    raise EnvironmentFault(
        f"ports {wanted} to {wanted + PORTS_TRIED - 1} are all taken",
        "Name a free one: kpi-agent demo --port N.",
    )
