"""What Prometheus answers to a query over given samples, by its own promtool."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml


def check_answers(
    samples: Sequence[Mapping[str, str]],
    query: str,
    wanted: Mapping[str, float],
    folder: Path,
    eval_time: str = "2m",
) -> None:
    """Prometheus answers a query with these values, by their labels. The samples are `series` and
    `values` as promtool reads them, one a minute."""
    case = {
        "interval": "1m",
        "input_series": list(samples),
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": eval_time,
                "exp_samples": [{"labels": k, "value": v} for k, v in wanted.items()],
            }
        ],
    }
    (folder / "case.yml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [case]}))
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt-get install prometheus"
    done = subprocess.run(
        [tool, "test", "rules", "case.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
