"""Draw docs/images/rules/*.svg: the first rule test of each page, and what comes of it.

    python -m scripts.draw_rules

Values are those of the test; answers, states and alerts those of the agent's own evaluation of
them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from agent.core.evaluate.objectives import AT_RISK_FROM, Score, scores
from agent.core.explanation import explain
from agent.core.fixed_windows import FixedWindows
from agent.core.history.change import Change
from agent.core.history.trend import Trend
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Emitted, TargetStatus, Transition, WindowValue
from agent.core.model.rules import CompositeRule, Severity, ThresholdRule
from agent.language.load import load
from agent.language.sql.clauses import clauses
from agent.language.sql.percents import marked
from agent.ruletests.cases import Case
from agent.ruletests.read import read_tests
from scripts.picture import Line, Panel, Picture, Span, Strip, svg

ROOT = Path(__file__).parents[1]

Series = tuple[str, Dimensions]
"""A KPI, and the dimensions of one of its series."""


def first_test(page: str) -> tuple[Plan, Case, str]:
    """A page's rules up to where its first tests are run, the first test, and their time zone."""
    block = page.partition("kpi-agent test")[0]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in re.findall(r"^cat > \w+/(\S+) <<'END'\n(.*?)^END$", block, re.S | re.M):
            (Path(folder) / name).write_text(text)
        plan = load(Path(folder))
        zone = re.search(r"timezone: ([\w/]+)", block)
        return plan, read_tests(plan, [Path(folder)]).cases[0], zone[1] if zone else "UTC"


def evaluated(plan: Plan, case: Case, zone: str) -> Picture:
    """What the rule that fires first looked at, and when it fires."""
    windows = case.windows or ()
    emitted = closed(plan, case)
    fired = next(t for t in emitted.transitions if t.state is AlertPhase.FIRING)
    rule = plan.rules[fired.rule]
    upper = Panel(fired.kpi, _line(windows, (fired.kpi, fired.dimensions)))
    panels = {"value": upper}
    if isinstance(rule, ThresholdRule):
        answered = _answers(plan, case, fired)
        for name, bound in _bounds(rule, fired.severity):
            panels.setdefault(name, Panel(name, answered.get(name, []))).bounds.append(bound)
        for feature in rule.features:
            if feature.text in panels and isinstance(feature, Change | Trend):
                panels[feature.text].percent = feature.relative
                panels[feature.text].name += ", a day" * isinstance(feature, Trend)
        if any("breach_in" in feature.text for feature in rule.features):
            upper.bounds += {v for _, v in answered["target"] if v is not None}
        if any("deviation" in feature.text for feature in rule.features):
            upper.others += _others(windows, (fired.kpi, fired.dimensions))
    ended = (t for t in emitted.transitions if t.state is AlertPhase.RESOLVED)
    ends = min((t.at_ms for t in ended if _alert(t) == _alert(fired)), default=upper.line[-1][0])
    span = Span(fired.at_ms, ends, AlertPhase.FIRING)
    return Picture(fired.rule, zone, list(panels.values()), fired=span)


def held(plan: Plan, case: Case, zone: str) -> Picture:
    """The first series of the test that has a target, with its bounds and where it stands."""
    shown = closed(plan, case).targets
    first = shown[0].window
    series = (first.kpi, first.dimensions)
    panel = Panel(_called(plan, series), _line(case.windows or (), series))
    panel.others += _others(case.windows or (), series)
    own = [t for t in shown if (t.window.kpi, t.window.dimensions) == series]
    panel.states = {t.window.end_ms: t.state for t in own}
    bounds = {
        "target": [t.target.at_least or t.target.at_most for t in own],
        "warn": [t.target.warn_at_least or t.target.warn_at_most for t in own],
    }
    for name, values in bounds.items():
        panel.targets[name] = [(t.window.end_ms, v) for t, v in zip(own, values, strict=True)]
    return Picture(f"{first.kpi} against its target", zone, [panel])


def lived(plan: Plan, case: Case, zone: str) -> Picture:
    """Each series that an alert is of, and below them the life of each alert."""
    emitted = closed(plan, case)
    steps = sorted(emitted.transitions, key=lambda t: (_place(plan, t), str(_alert(t))))
    end_ms = max(w.end_ms for w in emitted.windows)
    panels = []
    known = dict.fromkeys((w.kpi, w.dimensions) for w in emitted.windows)
    for series in sorted(known, key=lambda pair: list(plan.kpis).index(pair[0])):
        concerned = [t for t in steps if t.kpi == series[0] and t.dimensions in ((), series[1])]
        if concerned:
            line = _line(emitted.windows, series)
            panel = Panel(_called(plan, series), line, maintenance=_rests(emitted, series))
            rules = [plan.rules[t.rule] for t in concerned]
            bounds = (_bounds(r, t.severity) for r, t in zip(rules, concerned, strict=True)
                     if isinstance(r, ThresholdRule))  # fmt: skip
            panel.bounds = sorted({bound for pairs in bounds for _, bound in pairs})
            panels.append(panel)
    strips = []
    for (rule, severity, dimensions), own in groupby(steps, _alert):
        levels = {t.severity for t in steps if t.rule == rule}
        more = {t.dimensions for t in steps if t.rule == rule}
        words = [rule, *([severity] if len(levels) > 1 else [])]
        words += [str(d) for d in dimensions] if len(more) > 1 else []
        strips.append(Strip(" ".join(words), list(_spans(own, end_ms))))
    return Picture(steps[-1].rule, zone, panels, strips)


def scored(plan: Plan, case: Case, zone: str) -> Picture:
    """The score of each objective whenever a window closes, and its state."""
    latest: dict[Series, TargetStatus] = {}
    panels = {name: Panel(f"{name}: score", bounds=[AT_RISK_FROM]) for name in plan.objectives}
    for end_ms, group in groupby(closed(plan, case).targets, lambda t: t.window.end_ms):
        latest |= {(t.window.kpi, t.window.dimensions): t for t in group}
        attained: dict[str, list[float]] = {}
        for (kpi, _), status in latest.items():
            if status.attainment is not None:
                attained.setdefault(kpi, []).append(status.attainment)
        for name, value in scores(plan.objectives, attained).items():
            panels[name].line.append((end_ms, value))
            panels[name].states[end_ms] = Score(value).state
    return Picture("objectives", zone, list(panels.values()))


PICTURES: dict[str, Callable[[Plan, Case, str], Picture]] = {
    "absence": evaluated,
    "anomaly": evaluated,
    "benchmark": held,
    "burn-rate": evaluated,
    "change": evaluated,
    "composite": lived,
    "depends_on": lived,
    "forecast": evaluated,
    "maintenance": lived,
    "objectives": scored,
    "pace": evaluated,
    "peers": evaluated,
    "targets": held,
    "threshold": evaluated,
    "trend": evaluated,
}
"""How the picture of each page is made."""


def closed(plan: Plan, case: Case) -> Emitted:
    """All that the values of a test give."""
    return FixedWindows(plan, case.windows or ()).run(case.until_ms or 0)


def _line(windows: Iterable[WindowValue], series: Series) -> Line:
    own = sorted((w.end_ms, w) for w in windows if (w.kpi, w.dimensions) == series)
    return [(end_ms, w.value) for end_ms, w in own]


def _others(windows: Iterable[WindowValue], series: Series) -> list[Line]:
    """The lines of the other series of the same KPI."""
    listed = list(windows)
    dimensions = {w.dimensions for w in listed if w.kpi == series[0]} - {series[1]}
    return [_line(listed, (series[0], other)) for other in sorted(dimensions, key=str)]


def _called(plan: Plan, series: Series) -> str:
    by = plan.kpis[series[0]].by
    named = ", ".join(f'{name}="{value}"' for name, value in zip(by, series[1], strict=True))
    return f"{series[0]}{{{named}}}" if by else series[0]


def _rests(emitted: Emitted, series: Series) -> list[Span]:
    """The maintenance that a series is in: windows side by side are one stretch."""
    own = [w for w in emitted.windows if (w.kpi, w.dimensions) == series]
    spans = []
    for name, group in groupby(own, lambda w: w.maintenance):
        windows = list(group)
        if name is not None:
            spans.append(Span(windows[0].start_ms, windows[-1].end_ms, name))
    return spans


def _place(plan: Plan, step: Transition) -> tuple[int, int]:
    """What others look at comes before what looks at it, in the order of the file."""
    rule = plan.rules[step.rule]
    looks = isinstance(rule, CompositeRule) or bool(rule.depends_on)
    return looks, list(plan.rules).index(step.rule)


def _spans(steps: Iterable[Transition], end_ms: int) -> Iterator[Span]:
    """The phases of one alert but for its rest; the last one goes on to the end."""
    known = sorted(steps, key=lambda t: t.at_ms)
    for step, ends in zip(known, [*(t.at_ms for t in known[1:]), end_ms], strict=True):
        resting = step.state in (AlertPhase.RESOLVED, AlertPhase.INACTIVE)
        if step.at_ms < end_ms and not resting:
            yield Span(step.at_ms, ends, step.state)


def _alert(step: Transition) -> tuple[str, Severity, Dimensions]:
    return step.rule, step.severity, step.dimensions


def _answers(plan: Plan, case: Case, fired: Transition) -> dict[str, Line]:
    """What the rule's calls answered at each window, by call, and its target."""
    windows = FixedWindows(plan, case.windows or ())
    merger = windows.merger
    answers: dict[str, Line] = {"target": []}
    for end_ms in sorted({w.end_ms for w in case.windows or ()}):
        windows.advance(end_ms)
        rule = plan.rules[fired.rule]
        for series in merger.state.reported_series(rule):
            if series.dimensions == fired.dimensions:
                explained = explain(plan, merger.state.kpis, merger.state.rule_graph, rule, series)
                if explained is not None:
                    answers["target"].append((end_ms, dict(explained.columns).get("target")))
                    for fact in explained.facts:
                        answers.setdefault(fact.asked, []).append((end_ms, fact.value))
    return answers


def _bounds(rule: ThresholdRule, severity: Severity) -> Iterator[tuple[str, float]]:
    """What a severity compares with plain numbers, first of each: `value > 600`."""
    level = next(level for level in rule.levels if level.severity == severity)
    seen: set[tuple[str, str]] = set()
    for sql in (level.when_sql, level.clear_sql or ""):
        for clause in clauses(sql) if sql else ():
            plain, numbers = marked(clause)
            match = re.fullmatch(r"(.+?)\s*[<>]=?\s*(-?)(\w+(?:\.\d+)?)\s*", plain)
            if match is None or (sql, match[1]) in seen or len(seen) == 2:
                continue
            number = numbers.get(match[3])
            if number is None and not re.fullmatch(r"[\d_.]+", match[3]):
                continue
            seen.add((sql, match[1]))
            size = number.a_day if number else float(match[3])
            yield match[1], -size if match[2] else size


def drawn() -> Iterator[tuple[Path, str]]:
    """Every picture: where it belongs, and its text."""
    for name, made in PICTURES.items():
        page = (ROOT / "docs" / "rules" / f"{name}.md").read_text()
        picture = made(*first_test(page))
        yield ROOT / "docs" / "images" / "rules" / f"{name}.svg", svg(picture)


if __name__ == "__main__":
    for file, text in drawn():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
