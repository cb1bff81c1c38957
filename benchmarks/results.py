"""The command line of benchmarks, and where their measurements are kept: one JSON file each in
`benchmarks/results/`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from argparse import ArgumentParser, RawTextHelpFormatter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

Run = TypeVar("Run")
FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = ("polars", "aiokafka", "faust-streaming", "msgspec", "duckdb", "confluent-kafka")


def arguments(about: str | None) -> ArgumentParser:
    """The command line of a benchmark, described by its module's docstring."""
    return ArgumentParser(description=about, formatter_class=RawTextHelpFormatter)


def machine() -> dict[str, Any]:
    """This machine and the versions that matter."""
    model = "unknown"
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory_bytes / 2**30, 1),
        "system": platform.system() + " " + platform.release().split("-")[0],
        "python": platform.python_version(),
        "java": (java.stderr or java.stdout).splitlines()[0] if java.returncode == 0 else None,
        "load_before": round(os.getloadavg()[0], 2),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def save(name: str, measured: dict[str, Any]) -> Path:
    """Keep what a benchmark found, with the machine and the day."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    published = {"at": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine(), **measured}
    path.write_text(json.dumps(published, indent=2) + "\n")
    return path


def median(runs: Sequence[Run], by: Callable[[Run], float]) -> Run:
    """The run in the middle by a figure; of an even number, the lower of the two."""
    return sorted(runs, key=by)[(len(runs) - 1) // 2]


def load(name: str) -> dict[str, Any] | None:
    """What `save` kept; None if the benchmark was never run."""
    path = FOLDER / f"{name}.json"
    saved: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return saved
