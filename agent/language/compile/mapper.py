"""Maps a valid declaration to the plan.

Called only without errors: every reference resolves, every statement has compiled. The parts are in
`contracts`, `kpis` and `rules`; only these modules know both models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from agent.core.model.kpis import Kpi, title_of
from agent.core.model.lookups import Lookup
from agent.core.model.plan import Maintenance, Objective, Plan
from agent.core.model.rules import Rule
from agent.language.checks.maintenance import covered
from agent.language.compile.contracts import make_contract
from agent.language.compile.coupling import couplings, placements
from agent.language.compile.kpis import digest, make_kpi
from agent.language.compile.links import Links
from agent.language.compile.rules import make_composite, make_rule
from agent.language.compile.schedules import compile_schedule
from agent.language.compile.shapes import Shape
from agent.language.compile.shapes import slices as slices_of
from agent.language.compile.statements import Statements
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.file import SECTIONS
from agent.language.models.kpis import ObjectiveSpec
from agent.language.models.maintenance import MaintenanceSpec


def make_plan(
    declared: Declared,
    shapes: Mapping[str, Shape],
    sql: Statements,
    links: Links,
    lookups: Mapping[str, Lookup],
) -> Plan:
    """The plan of a valid declaration. `shapes` is in dependency order, as `resolve` gives it."""
    slices = slices_of(declared, shapes)
    partitioned_by = placements(couplings(declared, links, sql), shapes)
    contracts = {
        name: make_contract(
            declared, entry, lookups, sql.computed.get(name, {}), sql.columns.get(name, {})
        )
        for name, entry in declared.events.items()
    }
    kpis: dict[str, Kpi] = {}
    for name, shape in shapes.items():
        entry = declared.kpis[name]
        # None for all dimensions: the fingerprint, and with it the state, does not depend on it
        # then.
        by = partitioned_by[name]
        placement = None if len(by) == len(shape.by) else by
        kpis[name] = make_kpi(
            declared,
            entry,
            shape,
            sql.kpis[name],
            slices[name],
            placement,
            contracts,
            kpis,
        )
    rules: dict[str, Rule] = {}
    for name in links.order():
        entry_ = declared.rules[name]
        rules[name] = (
            make_composite(declared, entry_, links, kpis)
            if entry_.model.kpi is None
            else make_rule(declared, entry_, kpis[entry_.model.kpi], sql, links)
        )
    objectives = {name: _objective(declared, entry) for name, entry in declared.objectives.items()}
    maintenance = {
        name: _maintenance(declared, entry) for name, entry in declared.maintenance.items()
    }
    hash_ = config_hash(declared, lookups)
    return Plan(contracts, kpis, rules, objectives, hash_, maintenance, lookups)


def _objective(declared: Declared, entry: Entry[ObjectiveSpec]) -> Objective:
    model = entry.model
    total = math.fsum([*model.kpis.values(), *model.objectives.values()])
    return Objective(
        name=entry.name,
        title=model.title or title_of(entry.name),
        description=model.description or "",
        owner=model.owner or declared.defaults.owner,
        team=model.team or declared.defaults.team,
        kpis={name: weight / total for name, weight in model.kpis.items()},
        objectives={name: weight / total for name, weight in model.objectives.items()},
    )


def _maintenance(declared: Declared, entry: Entry[MaintenanceSpec]) -> Maintenance:
    model = entry.model
    return Maintenance(
        name=entry.name,
        title=model.title or title_of(entry.name),
        description=model.description or "",
        kpis=frozenset(covered(declared, entry)),
        match=model.match,
        schedule=compile_schedule(model, zone_of(declared, model.timezone)),
    )


def config_hash(declared: Declared, lookups: Mapping[str, Lookup]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the declaration, including the content of
    lookup and schema files.

    File names, order, comments and the notation of durations make no difference.
    """
    content: dict[str, Any] = {"defaults": declared.defaults.model_dump(mode="json")}
    for section in SECTIONS:
        entries: dict[str, Entry[Any]] = getattr(declared, section)
        content[section] = {
            name: entry.model.model_dump(mode="json") for name, entry in entries.items()
        }
    if declared.schemas:
        content["schema files"] = {n: astuple(s) for n, s in declared.schemas.items()}
    content["lookups' digests"] = {name: dict(lookup.digests) for name, lookup in lookups.items()}
    return digest(content)
