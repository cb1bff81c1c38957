"""Which KPIs must be in the same state partition, and by which dimensions they are partitioned.

The state partition of a series is a hash of its dimensions. KPIs that are evaluated together must
be in one partition: they are partitioned by the dimensions that all of them share
(co-partitioning). A new way for KPIs to read each other adds its couplings to `couplings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.core.history.peers import Deviation
from agent.language.checks.targets import benchmarks
from agent.language.compile.conditions import RuleSql
from agent.language.compile.links import Links
from agent.language.compile.shapes import Shape
from agent.language.compile.statements import Statements
from agent.language.declared import Declared


@dataclass(frozen=True, slots=True)
class Coupling:
    """KPIs that must be co-partitioned. `over`: by these dimensions at most (the group of a peers
    rule); None: by all dimensions that the KPIs share."""

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
            # By the dimensions of the rule's series: none, where it watches a KPI as a whole.
            yield Coupling(tuple(sorted(links.input_kpis(name))), over=links.by(name))
        for group in _groups(sql.rules.get(name)):
            by = links.by(name)
            yield Coupling((entries[name].model.kpi or "",), over=tuple(by[i] for i in group))


def _groups(rule: RuleSql | None) -> set[tuple[int, ...]]:
    """The groups of peers that a rule compares with, as indices of their dimensions."""
    features = rule.all_features() if rule is not None else ()
    return {feature.by for feature in features if isinstance(feature, Deviation)}


def placements(
    couplings: Iterable[Coupling], shapes: Mapping[str, Shape]
) -> dict[str, tuple[str, ...]]:
    """The dimensions by which each KPI is partitioned: those shared by all KPIs it is coupled with.

    Coupling is transitive; a union-find over the KPIs.
    """
    parent = {name: name for name in shapes}
    shared = {name: frozenset(shape.by) for name, shape in shapes.items()}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for coupling in couplings:
        known = [name for name in coupling.kpis if name in shapes]
        roots = {root(name) for name in known}
        if not roots:
            continue
        first = min(roots)
        both = frozenset.intersection(*(shared[root] for root in roots))
        shared[first] = both if coupling.over is None else both & frozenset(coupling.over)
        parent.update(dict.fromkeys(roots, first))
    return {
        name: tuple(d for d in shape.by if d in shared[root(name)])
        for name, shape in shapes.items()
    }
