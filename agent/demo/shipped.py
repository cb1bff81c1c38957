"""The rules and data of the demo: their paths, and a copy for editing.

A wheel holds them beside this module (`force-include` in pyproject.toml), a checkout at its root.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from agent.errors import EnvironmentFault

_IN_WHEEL, _IN_CHECKOUT = Path(__file__).parent / "shipped", Path(__file__).parents[2]
ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT

COMPANY_RULES = ROOT / "rules"
RETAIL = ROOT / "examples" / "retail"
RETAIL_RULES = RETAIL / "rules"
RETAIL_DATA = RETAIL / "retail-invoices.ndjson.gz"
ATTRIBUTION = RETAIL / "ATTRIBUTION.md"

_SCHEMA_PATH = re.compile(r"(?<=\$schema=)\S*/")
"""The folder before a schema's name in the line that editors read."""


def copy(retail: bool, folder: Path) -> None:
    """Copy the rules, with their tests and the JSON Schemas for editors, to `rules` in a folder;
    with `retail`, the data and their attribution, too.

    Raises EnvironmentFault if the folder is not empty or can't be written.
    """
    try:
        rules = folder / "rules"
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EnvironmentFault(
                f"{folder} is not empty", "Name a new folder: nothing is overwritten."
            )
        rules.mkdir()
        for file in sorted((RETAIL_RULES if retail else COMPANY_RULES).glob("*.yaml")):
            text = file.read_text(encoding="utf-8")
            (rules / file.name).write_text(_SCHEMA_PATH.sub("", text), encoding="utf-8")
        for name, schema in _schemas().items():
            text = json.dumps(schema, indent=2, ensure_ascii=False)
            (rules / name).write_text(f"{text}\n", encoding="utf-8")
        for file in (RETAIL_DATA, ATTRIBUTION) if retail else ():
            shutil.copyfile(file, folder / file.name)
    except OSError as error:
        raise EnvironmentFault(f"{folder}: can't be written: {error.strerror or error}") from error


def _schemas() -> dict[str, dict[str, object]]:
    from agent.language import schema
    from agent.ruletests import schema as tests_schema

    return {"schema.json": schema.json_schema(), "tests.schema.json": tests_schema.json_schema()}
