"""`kpi-agent run`: runs the agent on Kafka."""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace
from pathlib import Path

from agent.commands.common import OK, add_brokers, port

ABOUT = "run the agent on Kafka"
EXAMPLES = (
    "kpi-agent run --brokers localhost:9092",
    "kpi-agent run --settings agent.yaml --rules rules --port 9108",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--rules", metavar="DIR", help="default: rules, or KPI_AGENT_RULES")
    add_brokers(parser)
    parser.add_argument("--port", type=port, metavar="N", help="port of the board and /metrics")


def run(options: Namespace) -> int:
    """`kpi-agent run`."""
    # Without a handler, SIGHUP would end the process: block it until the handler is installed.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    import asyncio

    from agent import logs
    from agent.language.load import load
    from agent.service import supervisor as service
    from agent.settings import load_settings

    settings = load_settings(
        options.settings,
        rules=Path(options.rules) if options.rules else None,
        brokers=options.brokers,
        web_port=options.port,
    )
    logs.configure(settings)
    asyncio.run(service.run(settings, lambda: load(settings.rules)))
    return OK
