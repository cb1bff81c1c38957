"""Objectives: parts that exist and have targets, positive weights, no cycles."""

from __future__ import annotations

from agent.language.checks.kpis import has_target
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import KpiSpec, ObjectiveSpec
from agent.language.source import On, Place


def check(declared: Declared) -> None:
    """Check every objective, and which KPIs serve one."""
    done: set[str] = set()
    for name, entry in declared.objectives.items():
        _parts(declared, entry)
        _cycle(declared, name, [], done)
    for kpi in declared.kpis.values():
        if kpi.model.objective is not None:
            declared.check_reference(kpi, ("objective",), "objectives", kpi.model.objective)
    _serve(declared)


def _parts(declared: Declared, entry: Entry[ObjectiveSpec]) -> None:
    model = entry.model
    if not model.kpis and not model.objectives and not entry.has_hole("objectives"):
        hint = "name at least one, with its weight: `kpis: {orders: 1}`"
        written = "kpis" in model.model_fields_set
        at: Place = ("kpis",) if written else ()
        on: On = "value" if written else "key"
        declared.report(entry, at, "an objective without KPIs or objectives", hint, on=on)
    for name, weight in model.kpis.items():
        if not declared.check_reference(entry, ("kpis", name), "kpis", name, on="key"):
            continue
        _weight(declared, entry, ("kpis", name), weight)
        kpi = declared.kpis.get(name)
        if kpi is not None and not has_target(kpi):
            message = f"'{name}' has no target, so it cannot attain anything"
            declared.report(entry, ("kpis", name), message, "give the KPI a `target`", on="key")
    for name, weight in model.objectives.items():
        hint = f"KPIs go under `kpis`: `kpis: {{{name}: {weight:g}}}`"
        wrong = hint if name in declared.names["kpis"] else None
        if declared.check_reference(
            entry, ("objectives", name), "objectives", name, wrong, on="key"
        ):
            _weight(declared, entry, ("objectives", name), weight)


def _weight(declared: Declared, entry: Entry[ObjectiveSpec], at: Place, weight: float) -> None:
    if weight <= 0:
        message = f"the weight {weight:g} is not above 0"
        hint = "use any positive numbers: weights are scaled to add up to 1"
        declared.report(entry, at, message, hint)


def _cycle(declared: Declared, name: str, path: list[str], done: set[str]) -> None:
    """Report an objective that is, directly or not, a part of itself; each cycle once."""
    if name in path:
        entry = declared.objectives[path[-1]]
        cycle = [*path[path.index(name) :], name]
        message = f"a cycle of objectives: {' → '.join(cycle)}"
        hint = "an objective cannot be a part of itself"
        declared.report(entry, ("objectives", name), message, hint, on="key")
        return
    if name in done or name not in declared.objectives:
        return
    for part in declared.objectives[name].model.objectives:
        _cycle(declared, part, [*path, name], done)
    done.add(name)


def _serving(declared: Declared) -> set[str]:
    """The KPIs with a weight in an objective or an `objective` of their own, and their inputs."""
    names = {kpi for entry in declared.objectives.values() for kpi in entry.model.kpis}
    names |= {n for n, e in declared.kpis.items() if e.is_written("objective")}
    todo = list(names)
    while todo:
        entry = declared.kpis.get(todo.pop())
        inputs = entry.model.from_ if entry is not None else ()
        for name in inputs if isinstance(inputs, list) else ():
            if name not in names:
                names.add(name)
                todo.append(name)
    return names


def _all_known(declared: Declared) -> bool:
    """Whether all weights of objectives could be read."""
    objectives = declared.objectives.values()
    return (
        declared.complete
        and len(objectives) == len(declared.names["objectives"])
        and not any(e.has_hole("kpis") for e in objectives)
        and all(kpi in declared.names["kpis"] for e in objectives for kpi in e.model.kpis)
    )


def _serve(declared: Declared) -> None:
    """Where there are objectives, warn of KPIs that serve none: once per file."""
    if not declared.names["objectives"] or not _all_known(declared):
        return
    serving = _serving(declared)
    by_file: dict[str, list[Entry[KpiSpec]]] = {}
    for kpi in declared.kpis.values():
        if kpi.name not in serving:
            by_file.setdefault(kpi.source.name, []).append(kpi)
    hint = "name one in the KPI (`objective: …`), or give the KPI a weight in an objective"
    for kpis in by_file.values():
        message = f"'{kpis[0].name}' serves no objective"
        if len(kpis) > 1:
            message = f"{len(kpis)} KPIs serve no objective: {', '.join(k.name for k in kpis)}"
        declared.report(kpis[0], (), message, hint, on="key", severity="warning")
