"""KPIs as they run, with their targets and the fingerprint of what their state depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agent.core.aggregate.functions import LAYOUT
from agent.core.changes.describe import state_parts
from agent.core.model.events import Contract, Scalar
from agent.core.model.kpis import Kpi, Target, TargetOverride, title_of
from agent.language.checks.targets import begins_ms, zone_of_dates
from agent.language.compile.shapes import Shape, expire_after_ms
from agent.language.compile.statements import KpiSql
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import AnyTarget, KpiSpec, TargetSpec, TargetStepSpec
from agent.language.models.values import benchmark_of

MINIMUM_PEOPLE = 5
"""Below it, health and staff statistics commonly suppress a figure."""


def digest(content: Any) -> str:
    """A short hash of data that JSON can hold; the same for equal data."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def make_kpi(
    declared: Declared,
    entry: Entry[KpiSpec],
    shape: Shape,
    sql: KpiSql,
    slice_ms: int,
    placement: tuple[str, ...] | None,
    contracts: Mapping[str, Contract],
    kpis: Mapping[str, Kpi],
) -> Kpi:
    """The compiled KPI."""
    model, defaults = entry.model, declared.defaults
    inputs = tuple(model.from_) if isinstance(model.from_, list) else ()
    contract = None if inputs else contracts[str(model.from_)]
    lateness_ms = contract.lateness_ms if contract else max(kpis[i].lateness_ms for i in inputs)
    people = _people(model, shape, sql, [kpis[i] for i in inputs])
    target, overrides = _targets(model, zone_of_dates(declared, model, shape.window))
    kpi = Kpi(
        name=entry.name,
        title=model.title or title_of(entry.name),
        description=model.description or "",
        unit=model.unit,
        better=model.better,
        owner=model.owner or defaults.owner,
        team=model.team or defaults.team,
        contract=contract.name if contract else None,
        inputs=inputs,
        where=sql.where,
        partials=sql.partials,
        value=sql.value,
        by=shape.by,
        window=shape.window,
        slice_ms=slice_ms,
        lateness_ms=lateness_ms,
        target=target,
        overrides=tuple(overrides),
        max_series=model.max_series,
        max_state_bytes=model.max_state_bytes,
        expire_after_ms=expire_after_ms(model, shape),
        fingerprint="",
        sql=model.value.strip(),
        where_sql=None if model.where is None else model.where.strip(),
        placement=placement,
        objective=model.objective,
        person=model.person if model.visibility == "private" else None,
        named=model.export == "named",
        backfill_ms=model.backfill,
        whole=sql.whole,
        casts=sql.casts,
        minimum_people=(model.minimum_people or MINIMUM_PEOPLE) if people else None,
        people_partials=sql.people,
        people=people,
    )
    of_inputs = [(name, kpis[name].fingerprint) for name in inputs]
    return replace(kpi, fingerprint=digest([LAYOUT, state_parts(kpi, contract), of_inputs]))


def _people(model: KpiSpec, shape: Shape, sql: KpiSql, inputs: Iterable[Kpi]) -> str | None:
    """The field or dimension that names the people of a public KPI that shows groups only: its
    `person`, or that of the private KPIs that it rolls up."""
    if model.visibility == "private":
        return None
    if sql.people:
        return model.person
    people = (kpi.person for kpi in inputs if kpi.person is not None)
    return next((person for person in people if person not in shape.by), None)


def _targets(model: KpiSpec, zone: str) -> tuple[Target | None, list[TargetOverride]]:
    """The default target, and the overrides, of which targets by date are some."""
    written: list[tuple[Mapping[str, Scalar], AnyTarget | None]] = [({}, model.target)]
    written += [(override.match, override.target) for override in model.overrides]
    target: Target | None = None
    overrides = []
    for match, spec in written:
        for step in spec if isinstance(spec, list) else [spec] if spec is not None else []:
            date = step.from_ if isinstance(step, TargetStepSpec) else None
            if match or date is not None:
                from_ms = None if date is None else begins_ms(zone, date)
                overrides.append(TargetOverride(match, _target(step), from_ms, date))
            else:
                target = _target(step)
    return target, overrides


def _target(spec: TargetSpec) -> Target:
    if spec.between is not None:
        low, high = spec.between
        warn_low, warn_high = spec.warn if isinstance(spec.warn, list) else (None, None)
        return Target(low, high, warn_low, warn_high)
    kind = "at_least" if spec.at_least is not None else "at_most"
    bounds = {kind: getattr(spec, kind), f"warn_{kind}": spec.warn}
    named = {band: benchmark_of(bound) for band, bound in bounds.items()}
    return Target(
        **{band: bound for band, bound in bounds.items() if isinstance(bound, float)},
        kpis=tuple((band, name) for band, name in named.items() if name is not None),
    )
