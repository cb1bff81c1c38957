"""`kpi-agent demo`: runs the whole agent on an embedded broker, with an example company."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from agent.commands.common import port

ABOUT = "run the whole agent on an embedded broker with an example company"


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--retail", action="store_true", help="replay a real retailer's year instead"
    )
    parser.add_argument("--port", type=port, default=9108, metavar="N", help="default: 9108")
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after that long")


def run(options: Namespace) -> int:
    """`kpi-agent demo`."""
    from agent.demo.runner import run_demo

    return run_demo(retail=options.retail, port=options.port, seconds=options.seconds)
