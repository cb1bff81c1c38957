"""The language of the rule tests as JSON Schema, for completion and hover in editors."""

from __future__ import annotations

from typing import Any

from agent.language.schema import schema_of
from agent.ruletests.models import TestFileSpec

ID = "https://kpi-agent.example/tests.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of one file of rule tests; names are for `kpi-agent test` to know."""
    schema = schema_of(TestFileSpec, ID, "Rule tests of kpi-agent")
    ways = ({"required": [key]} for key in ("events", "series", "file"))
    schema["$defs"]["TestSpec"]["oneOf"] = list(ways)
    return schema
