"""Run the anomaly detector over the Numenta Anomaly Benchmark's series.

usage: python -m benchmarks.nab SERIES_DIR SCORES_DIR [--over 4] [--clear 3] [--raw]
       [--set tails.PRIOR=24]

Writes SCORES_DIR/folder/file.csv with the columns timestamp and score: 1 at each row where a rule
`when: anomaly() > 4`, `clear: anomaly() < 3`, `keep_firing_for: 3h` begins to fire, else 0; with
--raw the detector's score itself, over 40 and clipped to 0..1. --set tries another constant.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from agent.core.history.anomaly.detector import Detection, DetectorState, step
from benchmarks.results import arguments

THRESHOLD = 4.0
CLEAR = 3.0
KEEP_FIRING_MS = 3 * 3_600_000
RAW_TOP = 40.0


def rows(path: Path) -> Iterator[tuple[str, int, float]]:
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
            yield row["timestamp"], int(at.timestamp() * 1000), float(row["value"])


def detections(path: Path) -> Iterator[tuple[str, int, float, Detection]]:
    state = DetectorState()
    for stamp, at_ms, value in rows(path):
        state, detection = step(state, at_ms, value)
        yield stamp, at_ms, value, detection


class Alert:
    """The life of one alert of such a rule."""

    def __init__(self, over: float = THRESHOLD, clear: float = CLEAR) -> None:
        self.over = over
        self.clear = clear
        self.high_ms: int | None = None

    def begins(self, at_ms: int, score: float | None) -> bool:
        score = score or 0.0
        if self.high_ms is None:
            if score > self.over:
                self.high_ms = at_ms
                return True
            return False
        if score >= self.clear:
            self.high_ms = at_ms
        elif at_ms - self.high_ms >= KEEP_FIRING_MS:
            self.high_ms = None
        return False


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("series", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--over", type=float, default=THRESHOLD)
    parser.add_argument("--clear", type=float, default=CLEAR)
    parser.add_argument("--set", action="append", default=[], metavar="MODULE.NAME=VALUE")
    parser.add_argument("--raw", action="store_true")
    args = parser.parse_args()
    for text in args.set:
        name, _, number = text.partition("=")
        module, _, constant = name.partition(".")
        setattr(import_module(f"agent.core.history.anomaly.{module}"), constant, float(number))
    for path in sorted(args.series.glob("*/*.csv")):
        target = args.scores / path.relative_to(args.series)
        target.parent.mkdir(parents=True, exist_ok=True)
        alert = Alert(args.over, args.clear)
        with target.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["timestamp", "score"])
            for stamp, at_ms, _, detection in detections(path):
                score = detection.score or 0.0
                if args.raw:
                    out.writerow([stamp, f"{min(score / RAW_TOP, 1.0):.6f}"])
                else:
                    out.writerow([stamp, int(alert.begins(at_ms, detection.score))])


if __name__ == "__main__":
    main()
