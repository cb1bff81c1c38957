from __future__ import annotations

import json
import re
from pathlib import Path

from agent.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"\\\n", " ", (ROOT / "deploy/Dockerfile").read_text())
LINES = [line.strip() for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    return [re.sub(r"\s+", " ", i)[len(name) + 1 :] for i in LINES if i.startswith(f"{name} ")]


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    last_stage = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]
    assert [line for line in last_stage if line.startswith("USER ")] == ["USER 10001:10001"]


def test_base_images_are_pinned() -> None:
    defaults = dict(argument.split("=") for argument in instructions("ARG"))
    images = [defaults[i.split()[0].strip("${}")] for i in instructions("FROM")]
    assert len(images) == 3
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images), images


def test_the_dependencies_are_those_of_the_lock() -> None:
    syncs = [run for run in instructions("RUN") if "uv sync" in run]
    assert len(syncs) == 2
    assert all("--frozen" in run and "--no-dev" in run for run in syncs)


def test_everything_it_copies_exists_and_is_in_the_build_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = [c.split()[:-1] for c in instructions("COPY") if not c.startswith("--from")]
    for source in [name for names in copied for name in names]:
        assert (ROOT / source).exists(), source
        assert source in kept


def test_what_the_package_needs_to_be_built_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    copied = " ".join(instructions("COPY")).split()
    for name in re.findall(r'(?:readme = |license-files = \[)"([^"]+)"', project):
        assert name in copied


def test_it_is_healthy_when_the_agent_says_so() -> None:
    (check,) = (line for line in LINES if line.startswith("HEALTHCHECK "))
    command = json.loads(check.partition(" CMD ")[2])
    assert command[0] == "python"
    compile(command[2], "healthcheck", "exec")
    assert "/-/healthy" in command[2]
    assert str(Settings.model_fields["web_port"].default) in command[2]


def test_its_settings_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    asked = set(re.findall(rf"\b{PREFIX}\w+", TEXT))
    assert asked <= known


def test_the_only_place_that_is_written_to_is_a_volume() -> None:
    assert instructions("VOLUME") == ["/var/lib/kpi-agent"]
    assert "KPI_AGENT_DATA_DIR=/var/lib/kpi-agent" in TEXT
