"""Targets: bounds in order, the warning band inside, and dates that follow one another; benchmarks,
targets that are another KPI's value, of the same window and unit, and by no other dimensions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime

from agent.core.model.text import window_text
from agent.core.model.windows import CalendarWindow, Window, wall_clock_ms
from agent.language.compile.satisfiable import SHARE, range_of_value
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models import dates
from agent.language.models.kpis import AnyTarget, KpiSpec, TargetSpec, TargetStepSpec
from agent.language.models.values import benchmark_of
from agent.language.source import Place


def check(
    declared: Declared, entry: Entry[KpiSpec], at: Place, target: AnyTarget, shape: Shape
) -> None:
    """Check the target at a place of a KPI, or each of its targets by date."""
    steps = target if isinstance(target, list) else [target]
    for i, step in enumerate(steps):
        here = (*at, i) if isinstance(target, list) else at
        shown = len(declared.problems)
        _bounds(declared, entry, here, step)
        if shown == len(declared.problems) and at == ("target",) and not entry.has_hole("better"):
            _direction(declared, entry, here, step)
    if isinstance(target, list) and "window" not in shape.unsure and not entry.has_hole("timezone"):
        _dates(declared, entry, at, target, shape)


def zone_of_dates(declared: Declared, model: KpiSpec, window: Window) -> str:
    """The time zone of the dates of a KPI's targets."""
    if isinstance(window, CalendarWindow):
        return window.timezone
    return zone_of(declared, model.timezone)


def begins_ms(zone: str, date: str) -> int:
    """The instant (ms) at which a date begins in a zone."""
    return wall_clock_ms(zone, datetime.combine(dates.first_day(date), datetime.min.time()))


def _dates(
    declared: Declared,
    entry: Entry[KpiSpec],
    at: Place,
    steps: list[TargetStepSpec],
    shape: Shape,
) -> None:
    """Check that dates are in order, and that a window starts under each target."""
    zone = zone_of_dates(declared, entry.model, shape.window)
    before: tuple[int, str] | None = None
    for i, step in enumerate(steps):
        here = (*at, i)
        if (*here, "from") in entry.holes:
            before = None
            continue
        if step.from_ is None:
            if i > 0:
                hint = "only the first target of a list may omit `from`"
                declared.report(entry, here, "'from' is missing", hint, on="key")
            continue
        now = begins_ms(zone, step.from_)
        if before is not None:
            _follows(declared, entry, (*here, "from"), before, (now, step.from_), shape.window)
        before = now, step.from_


def _follows(
    declared: Declared,
    entry: Entry[KpiSpec],
    at: Place,
    before: tuple[int, str],
    now: tuple[int, str],
    window: Window,
) -> None:
    (earlier, first), (later, second) = before, now
    if later == earlier:
        message = f"{second} begins on the same day as {first}: only one of them can apply"
        declared.report(entry, at, message, "keep one")
    elif later < earlier:
        message = f"{second} comes before {first}"
        declared.report(entry, at, message, "write them in the order of their dates")
    elif not _starts_within(window, earlier, later):
        unit = window.unit if isinstance(window, CalendarWindow) else "window"
        message = f"no {unit} starts from {first} until {second}: that target never applies"
        hint = "a window has the target that applies when it starts"
        declared.report(entry, at, message, hint)


def _starts_within(window: Window, from_ms: int, until_ms: int) -> bool:
    end = window.first_end_after(from_ms)
    while window.start_of(end) < from_ms:
        end = window.first_end_after(end)
    return window.start_of(end) < until_ms


def _of_share(declared: Declared, entry: Entry[KpiSpec], at: Place, bounds: object) -> None:
    """Report a bound that a share of the events can't reach, mostly a percentage."""
    numbers = bounds if isinstance(bounds, list | tuple) else [bounds]
    above = next((n for n in numbers if isinstance(n, int | float) and n > 1), None)
    if above is None or range_of_value(entry.model.value) != SHARE:
        return
    message = f"{above:g} is above 1, the most that a share of the events can be"
    hint = f"write `{above / 100:g}`, or multiply the value by 100 for percent"
    declared.report(entry, at, message, hint)


def _bounds(declared: Declared, entry: Entry[KpiSpec], at: Place, target: TargetSpec) -> None:
    """Check that there is one bound, or two in order, with the warning band inside."""
    given = [
        bound
        for bound in ("at_most", "at_least", "between")
        if getattr(target, bound) is not None or (*at, bound) in entry.holes
    ]
    if not given:
        hint = "give at_most, at_least or between"
        declared.report(entry, at, "a target without a bound", hint, on="key")
        return
    if len(given) > 1:
        hint = "keep one; for two bounds write `between: [low, high]`"
        message = f"both {given[0]} and {given[1]}"
        declared.report(entry, (*at, given[1]), message, hint, on="key")
        return
    kind = given[0]
    _of_share(declared, entry, (*at, kind), getattr(target, kind))
    if kind == "between":
        _between(declared, entry, at, target)
    elif isinstance(target.warn, list):
        message = f"two warn values with {kind}"
        declared.report(entry, (*at, "warn"), message, "one number: where the warning begins")
    elif isinstance(target.warn, float) and isinstance(getattr(target, kind), float):
        _warn(declared, entry, at, kind, getattr(target, kind), target.warn)


def _warn(
    declared: Declared, entry: Entry[KpiSpec], at: Place, kind: str, bound: float, warn: float
) -> None:
    if (kind == "at_most" and warn > bound) or (kind == "at_least" and warn < bound):
        side, right = ("above", "below") if kind == "at_most" else ("below", "above")
        message = f"warn {warn:g} is {side} {kind} {bound:g}: the target is missed before it warns"
        declared.report(entry, (*at, "warn"), message, f"put warn {right} {bound:g}")


def _between(declared: Declared, entry: Entry[KpiSpec], at: Place, target: TargetSpec) -> None:
    low, high = target.between or (-math.inf, math.inf)
    if low >= high:
        message = f"{low:g} is not below {high:g}"
        declared.report(entry, (*at, "between"), message, "the lower bound comes first")
        return
    if target.warn is None:
        return
    if not isinstance(target.warn, list):
        message = "one warn value with between"
        hint = "two numbers inside the bounds: `warn: [low, high]`"
        declared.report(entry, (*at, "warn"), message, hint)
        return
    warn_low, warn_high = target.warn
    if not low <= warn_low < warn_high <= high:
        message = f"warn [{warn_low:g}, {warn_high:g}] is not inside [{low:g}, {high:g}]"
        hint = "low bound ≤ low warn < high warn ≤ high bound"
        declared.report(entry, (*at, "warn"), message, hint)


def _direction(declared: Declared, entry: Entry[KpiSpec], at: Place, target: TargetSpec) -> None:
    better = entry.model.better
    wanted = "lower" if target.at_most is not None else "higher"
    one_sided = target.at_most is not None or target.at_least is not None
    if one_sided and better != wanted:
        kind = "at_most" if wanted == "lower" else "at_least"
        is_written = "better" in entry.model.model_fields_set
        written = "" if is_written else ", as it is if not given"
        other = "at_least" if wanted == "lower" else "at_most"
        message = f"the target is {kind}, but better is {better}{written}"
        declared.report(
            entry,
            (*at, kind),
            message,
            f"write `better: {wanted}`, or `{other}`" if is_written else f"add `better: {wanted}`",
            on="key",
            severity="warning",
        )


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


def check_benchmarks(declared: Declared, shapes: dict[str, Shape]) -> None:
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
