"""How soon rules of each kind find what is wrong in generated series, and how often they err.

    python scripts/measure_rules.py

prints the table of docs/rules/measured.md. Twenty weeks of daily windows around 100, normal noise
of 10, without a season or with weekends 30 lower; after twelve weeks some have a spike, a new level
or a trend. The same seeds give the same table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.core.given import GivenValues, given_windows
from agent.core.results import AlertPhase, WindowValue
from agent.spec.load import load

DAYS, ONSET = 140, 84
SEEDS = 5
MONDAY_MS = 1_735_516_800_000
DAY_MS = 86_400_000
SHAPES = {"spike": 60.0, "level": 40.0, "trend": 1.0}
"""How much higher: one day, for good, and each day more."""
CALM = 5
"""Calm series for each of another shape: in a group most are as they should be."""
RULES = {
    "threshold": ("x", "when: value > 135"),
    "change": ("x", "when: \"change('1 week') > 35%\""),
    "trend": ("x", "when: \"trend('4 weeks') > 5% per week\""),
    "rising": ("x", "when: rising(4)"),
    "pace": ("x", "pace: {period: month, target: 3500}, when: projected() > 3500"),
    "anomaly, season named": ("seasonal", "when: \"anomaly(season='week') > 4\""),
    "anomaly, season found": ("x", "when: anomaly() > 4"),
    "forecast": ("x", "when: \"breach_in('1 week', at_most=150)\""),
    "burn rate": (
        "bad",
        "objective: 99% over 28d, when: \"burn_rate('3d') > 1.3 and burn_rate('1d') > 1.3\"",
    ),
    "peers": ("x", "when: \"deviation_from_group(by='season') > 4\""),
}
KPIS = """version: 1
events: {seen: {topic: seen, time: at, fields: {v: float, season: string, name: string}}}
kpis:
  x: {from: seen, value: sum(v), by: [season, name], window: day}
  seasonal: {from: seen, value: sum(v), by: [season, name], window: day}
  bad: {unit: ratio, better: lower, from: seen, value: avg(v), by: [season, name], window: day}
rules:
"""


def series(seeds: int) -> Iterator[tuple[str, str, list[float]]]:
    """Season, name (`shape-seed`) and values of each series."""
    shapes = ["calm"] * CALM + list(SHAPES)
    for season in ("none", "week"):
        for seed in range(seeds):
            for i, shape in enumerate(shapes):
                noise = np.random.default_rng([seed, i, season == "week"])
                values = 100 + 10 * noise.standard_normal(DAYS)
                if season == "week":
                    values -= 30 * (np.arange(DAYS) % 7 >= 5)
                if shape == "spike":
                    values[ONSET] += SHAPES[shape]
                elif shape == "level":
                    values[ONSET:] += SHAPES[shape]
                elif shape == "trend":
                    values[ONSET:] += SHAPES[shape] * np.arange(1, DAYS - ONSET + 1)
                yield season, f"{shape}-{seed * len(shapes) + i}", values.tolist()


def fired(seeds: int) -> dict[tuple[str, str, str], list[int]]:
    """The windows (by number) with which alerts began, by rule, season and name."""
    text = KPIS + "".join(
        f"  r{i}: {{kpi: {kpi}, {said}}}\n" for i, (kpi, said) in enumerate(RULES.values())
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "rules.yaml").write_text(text, encoding="utf-8")
        plan = load(Path(folder))
    windows: list[WindowValue] = []
    for season, name, values in series(seeds):
        for kpi, scale in (("x", 1.0), ("seasonal", 1.0), ("bad", 1e-4)):
            given = [(max(v, 0.0) * scale, 1000) for v in values]
            windows += given_windows(plan.kpis[kpi], (season, name), given, MONDAY_MS)
    found: dict[tuple[str, str, str], list[int]] = {}
    names = list(RULES)
    for t in GivenValues(plan, windows).run(MONDAY_MS + DAYS * DAY_MS).transitions:
        if t.state is AlertPhase.FIRING:
            key = (names[int(t.rule[1:])], str(t.dimensions[0]), str(t.dimensions[1]))
            found.setdefault(key, []).append((t.end_ms - MONDAY_MS) // DAY_MS - 1)
    return found


def table(seeds: int) -> list[str]:
    """The lines of a Markdown table, a row for each kind."""
    found = fired(seeds)
    known = [(season, name) for season, name, _ in series(seeds)]
    head = ["false, no season", "false, weekly season", *SHAPES]
    lines = [f"| rule | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for rule, (_, said) in RULES.items():
        cells = []
        for season in ("none", "week"):
            errors = weeks = 0.0
            for of, name in known:
                if of == season:
                    until = DAYS if name.startswith("calm") else ONSET
                    errors += sum(at < until for at in found.get((rule, of, name), ()))
                    weeks += until / 7
            cells.append(f"{errors / weeks:.2f}")
        for shape in SHAPES:
            hurt = [(of, name) for of, name in known if name.startswith(shape)]
            last = ONSET if shape == "spike" else DAYS
            first = [
                min((at - ONSET for at in found.get((rule, *key), ()) if ONSET <= at <= last),
                    default=None) for key in hurt
            ]  # fmt: skip
            delays = [delay for delay in first if delay is not None]
            late = f"{statistics.median(delays):g}" if delays else "-"
            cells.append(f"{late} ({len(delays)}/{len(hurt)})")
        when = said.partition("when: ")[2].strip('"')
        lines.append(f"| {rule}: `{when}` | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    sys.stdout.write("\n".join(table(parser.parse_args().seeds)) + "\n")
