"""The lanes of `.ci/run`: no output is lost or mixed, and the first failure ends the run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = f"""
source {ROOT}/.ci/common.sh
source {ROOT}/.ci/parts.sh
until_exists() {{ while [ ! -e "$1" ]; do sleep 0.05; done; }}
"""


def start(folder: Path, script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", SCRIPT + script],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_lanes_run_side_by_side_and_print_each_part_whole(tmp_path: Path) -> None:
    # Each lane waits for the other: one after the other they would never end.
    ran = start(
        tmp_path,
        """
        left() { part "left one" bash -c 'echo L1; touch l; until_exists r; echo L2; touch l2'; }
        right() {
            part "right one" bash -c 'until_exists l; echo R1; touch r; until_exists l2; echo R2'
            part "right two" echo R3
        }
        export -f until_exists
        part "first" echo F
        lane left
        lane right
        join_lanes
        part_times
        """,
    )
    out, err = ran.communicate(timeout=120)
    assert (ran.returncode, err) == (0, "")
    assert "\nL1\nL2\n" in out
    assert "\nR1\nR2\n" in out
    names = [line[7:].strip() for line in out.splitlines() if line[5:9] == " s  "]
    assert names[0] == "first"
    assert sorted(names) == ["first", "left one", "right one", "right two"]
    assert list(tmp_path.glob("tmp.*")) == [], "nothing is left behind"


def test_the_first_failure_ends_the_run_with_its_output_and_stops_the_other_lane(
    tmp_path: Path,
) -> None:
    ran = start(
        tmp_path,
        """
        left() {
            part "broken" bash -c 'until_exists started; echo why it broke; exit 3'
            part "next" touch went_on
        }
        right() {
            part "endless" bash -c 'echo so far; trap "touch asked; exit 1" INT; touch started
                while true; do sleep 0.05; done'
        }
        export -f until_exists
        lane left
        lane right
        join_lanes
        touch went_on
        """,
    )
    out, err = ran.communicate(timeout=120)
    assert ran.returncode == 1
    assert "why it broke" in out
    assert "=== stopped: endless\nso far\n" in out
    assert err.startswith("\n.ci: broken failed after"), "and nothing of what was stopped"
    assert (tmp_path / "asked").exists(), "tests are asked to stop, so that they end their brokers"
    assert not (tmp_path / "went_on").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_stops_its_lanes(tmp_path: Path, number: signal.Signals) -> None:
    ran = start(
        tmp_path,
        """
        left() { part "endless" bash -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 600'; }
        lane left
        join_lanes
        """,
    )
    pid = tmp_path / "pid"
    while not pid.exists():
        assert ran.poll() is None
        time.sleep(0.05)
    ran.send_signal(number)
    out, _ = ran.communicate(timeout=120)
    assert ran.returncode == 130
    assert "=== stopped: endless" in out
    with pytest.raises(ProcessLookupError):
        while True:  # it is gone once its new parent has seen it end
            os.kill(int(pid.read_text()), 0)
            time.sleep(0.05)
