"""A command imports only what it needs: how quickly it starts, measured without a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

KAFKA = {"aiokafka", "confluent_kafka", "faust", "rocksdict", "agent.kafka"}
EXPORT = {"aiohttp", "grafana_foundation_sdk", "prometheus_client", "agent.export"}
REPLAY = {"rich", "agent.replay", "agent.core.fold", "agent.core.merge"}
FEATURES = {"bcrypt", "confluent_kafka", "holidays", "agent.export.remote_write.sender"}
FORMATS = {"fastavro", "google.protobuf", "grpc_tools"}
STANDARD = {"asyncio", "multiprocessing", "sqlite3", "ssl", "urllib.request"}
LANGUAGE = {"jinja2", "msgspec", "numpy", "polars", "pydantic", "sqlglot", "yaml", "agent.language"}
SETTINGS = {"pydantic_settings", "agent.settings"}

PLAIN = """
version: 1
events:
  sold: {topic: tills, time: at, fields: {price: float}}
kpis:
  takings: {from: sold, value: sum(price), window: 1h}
rules:
  slow: {kpi: takings, when: value < 5}
"""


def imported(*command: str) -> set[str]:
    """The modules that a process has after a command that succeeded."""
    script = (
        "import sys\n"
        "from agent.cli import main\n"
        "try:\n"
        "    code = main(sys.argv[1:])\n"
        "except SystemExit as ended:\n"
        "    code = ended.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stderr.splitlines())


@pytest.mark.parametrize("command", [("--version",), ("--help",), ("run", "--help")])
def test_help_imports_no_library(command: tuple[str, ...]) -> None:
    heavy = (
        KAFKA
        | EXPORT
        | FORMATS
        | REPLAY
        | STANDARD
        | LANGUAGE
        | SETTINGS
        | {"holidays", "datasketches"}
    )
    assert imported(*command) & heavy == set()


def test_run_imports_nothing_of_features_that_are_not_set_up() -> None:
    script = (
        "from agent.service import supervisor\n"
        "from agent.language.load import load\n"
        "import sys\n"
        "load(sys.argv[1])\n"
        "print('\\n'.join(sys.modules))"
    )
    modules = subprocess.run(
        [sys.executable, "-c", script, "benchmarks/rules/w"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert set(modules) & (FORMATS | FEATURES) == set()


def test_check_imports_what_reads_rules_and_nothing_that_runs_them() -> None:
    modules = imported("check", "rules")
    assert modules & (KAFKA | EXPORT | FORMATS | REPLAY | STANDARD | SETTINGS) == set()
    assert modules >= {"polars", "pydantic", "sqlglot"}, "the modules are those of the command"


def test_check_imports_holidays_only_for_rules_that_name_some(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(PLAIN)
    assert "holidays" not in imported("check", str(tmp_path))
    assert "holidays" in imported("check", "rules")
