"""`kpi-agent demo`: runs the whole agent on an embedded broker, with an example company."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from agent.commands.common import OK, port, usage

ABOUT = "run the whole agent on an embedded broker with an example company"
EXAMPLES = (
    "kpi-agent demo",
    "kpi-agent demo --retail --port 0",
    "kpi-agent demo --copy mine",
    "kpi-agent demo --rules mine/rules",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--retail", action="store_true", help="replay a real retailer's year instead"
    )
    parser.add_argument("--port", type=port, default=9108, metavar="N", help="default: 9108")
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after this many seconds")
    parser.add_argument(
        "--copy",
        type=Path,
        metavar="DIR",
        help="only copy the rules into a new folder, for editing",
    )
    parser.add_argument(
        "--rules", type=Path, metavar="DIR", help="run with these rules, an edited copy"
    )


def run(options: Namespace) -> int:
    """`kpi-agent demo`."""
    if options.copy is not None:
        if options.rules is not None:
            return usage("demo", "--copy writes the demo's own rules: leave --rules out")
        return _copy(options.retail, options.copy)
    import asyncio

    from agent.demo.runner import demo

    asyncio.run(demo(options.retail, options.port, options.seconds, options.rules))
    return OK


def _copy(retail: bool, folder: Path) -> int:
    from agent.demo.shipped import RETAIL_DATA, copy

    copy(retail, folder)
    option = " --retail" if retail else ""
    lines = (
        f"{folder / 'rules'} has the rules and their tests. Change them, then:",
        f"  cd {folder}",
        "  kpi-agent check",
        "  kpi-agent test",
        *([f"  kpi-agent replay {RETAIL_DATA.name}"] if retail else ()),
        f"  kpi-agent demo{option} --rules rules",
    )
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return OK
