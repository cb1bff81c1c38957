"""How soon rules of each kind find what is wrong in generated series, and how often they err.

    python scripts/measure_rules.py

prints the table of docs/rules/measured.md. Twenty weeks of daily windows around 100, normal noise
of 10, without a season or with weekends 30 lower; after twelve weeks some have a spike, a new level
or a trend, or fall silent. The same seeds give the same table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.core.fixed_windows import FixedWindows, consecutive_windows
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, TargetState, WindowValue
from agent.language.load import load

DAYS, ONSET = 140, 84
SEEDS = 5
MONDAY_MS = 1_735_516_800_000
DAY_MS = 86_400_000
SHAPES = {"spike": 60.0, "level": 40.0, "trend": 1.0, "silence": 0.0}
"""How much higher: one day, for good, and each day more; a silence has no values at all."""
SILENT = 14
"""Days that a silence lasts."""
RARE = 0.04
"""Events of the KPI `rare` for each unit of a series: about four a day, on some days none."""
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
    "absence": ("rare", "no_data_for: 2d"),
    "composite": (None, "when: threshold and change"),
    "target": ("x", "target: {at_most: 125}"),
    "benchmark": ("seasonal", "target: {at_most: kpi(usual)}"),
}
"""The KPI, and what is said of it: a rule, or a target, which is looked at for its state."""
EVENTS = """version: 1
events: {seen: {topic: seen, time: at, fields: {v: float, season: string, name: string}}}
"""
KPIS = {
    "x": "from: seen, value: sum(v), by: [season, name], window: day",
    "seasonal": "from: seen, value: sum(v), by: [season, name], window: day",
    "bad": "unit: ratio, better: lower, from: seen, value: avg(v), by: [season, name], window: day",
    "rare": "from: seen, value: count(*), by: [season, name], window: day",
    "middle": "from: [x], value: median(x), by: [season]",
    "usual": "from: [middle], value: 1.35 * middle",
}


class Made(NamedTuple):
    """A generated series: `name` is `shape-number`; a day without a value is None, one without
    events of the KPI `rare` 0."""

    season: str
    name: str
    values: list[float | None]
    rare: list[int]


def series(seeds: int) -> Iterator[Made]:
    """All series, from one seed after the other."""
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
                known: list[float | None] = np.maximum(values, 0.0).tolist()
                rare = noise.poisson(RARE * np.maximum(values, 0.0)).tolist()
                if shape == "silence":
                    known[ONSET : ONSET + SILENT] = [None] * SILENT
                    rare[ONSET : ONSET + SILENT] = [0] * SILENT
                yield Made(season, f"{shape}-{seed * len(shapes) + i}", known, rare)


def rules() -> Plan:
    """The KPIs and the rules, each under the name of its row."""
    shown = KPIS | {kpi: f"{KPIS[kpi]}, {RULES[row][1]}" for kpi, row in _targets().items()}
    text = EVENTS + "kpis:\n" + "".join(f"  {kpi}: {{{said}}}\n" for kpi, said in shown.items())
    text += "rules:\n"
    for row, (of, said) in RULES.items():
        if row not in _targets().values():
            text += f"  {_name(row)}: {{{f'kpi: {of}, ' if of else ''}{said}}}\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "rules.yaml").write_text(text, encoding="utf-8")
        return load(Path(folder))


def _targets() -> dict[str, str]:
    """The row of each KPI whose target is looked at."""
    return {str(kpi): row for row, (kpi, said) in RULES.items() if said.startswith("target: ")}


def _name(row: str) -> str:
    return row.replace(", ", "_").replace(" ", "_")


def fired(seeds: int) -> dict[tuple[str, str, str], list[int]]:
    """The windows (by number) at whose ends alerts began, or targets were first missed, by row,
    season and name."""
    plan = rules()
    windows: list[WindowValue] = []
    for made in series(seeds):
        for kpi, scale in (("x", 1.0), ("seasonal", 1.0), ("bad", 1e-4)):
            given = [(None, 0) if v is None else (v * scale, 1000) for v in made.values]
            windows += consecutive_windows(plan.kpis[kpi], made[:2], given, MONDAY_MS)
        counted = [(float(n), n) for n in made.rare]
        windows += consecutive_windows(plan.kpis["rare"], made[:2], counted, MONDAY_MS)
    rows = {_name(row): row for row in RULES}
    targets = _targets()
    emitted = FixedWindows(plan, windows).run(MONDAY_MS + DAYS * DAY_MS)
    begun = [
        (rows[t.rule], t.dimensions, t.at_ms)
        for t in emitted.transitions
        if t.state is AlertPhase.FIRING
    ]
    begun += [
        (targets[t.window.kpi], t.window.dimensions, t.window.end_ms)
        for t in emitted.targets
        if t.window.kpi in targets
        and t.state is TargetState.MISSED
        and t.previous is not TargetState.MISSED
    ]
    days: dict[tuple[str, str, str], list[int]] = {}
    for row, dimensions, at_ms in begun:
        key = (row, str(dimensions[0]), str(dimensions[1]))
        days.setdefault(key, []).append((at_ms - MONDAY_MS) // DAY_MS - 1)
    return days


def table(seeds: int) -> list[str]:
    """The lines of a Markdown table, a row for each kind."""
    days = fired(seeds)
    known = [made[:2] for made in series(seeds)]
    ends = {"spike": ONSET, "silence": ONSET + SILENT - 1}
    head = ["false, no season", "false, weekly season", *SHAPES]
    lines = [f"| rule | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for rule, (_, said) in RULES.items():
        cells = []
        for season in ("none", "week"):
            errors = weeks = 0.0
            for of, name in known:
                if of == season:
                    until = DAYS if name.startswith("calm") else ONSET
                    errors += sum(at < until for at in days.get((rule, of, name), ()))
                    weeks += until / 7
            cells.append(f"{errors / weeks:.2f}")
        for shape in SHAPES:
            hurt = [(of, name) for of, name in known if name.startswith(shape)]
            last = ends.get(shape, DAYS)
            first = [
                min((at - ONSET for at in days.get((rule, *key), ()) if ONSET <= at <= last),
                    default=None) for key in hurt
            ]  # fmt: skip
            delays = [delay for delay in first if delay is not None]
            late = f"{statistics.median(delays):g}" if delays else "-"
            cells.append(f"{late} ({len(delays)}/{len(hurt)})")
        when = (said.partition("when: ")[2] or said.removeprefix("target: ")).strip('"')
        lines.append(f"| {rule}: `{when}` | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    sys.stdout.write("\n".join(table(parser.parse_args().seeds)) + "\n")
