"""Maintenance: one schedule each, valid days, and KPIs that are still evaluated at times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from agent.core.model.schedules import Schedule
from agent.core.model.text import window_text
from agent.core.model.windows import CalendarWindow, Window, wall_clock_ms
from agent.language.checks.kpis import can_equal, check_match
from agent.language.compile import schedules as schedule_spec
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.kpis import KpiSpec
from agent.language.models.maintenance import MaintenanceSpec
from agent.language.problems import suggest
from agent.language.source import On, Place

_DAYS = {
    "day": "",
    "week": "`on: sunday`, or `on: [saturday, sunday]`",
    "month": "`on: 1`, `on: last day`, or `on: first sunday`",
    "year": "`on: 12-24`",
}
"""How the days of each `every` are written."""

_YEARS_MS = 4 * 366 * 86_400_000
"""The period that is searched for windows without maintenance: four years have every day of the
calendar."""
_LEAST_FREE = 1 / 1000
"""The share of time that must be free of maintenance. A daily maintenance of 24 hours leaves one
hour a year, when the clocks go back."""
_SINCE_MS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)


def check(declared: Declared, shapes: Mapping[str, Shape]) -> None:
    """Check every maintenance."""
    valid = []
    for entry in declared.maintenance.values():
        shown = len(declared.problems)
        _kind(declared, entry)
        _days(declared, entry)
        _hours(declared, entry)
        _kpis(declared, entry, shapes)
        if shown == len(declared.problems) and not entry.holes:
            _times(declared, entry, shapes)
        if shown == len(declared.problems) and not entry.holes:
            valid.append(entry)
    _together(declared, valid, shapes)


def covered(declared: Declared, entry: Entry[MaintenanceSpec]) -> set[str]:
    """The KPIs that a maintenance applies to: those it names and those computed from them, or
    all."""
    if entry.model.kpis is None:
        return set(declared.kpis)
    names: set[str] = set()
    waiting = list(entry.model.kpis)
    while waiting:
        name = waiting.pop()
        names.add(name)
        over = (n for n, kpi in declared.kpis.items() if name in _inputs(kpi))
        waiting += [n for n in over if n not in names]
    return names


def _inputs(kpi: Entry[KpiSpec]) -> list[str]:
    return kpi.model.from_ if isinstance(kpi.model.from_, list) else []


def _kind(declared: Declared, entry: Entry[MaintenanceSpec]) -> None:
    if entry.is_written("every") and entry.is_written("holidays"):
        message = "both `every` and `holidays`"
        declared.report(entry, ("holidays",), message, "declare two", on="key")
    if entry.is_written("every") or entry.is_written("holidays"):
        return
    missing = [key for key in ("from", "until") if not entry.is_written(key)]
    if len(missing) == 2:
        message = "a maintenance without a time"
        hint = "`from` and `until`, `every: week` with `on`, `at` and `for`, or `holidays: GB`"
        declared.report(entry, (), message, hint, on="key")
    elif missing:
        message = f"'{missing[0]}' is missing"
        example = "2027-03-06T22:00"
        hint = f"a maintenance that does not repeat needs both: add `{missing[0]}: {example}`"
        declared.report(entry, (), message, hint, on="key")
    for key in ("on", "at", "for"):
        if entry.is_written(key):
            message = f"`{key}` has no effect without `every`"
            hint = "leave it out, or add `every: week`"
            declared.report(entry, (key,), message, hint, on="key")


def _days(declared: Declared, entry: Entry[MaintenanceSpec]) -> None:
    """Check that the days fit `every`."""
    model = entry.model
    if entry.is_written("holidays"):
        for key in ("on", "at", "for"):
            if entry.is_written(key) and not entry.is_written("every"):
                message = f"`{key}` has no effect with `holidays`: they are whole days"
                declared.report(entry, (key,), message, "leave it out", on="key")
    if model.every is None or entry.has_hole("on"):
        return
    how = _DAYS[model.every]
    if model.every == "day" and model.on is not None:
        message = "`on` has no effect with `every: day`"
        declared.report(entry, ("on",), message, "leave it out", on="key")
    elif model.every != "day" and model.on is None:
        declared.report(entry, (), "'on' is missing", f"add {how}", on="key")
    elif model.every != "day":
        for day in model.on or []:
            if schedule_spec.counted_in(day) != model.every:
                message = f"'{day}' is not a day of a {model.every}"
                declared.report(entry, ("on",), message, how)
            elif isinstance(day, int) and day > 28:
                message = f"not every month has a day {day}"
                hint = "`on: last day` is the last day of each month"
                declared.report(entry, ("on",), message, hint, severity="warning")


def _hours(declared: Declared, entry: Entry[MaintenanceSpec]) -> None:
    if not entry.is_written("every") or entry.is_written("at") == entry.is_written("for"):
        return
    missing, example = ("for", "4h") if entry.is_written("at") else ("at", '"02:00"')
    hint = f"add `{missing}: {example}`; without both, whole days"
    declared.report(entry, (), f"'{missing}' is missing", hint, on="key")


def _kpis(declared: Declared, entry: Entry[MaintenanceSpec], shapes: Mapping[str, Shape]) -> None:
    model = entry.model
    named = model.kpis or []
    for i, name in enumerate(named):
        if name in named[:i]:
            declared.report(entry, ("kpis", i), f"'{name}' is given twice", "keep one")
        elif declared.check_reference(entry, ("kpis", i), "kpis", name) and name in shapes:
            check_match(declared, entry, ("match",), model.match, name, shapes[name])
    if model.kpis is None and all("by" not in shape.unsure for shape in shapes.values()):
        dimensions = {dimension for shape in shapes.values() for dimension in shape.by}
        for name, value in model.match.items():
            having = {kpi: shape for kpi, shape in shapes.items() if name in shape.by}
            if not having:
                message = f"no KPI has a dimension '{name}'"
                hint = suggest(name, dimensions, "dimensions")
                declared.report(entry, ("match", name), message, hint, on="key")
            elif not any(can_equal(shape, name, value) for shape in having.values()):
                first = next(iter(having))
                check_match(declared, entry, ("match",), {name: value}, first, having[first])


def _times(declared: Declared, entry: Entry[MaintenanceSpec], shapes: Mapping[str, Shape]) -> None:
    """Check the compiled schedule."""
    model = entry.model
    schedule = schedule_spec.compile_schedule(model, zone_of(declared, model.timezone))
    since, until = schedule.from_ms, schedule.until_ms
    if since is not None and until is not None:
        if since >= until:
            message = f"{model.until} is not after {model.from_}"
            declared.report(entry, ("until",), message, "`until` must be later than `from`")
        elif schedule.first(since, until) is None:
            message = f"it does not occur from {model.from_} until {model.until}"
            declared.report(entry, ("until",), message, "a later `until`, or leave it out")
    sure = {n: s for n, s in shapes.items() if not s.unsure}
    kpis = covered(declared, entry)
    windows = {name: sure[name].window for name in declared.kpis if name in kpis and name in sure}
    if until is None:
        _always(declared, entry, schedule, windows)
    if schedule.days is not None and schedule.at_minutes is None:
        _zones(declared, entry, schedule, windows)


def _always(
    declared: Declared,
    entry: Entry[MaintenanceSpec],
    schedule: Schedule,
    windows: Mapping[str, Window],
) -> None:
    """Report a maintenance that covers every window of a KPI."""
    since = _SINCE_MS if schedule.from_ms is None else schedule.from_ms
    periods = list(schedule.periods(since, since + _YEARS_MS))
    never = {w for w in set(windows.values()) if not _has_free(w, since, periods)}
    named = entry.model.kpis
    if named is not None:
        for i, name in enumerate(named):
            if windows.get(name) in never:
                message = f"it covers every window of '{name}' ({window_text(windows[name])})"
                hint = "the KPI would never be evaluated: leave it out"
                declared.report(entry, ("kpis", i), message, hint)
    elif never:
        closed = [name for name, window in windows.items() if window in never]
        free = [name for name in windows if name not in closed]
        hint = "name the KPIs that it applies to"
        if free:
            hint += f": `kpis: [{', '.join(free[:8])}{', …' if len(free) > 8 else ''}]`"
        most = f"{', '.join(closed[:3])}{', …' if len(closed) > 3 else ''}"
        message = f"it covers every window of {most}: their rules would never be evaluated"
        declared.report(entry, (), message, hint, on="key")


def _together(
    declared: Declared, entries: Sequence[Entry[MaintenanceSpec]], shapes: Mapping[str, Shape]
) -> None:
    """Report maintenances that together cover every window of a KPI: weekdays and weekends."""
    by_kpi: dict[str, list[Entry[MaintenanceSpec]]] = {}
    for entry in entries:
        if entry.model.until is None and not entry.model.match:
            for name in covered(declared, entry):
                by_kpi.setdefault(name, []).append(entry)
    shown: set[frozenset[str]] = set()
    for name, several in by_kpi.items():
        names = frozenset(entry.name for entry in several)
        shape = shapes.get(name)
        if len(several) < 2 or shape is None or shape.unsure or names in shown:
            continue
        schedules = [
            schedule_spec.compile_schedule(e.model, zone_of(declared, e.model.timezone))
            for e in several
        ]
        since = max((s.from_ms for s in schedules if s.from_ms is not None), default=_SINCE_MS)
        periods = sorted(p for s in schedules for p in s.periods(since, since + _YEARS_MS))
        if not _has_free(shape.window, since, periods):
            shown.add(names)
            others = ", ".join(f"'{entry.name}'" for entry in several[:-1])
            message = f"with {others}, every window of '{name}' is in maintenance"
            hint = "leave some time without maintenance, or the KPI is never evaluated"
            declared.report(several[-1], (), message, hint, on="key")


def _has_free(window: Window, since_ms: int, periods: Iterable[tuple[int, int]]) -> bool:
    """Whether windows between the periods add up to more than `_LEAST_FREE`."""
    free_ms, free_from = 0, since_ms
    for start, end in periods:
        free_ms += _free_ms(window, free_from, start)
        if free_ms > _LEAST_FREE * _YEARS_MS:
            return True
        free_from = max(free_from, end)
    return free_ms + _free_ms(window, free_from, since_ms + _YEARS_MS) > _LEAST_FREE * _YEARS_MS


def _free_ms(window: Window, from_ms: int, until_ms: int) -> int:
    """The time between two instants, 0 if no window lies between them."""
    if until_ms <= from_ms:
        return 0
    end = window.first_end_after(from_ms)
    while end <= until_ms and window.start_of(end) < from_ms:
        end = window.first_end_after(end)
    return until_ms - from_ms if end <= until_ms else 0


def _zones(
    declared: Declared,
    entry: Entry[MaintenanceSpec],
    schedule: Schedule,
    windows: Mapping[str, Window],
) -> None:
    """Warn of whole days in another time zone than the KPI's: each overlaps two of its windows."""
    for name, window in windows.items():
        if isinstance(window, CalendarWindow) and not _same(window.timezone, schedule.timezone):
            message = (
                f"its days are those of {schedule.timezone}, the windows of '{name}' those of "
                f"{window.timezone}: each day touches two of them"
            )
            hint = f"add `timezone: {window.timezone}`, or make one of its own for '{name}'"
            given = entry.model.timezone is not None
            at: Place = ("timezone",) if given else ()
            on: On = "value" if given else "key"
            declared.report(entry, at, message, hint, on=on, severity="warning")
            return


def _same(zone: str, other: str) -> bool:
    """Whether midnight is at the same time in two zones, in winter and in summer."""
    days = (datetime(2026, 1, 15), datetime(2026, 7, 15))
    return all(wall_clock_ms(zone, day) == wall_clock_ms(other, day) for day in days)
