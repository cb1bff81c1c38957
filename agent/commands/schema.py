"""`kpi-agent schema`: prints the JSON Schema of the rules, for editors."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from agent.commands.common import OK
from agent.errors import KpiAgentError

ABOUT = "print the JSON Schema of the rules, for editors"
EXAMPLES = (
    "kpi-agent schema > schema.json",
    "kpi-agent schema --rules rules > schema.json",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--tests", action="store_true", help="print the schema of rule tests instead"
    )
    parser.add_argument(
        "--rules", type=Path, metavar="DIR", help="include the names in these rules"
    )


def run(options: Namespace) -> int:
    """`kpi-agent schema`."""
    if options.tests:
        from agent.ruletests.schema import json_schema
    else:
        from agent.language.schema import json_schema
    schema = json_schema()
    if options.rules is not None:
        from agent.language.declared import declare
        from agent.language.schema import with_names

        if not options.rules.exists():
            raise KpiAgentError(f"{options.rules}: no such file or folder")
        schema = with_names(schema, declare(options.rules))
    json.dump(schema, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return OK
