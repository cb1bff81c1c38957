"""Which KPIs must see each other, and by which dimensions they are therefore placed.

A series lives in the state partition that its dimensions hash to. KPIs that are looked at together
must meet in one partition whatever their dimensions: they hash only those that they all share.
Anybody who lets KPIs see each other in a new way adds its couplings to `couplings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.core.history.peers import Deviation
from agent.language.checks.benchmarks import benchmarks
from agent.language.compile.conditions import RuleSql
from agent.language.compile.links import Links
from agent.language.compile.shapes import Shape
from agent.language.compile.statements import Statements
from agent.language.declared import Declared


@dataclass(frozen=True, slots=True)
class Coupling:
    """KPIs that must meet. `over`: only series that agree in these dimensions need to (a peers
    rule's group); None: in all dimensions that the KPIs share."""

    kpis: tuple[str, ...]
    over: tuple[str, ...] | None = None


def couplings(declared: Declared, links: Links, sql: Statements) -> Iterator[Coupling]:
    """Every coupling of a declaration. Names that are not declared may be among the KPIs."""
    for name, entry in declared.kpis.items():
        if isinstance(entry.model.from_, list):
            yield Coupling((name, *entry.model.from_))
        for _, benchmark in benchmarks(entry.model):
            yield Coupling((name, benchmark))
    entries = declared.rules
    for name in entries:
        if links.dependencies[name] or links.depends[name]:
            # Over what the rule's own series share: none, where it watches a KPI as a whole.
            yield Coupling(tuple(sorted(links.seen(name))), over=links.by(name))
        for group in _groups(sql.rules.get(name)):
            by = links.by(name)
            yield Coupling((entries[name].model.kpi or "",), over=tuple(by[i] for i in group))


def _groups(rule: RuleSql | None) -> set[tuple[int, ...]]:
    """The groups of peers that a rule compares with, by the places of their dimensions."""
    every = [
        variant for variant in (rule, *(rule.overrides if rule else ())) if variant is not None
    ]
    return {f.by for variant in every for f in variant.features if isinstance(f, Deviation)}


def placements(
    couplings: Iterable[Coupling], shapes: Mapping[str, Shape]
) -> dict[str, tuple[str, ...]]:
    """The dimensions by which each KPI is placed: those that all KPIs it is coupled with share.

    Coupling is transitive: a KPI that two others must see brings these together too.
    """
    head = {name: name for name in shapes}
    shared = {name: frozenset(shape.by) for name, shape in shapes.items()}

    def root(name: str) -> str:
        while head[name] != name:
            name = head[name]
        return name

    for coupling in couplings:
        known = [name for name in coupling.kpis if name in shapes]
        roots = {root(name) for name in known}
        if not roots:
            continue
        first = min(roots)
        both = frozenset.intersection(*(shared[root] for root in roots))
        shared[first] = both if coupling.over is None else both & frozenset(coupling.over)
        head.update(dict.fromkeys(roots, first))
    return {
        name: tuple(d for d in shape.by if d in shared[root(name)])
        for name, shape in shapes.items()
    }
