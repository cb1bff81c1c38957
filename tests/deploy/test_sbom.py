"""`make sbom` lists what the agent is made of, and nothing else."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

LOCKED = {
    package["name"]: package["version"]
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
}


@pytest.fixture(scope="module")
def components() -> dict[str, str]:
    subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, check=True)
    document = json.loads(Path(ROOT / "dist/kpi_agent.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "kpi-agent"
    return {part["name"]: part["version"] for part in document["components"]}


def test_it_has_the_versions_of_the_lock(components: dict[str, str]) -> None:
    assert components
    assert components.items() <= LOCKED.items()


def test_it_has_what_is_installed_with_every_extra(components: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"aiokafka", "polars", "fastavro", "gssapi"} <= set(components)
    assert len(components) >= len(project["dependencies"])


def test_it_has_no_tool_of_the_developers(components: dict[str, str]) -> None:
    assert not {"pytest", "ruff", "mypy", "selenium"} & set(components)
