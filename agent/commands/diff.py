"""`kpi-agent diff`: the effects of a rule change, before it is applied."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.core.changes.inventory import InUse

ABOUT = "show what a rule change does to metrics, alerts, targets and state"
EXAMPLES = (
    "kpi-agent diff",
    "kpi-agent diff old-rules rules",
    "kpi-agent diff --agent http://localhost:9108 --exit-code",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "rules", nargs="*", metavar="[OLD] NEW", help="folders of rules; default: rules"
    )
    parser.add_argument(
        "--against",
        metavar="REV",
        help="compare with the folder as committed in this git revision, or with another "
        "folder; default, where no OLD is named: HEAD",
    )
    parser.add_argument(
        "--agent", metavar="URL", help="compare with the rules that a running agent uses"
    )
    parser.add_argument("--format", choices=("human", "json", "github"), default="human")
    parser.add_argument(
        "--exit-code", action="store_true", help="exit with 1 if anything changes, else 0"
    )


def run(options: Namespace) -> int:
    """`kpi-agent diff`."""
    from agent.commands.common import load_baseline, usage
    from agent.core.changes.diff import compare
    from agent.core.changes.outline import outline, public_outline
    from agent.diff.report import render
    from agent.language.load import load

    baselines = (len(options.rules) == 2) + bool(options.against) + bool(options.agent)
    if len(options.rules) > 2 or baselines > 1:
        return usage("diff", "name one folder and --against REV or --agent URL, or two folders")
    path = Path(options.rules[-1] if options.rules else "rules")
    new = load(path)
    held = None
    if options.agent:
        baseline, used = options.agent, _in_use(options.agent)
        held = used.held
        difference = compare(used.rules, public_outline(new))
        if held is None:
            sys.stderr.write(f"{baseline} is not ready: it does not know yet what it holds\n")
    else:
        baseline = options.rules[0] if len(options.rules) == 2 else options.against or "HEAD"
        difference = compare(outline(load_baseline(baseline, path)), outline(new))
    sys.stdout.write(render(difference, options.format, path, baseline, held))
    return 1 if options.exit_code and difference else 0


def _in_use(agent: str) -> InUse:
    """The rules that a running agent uses, and how many series and alerts it has."""
    import msgspec

    from agent.commands.agent_http import fetch, not_an_agent
    from agent.core.changes.inventory import from_bytes

    try:
        return from_bytes(fetch(agent, "/api/v1/rules"))
    except msgspec.DecodeError as error:
        raise not_an_agent(agent, error) from error
