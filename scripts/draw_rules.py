"""Draw docs/images/rules/*.svg: the first rule test of each kind's page, and when it fires.

    python scripts/draw_rules.py

Values are those of the test, answers and alerts those of the agent's own judgement of them.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.core.explained import explain
from agent.core.given import GivenValues
from agent.core.plan import Plan, ThresholdRule
from agent.core.results import AlertPhase, Transition
from agent.ruletests.cases import Case
from agent.ruletests.read import read_tests
from agent.spec.clauses import clauses
from agent.spec.load import load
from agent.spec.percents import marked

ROOT = Path(__file__).parents[1]
KINDS = (
    "absence", "anomaly", "burn-rate", "change", "forecast", "pace", "peers", "threshold", "trend",
)  # fmt: skip

WIDTH, LEFT, RIGHT, TOP = 720, 64, 12, 34
UPPER, LOWER, BETWEEN = 150, 80, 30
MOST_WINDOWS = 48
"""Only the last ones are drawn."""

Line = list[tuple[int, float | None]]
"""(end of a window in ms, its value)"""

_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>{title}</title>
<style>
svg {{ --ground: #fff; --ink: #1c1f24; --soft: #5b616b; --line: #0072b2; --bound: #a84600;
  --fire: #d55e0033; font: 12px system-ui, sans-serif }}
@media (prefers-color-scheme: dark) {{ svg {{ --ground: #121418; --ink: #eceef1; --soft: #a0a7b3;
  --line: #56b4e9; --bound: #ff9a66; --fire: #f0783a44 }} }}
.ground {{ fill: var(--ground) }} text {{ fill: var(--soft) }} .name {{ fill: var(--ink) }}
.fires {{ fill: var(--bound); font-weight: 600 }} .fire {{ fill: var(--fire) }}
path {{ fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round }}
circle {{ fill: var(--line) }} .other {{ stroke: var(--soft); stroke-width: 1; opacity: .6 }}
.bound {{ stroke: var(--bound); stroke-width: 1.5; stroke-dasharray: 6 4 }}
.at {{ stroke: var(--bound); stroke-width: 1.5 }}
</style>
<rect class="ground" width="{width}" height="{height}"/>
"""


@dataclass
class Panel:
    """Lines over time with bounds; `answers` of a rule's call, or the values themselves."""

    name: str
    line: Line = field(default_factory=list)
    others: list[Line] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)


@dataclass
class Picture:
    """One test: its panels, and when the alert that fires first fired and ended."""

    rule: str
    panels: list[Panel]
    fired_ms: int
    resolved_ms: int | None
    zone: str


def first_test(page: str) -> tuple[Plan, Case, str]:
    """The rules of a page, its first rule test, and the rules' time zone."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in re.findall(r"^cat > \w+/(\S+) <<'END'\n(.*?)^END$", page, re.S | re.M):
            (Path(folder) / name).write_text(text)
        plan = load(Path(folder))
        zone = re.search(r"timezone: ([\w/]+)", page)
        return plan, read_tests(plan, [Path(folder)]).cases[0], zone[1] if zone else "UTC"


def judged(plan: Plan, case: Case, zone: str) -> Picture:
    """Run a test window by window, and keep what the rule that fires first looked at."""
    windows = case.windows or ()
    closings = GivenValues(plan, windows).run(case.until_ms or 0)
    fired = next(t for t in closings.transitions if t.state is AlertPhase.FIRING)
    rule = plan.rules[fired.rule]
    own = [w for w in windows if w.kpi == fired.kpi and w.dimensions == fired.dimensions]
    upper = Panel(fired.kpi, [(w.end_ms, w.value) for w in own])
    panels = {"value": upper}
    if isinstance(rule, ThresholdRule):
        answered = _answers(plan, case, fired)
        for name, bound in _bounds(rule, fired):
            panels.setdefault(name, Panel(name, answered.get(name, []))).bounds.append(bound)
        if any("breach_in" in feature.text for feature in rule.features):
            upper.bounds += {v for _, v in answered["target"] if v is not None}
        if any("deviation" in feature.text for feature in rule.features):
            others = {w.dimensions for w in windows} - {fired.dimensions}
            for one in sorted(others, key=str):
                upper.others.append([(w.end_ms, w.value) for w in windows if w.dimensions == one])
    ends = [
        t.at_ms
        for t in closings.transitions
        if _alert(t) == _alert(fired) and t.state is AlertPhase.RESOLVED
    ]
    return Picture(fired.rule, list(panels.values()), fired.at_ms, min(ends, default=None), zone)


def _alert(step: Transition) -> tuple[object, ...]:
    return step.rule, step.severity, step.dimensions


def _answers(plan: Plan, case: Case, fired: Transition) -> dict[str, Line]:
    """What the rule's calls answered at each window, by call, and its target."""
    merger = GivenValues(plan, case.windows or ())
    answers: dict[str, Line] = {"target": []}
    for end_ms in sorted({w.end_ms for w in case.windows or ()}):
        for topic in plan.topics:
            merger.finish(topic, end_ms)
        rule = plan.rules[fired.rule]
        for series in merger.watched(rule):
            if series.dimensions == fired.dimensions:
                found = explain(plan, merger.states, merger.coupled, rule, series)
                if found is not None:
                    answers["target"].append((end_ms, dict(found.columns).get("target")))
                    for fact in found.facts:
                        answers.setdefault(fact.asked, []).append((end_ms, fact.value))
    return answers


def _bounds(rule: ThresholdRule, fired: Transition) -> Iterator[tuple[str, float]]:
    """What the level that fired compares with plain numbers, first of each: `value > 600`."""
    level = next(level for level in rule.levels if level.severity == fired.severity)
    seen: set[tuple[str, str]] = set()
    for sql in (level.when_sql, level.clear_sql or ""):
        for clause in clauses(sql) if sql else ():
            plain, numbers = marked(clause)
            found = re.fullmatch(r"(.+?)\s*[<>]=?\s*(-?)(\w+(?:\.\d+)?)\s*", plain)
            if found is None or (sql, found[1]) in seen or len(seen) == 2:
                continue
            number = numbers.get(found[3])
            if number is None and not re.fullmatch(r"[\d_.]+", found[3]):
                continue
            seen.add((sql, found[1]))
            size = number.a_day if number else float(found[3])
            yield found[1], -size if found[2] else size


def svg(picture: Picture) -> str:
    """The picture as a document of its own, for light and dark."""
    ends = [end for end, _ in picture.panels[0].line][-MOST_WINDOWS:]
    span = (ends[0], max(ends[-1], picture.fired_ms))
    heights = [UPPER, *[LOWER] * (len(picture.panels) - 1)]
    height = TOP + sum(heights) + BETWEEN * len(heights)

    def x(at_ms: int) -> float:
        return LEFT + (at_ms - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT)

    out = [_HEAD.format(width=WIDTH, height=height, title=f"{picture.rule}: {_when(picture)}")]
    last = x(min(picture.resolved_ms or span[1], span[1]))
    fired = x(picture.fired_ms)
    bottom = height - BETWEEN
    out.append(
        f'<rect class="fire" x="{fired:.1f}" y="{TOP}" width="{max(last - fired, 1):.1f}" '
        f'height="{bottom - TOP}"/>\n'
        f'<path class="at" d="M{fired:.1f} {TOP - 6}V{bottom}"/>\n'
        f'<text class="fires" x="{fired:.1f}" y="{TOP - 12}" text-anchor="'
        f'{"end" if fired > WIDTH / 2 else "start"}">{_when(picture)}</text>\n'
    )
    top = TOP
    for panel, tall in zip(picture.panels, heights, strict=True):
        out += _panel(panel, ends, x, top, tall)
        top += tall + BETWEEN
    for end, anchor in ((ends[0], "start"), (span[1], "end")):
        label = _clock(end, picture)
        out.append(
            f'<text x="{x(end):.1f}" y="{height - 8}" text-anchor="{anchor}">{label}</text>\n'
        )
    return "".join([*out, "</svg>\n"])


def _panel(
    panel: Panel, ends: Sequence[int], x: Callable[[int], float], top: float, tall: float
) -> Iterator[str]:
    shown = [[(at, v) for at, v in one if at >= ends[0]] for one in (panel.line, *panel.others)]
    values = [v for one in shown for _, v in one if v is not None] + panel.bounds
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or 1.0
    low, high = low - room, high + room

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * tall

    name = panel.name.replace("<", "&lt;")
    yield f'<text class="name" x="{LEFT}" y="{top - 4:.1f}">{name}</text>\n'
    for bound in panel.bounds:
        yield (
            f'<path class="bound" d="M{LEFT} {y(bound):.1f}H{WIDTH - RIGHT}"/>\n'
            f'<text class="fires" x="{LEFT - 6}" y="{y(bound) + 4:.1f}" '
            f'text-anchor="end">{_number(bound)}</text>\n'
        )
    for value in (low + room, high - room):
        if all(abs(y(value) - y(bound)) > 14 for bound in panel.bounds):
            yield (
                f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" '
                f'text-anchor="end">{_number(value)}</text>\n'
            )
    for place, line in reversed(list(enumerate(shown))):
        drawn = _path([(x(at), None if v is None else y(v)) for at, v in line])
        yield f'<path class="{"other" if place else "own"}" d="{drawn}"/>\n'
    for at, known in shown[0]:
        if known is not None:
            yield f'<circle cx="{x(at):.1f}" cy="{y(known):.1f}" r="2.5"/>\n'


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    parts, pen = [], "M"
    for x, y in points:
        if y is None or math.isnan(y):
            pen = "M"
            continue
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(parts) or "M0 0"


def _number(value: float) -> str:
    return (
        f"{value:.0f}"
        if abs(value) >= 1000
        else f"{value:.2g}"
        if abs(value) < 0.1
        else f"{value:.3g}"
    )


def _when(picture: Picture) -> str:
    return f"fires {_clock(picture.fired_ms, picture)}"


def _clock(at_ms: int, picture: Picture) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(picture.zone))
    days = at.hour == at.minute == 0
    return f"{at:%Y-%m-%d}" if days else f"{at:%H:%M}"


def drawn() -> Iterator[tuple[Path, str]]:
    """Every picture: where it belongs, and its text."""
    for kind in KINDS:
        page = (ROOT / "docs" / "rules" / f"{kind}.md").read_text()
        yield ROOT / "docs" / "images" / "rules" / f"{kind}.svg", svg(judged(*first_test(page)))


if __name__ == "__main__":
    for file, text in drawn():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
