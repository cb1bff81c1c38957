"""Benchmarks, targets that are another KPI's value: same window, same unit, no other dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.core.model.text import window_text
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import KpiSpec
from agent.language.models.values import benchmark_of
from agent.language.source import Place


def benchmarks(model: KpiSpec) -> Iterator[tuple[Place, str]]:
    """Each bound of a KPI's targets that is another KPI, with its place."""
    targets: list[tuple[Place, object]] = [(("target",), model.target)]
    targets += [(("overrides", i, "target"), o.target) for i, o in enumerate(model.overrides)]
    for at, target in targets:
        steps = target if isinstance(target, list) else [target]
        for i, step in enumerate(steps):
            here = (*at, i) if isinstance(target, list) else at
            for key in ("at_least", "at_most", "warn"):
                name = benchmark_of(getattr(step, key, None))
                if name is not None:
                    yield (*here, key), name


def check(declared: Declared, shapes: dict[str, Shape]) -> None:
    """Check every benchmark of every KPI, and rules that would need one before it is known."""
    for name, entry in declared.kpis.items():
        for at, benchmark in benchmarks(entry.model):
            _benchmark(declared, entry, at, benchmark, shapes[name], shapes.get(benchmark))
    for rule in declared.rules.values():
        kpi = declared.kpis.get(rule.model.kpi or "")
        texts = rule.model.when if isinstance(rule.model.when, dict) else {None: rule.model.when}
        asks = any(re.search(r"\btarget\b", text or "", re.IGNORECASE) for text in texts.values())
        if rule.model.on == "current" and asks and kpi and any(benchmarks(kpi.model)):
            message = f"the target of '{kpi.name}' is another KPI's value of the closed window"
            hint = "leave `on` out, or write a number instead of `target`"
            declared.report(rule, ("on",), message, hint)


def _benchmark(
    declared: Declared,
    entry: Entry[KpiSpec],
    at: Place,
    name: str,
    own: Shape,
    other: Shape | None,
) -> None:
    if name == entry.name:
        declared.report(entry, at, "a KPI cannot be its own target", "name another one")
        return
    if not declared.check_reference(entry, at, "kpis", name) or other is None:
        return
    foreign = [d for d in other.by if d not in own.by]
    if foreign and not {"by"} & (own.unsure | other.unsure):
        message = (
            f"'{name}' is by '{foreign[0]}', which '{entry.name}' is not: there is no single value"
        )
        hint = "a benchmark may only be by dimensions that the KPI has, too"
        declared.report(entry, at, message, hint)
    if own.window != other.window and not {"window"} & (own.unsure | other.unsure):
        message = (
            f"the window of '{name}' is {window_text(other.window)}, not {window_text(own.window)}"
        )
        declared.report(entry, at, message, "a benchmark needs the same window")
    units = (entry.model.unit, declared.kpis[name].model.unit)
    if name in declared.kpis and None not in units and units[0] != units[1]:
        message = f"'{name}' is in {units[1]}, '{entry.name}' in {units[0]}"
        declared.report(entry, at, message, "a benchmark needs the same unit")
