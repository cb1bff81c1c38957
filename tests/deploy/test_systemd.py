"""The unit is one that systemd takes, is hardened, and names settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.settings import PREFIX, Settings
from tests.conftest import ROOT

UNIT = ROOT / "deploy/systemd/kpi-agent.service"
EXPOSURE = 15
"""Of 100. What is left: the network, and memory that libraries write and run."""

systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


def analyze(*arguments: str | Path) -> str:
    result = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@systemd
def test_systemd_knows_every_line(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/kpi-agent/bin/kpi-agent", "/bin/true"))
    assert analyze("verify", unit) == ""


@systemd
def test_it_may_do_little() -> None:
    analyze("security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE}", UNIT)


def test_its_settings_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    names = set(re.findall(rf"\b{PREFIX}\w+", UNIT.read_text()))
    assert f"{PREFIX}PERSON_SECRET_FILE" in names
    assert names <= known


def test_no_secret_is_in_the_environment() -> None:
    secrets = {"PERSON_SECRET", "SASL_PASSWORD"}
    assert not [s for s in secrets if re.search(rf"\b{PREFIX}{s}=", UNIT.read_text())]


def test_the_credential_is_where_the_setting_looks() -> None:
    text = UNIT.read_text()
    (name,) = re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE)
    assert f"{PREFIX}PERSON_SECRET_FILE=%d/{name}" in text
