"""The Numenta Anomaly Benchmark through `kpi-agent replay`: one rule, in its default settings.

usage: python -m benchmarks.nab_replay SERIES_DIR SCORES_DIR

Every series becomes a file of events, its rows in order; the KPI is their mean in windows of five
minutes, the rule `when: anomaly() > 4` and nothing else. Writes SCORES_DIR/folder/file.csv with the
columns timestamp and score: 1 at a row in whose window the alert began to fire, else 0.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.results import arguments

RULES = """
version: 1
events:
  measured: {topic: measured, type_field: none, time: timestamp, fields: {value: float}}
kpis:
  level: {from: measured, value: avg(value), window: 5m}
rules:
  unusual: {kpi: level, when: anomaly() > 4}
"""


def firings(path: Path, folder: Path) -> list[tuple[datetime, datetime]]:
    """The windows at whose end the alert began to fire."""
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    events = folder / "measured.ndjson"
    with path.open(newline="") as source, events.open("w", encoding="utf-8") as out:
        for row in csv.DictReader(source):
            event = {"timestamp": row["timestamp"], "value": float(row["value"])}
            out.write(json.dumps(event) + "\n")
    command = [sys.executable, "-m", "agent", "replay", "--rules", str(folder), "--format", "json"]
    published = subprocess.run([*command, str(events)], check=True, capture_output=True, text=True)
    lines = map(json.loads, published.stdout.splitlines())
    return [
        (_local(line["start"]), _local(line["end"]))
        for line in lines
        if line["kind"] == "rule" and line["state"] == "firing"
    ]


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z"))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("series", type=Path)
    parser.add_argument("scores", type=Path)
    args = parser.parse_args()
    for path in sorted(args.series.glob("*/*.csv")):
        with tempfile.TemporaryDirectory() as folder:
            fired = firings(path, Path(folder))
        target = args.scores / path.relative_to(args.series)
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open(newline="") as source, target.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["timestamp", "score"])
            for row in csv.DictReader(source):
                at = datetime.fromisoformat(row["timestamp"])
                out.writerow([row["timestamp"], int(any(a <= at < b for a, b in fired))])
        print(f"{path.name}: {len(fired)} alerts", flush=True)


if __name__ == "__main__":
    main()
