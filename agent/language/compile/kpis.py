"""KPIs as they run, with their targets and the fingerprint of what their state depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.aggregate.functions import LAYOUT
from agent.core.model.events import Contract, Field, Scalar
from agent.core.model.kpis import Kpi, Target, TargetOverride
from agent.core.model.paths import Path, keys_of, path_text
from agent.language.checks.targets import begins_ms, zone_of_dates
from agent.language.compile.shapes import Shape, expire_after_ms
from agent.language.compile.statements import KpiSql
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import AnyTarget, KpiSpec, TargetSpec, TargetStepSpec
from agent.language.models.values import benchmark_of

MINIMUM_PEOPLE = 5
"""Below it, health and staff statistics commonly suppress a figure."""


def title_of(name: str) -> str:
    """The title of what has none: `response_time` is `Response time`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


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
    return Kpi(
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
        fingerprint=_fingerprint(
            model, shape, sql, slice_ms, placement, contract, [kpis[i] for i in inputs]
        ),
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


def _people(model: KpiSpec, shape: Shape, sql: KpiSql, inputs: Iterable[Kpi]) -> str | None:
    """The field or dimension that names the people of a public KPI that shows groups only: its
    `person`, or that of the private KPIs that it rolls up."""
    if model.visibility == "private":
        return None
    if sql.people:
        return model.person
    people = (kpi.person for kpi in inputs if kpi.person is not None)
    return next((person for person in people if person not in shape.by), None)


def _fingerprint(
    model: KpiSpec,
    shape: Shape,
    sql: KpiSql,
    slice_ms: int,
    placement: tuple[str, ...] | None,
    contract: Contract | None,
    inputs: Iterable[Kpi],
) -> str:
    content: dict[str, Any] = {
        "value": model.value.strip(),
        "where": None if model.where is None else model.where.strip(),
        "by": shape.by,
        "window": dataclasses.astuple(shape.window),
        "slice_ms": slice_ms,
        "layout": LAYOUT,
        "inputs": [(kpi.name, kpi.fingerprint) for kpi in inputs],
    }
    if sql.people:
        content["people"] = model.person
    if placement is not None:
        content["placement"] = sorted(placement)
    if contract is not None:
        used = _columns(sql) | set(shape.by)
        computed = [f for f in contract.computed if f.name in used]
        used.update(name for f in computed for name in f.value.meta.root_names())
        if computed:
            content["computed"] = sorted((f.name, f.sql) for f in computed)
        looked_up = [f for f in contract.lookups if f.name in used]
        used.update(key for f in looked_up for key in f.keys)
        if looked_up:
            content["lookups"] = sorted((f.name, f.keys, f.digest) for f in looked_up)
        # Only the fields that this KPI reads: a new field of the contract must not reset its state.
        content["contract"] = {
            "topic": _topics(contract),
            "type": (_hashable(contract.type_path), contract.type_value),
            "time": (
                *(_hashable(source.path) for source in contract.times),
                contract.timezone,
                *(dataclasses.astuple(x.format) for x in contract.times if x.format is not None),
            ),
            "id": _ids(contract),
            "fields": [
                (f.name, _hashable(f.path), f.type, f.required, f.minimum, f.maximum, *_reading(f))
                for f in sorted(contract.fields, key=lambda f: f.name)
                if f.name in used
            ],
        }
        content["contract"] |= _shape(contract)
    return digest(content)


def _hashable(path: Path | None) -> Any:
    """A path as data that JSON can hold."""
    return None if path is None else keys_of(path) or path_text(path)


def _shape(contract: Contract) -> dict[str, Any]:
    """The contract's options that say where in a record its events are."""
    shape: dict[str, Any] = {
        "format": None if contract.format == "json" else contract.format,
        "envelope": None,
        "decode": [(path_text(inner.path), inner.codings) for inner in contract.decode],
        "each": None if contract.each is None else path_text(contract.each),
    }
    if (envelope := contract.envelope) is not None:
        shape["envelope"] = [envelope.name, path_text(envelope.path), envelope.ops]
    return {name: value for name, value in shape.items() if value not in (None, [])}


def _topics(contract: Contract) -> Any:
    topics = contract.topics
    if topics.pattern is not None:
        return {"pattern": topics.pattern}
    return sorted(topics.names) if len(topics.names) > 1 else topics.default


def _ids(contract: Contract) -> Any:
    ids = [_hashable(path) for path in contract.ids]
    return ids if len(ids) > 1 else next(iter(ids), None)


def _reading(field: Field) -> list[Any]:
    """The field's options beyond its type that determine its values."""
    options: list[Any] = [field.scale] if field.type == "decimal" else []
    options += [] if field.as_sql is None else [["as", field.as_sql]]
    rules = [rule for rule in (field.format, field.text) if rule is not None]
    return [*options, *((type(rule).__name__, dataclasses.astuple(rule)) for rule in rules)]


def _columns(sql: KpiSql) -> set[str]:
    """The fields that a KPI's aggregates and filter read."""
    read = [sql.where]
    for partial in sql.partials:
        read += [partial.argument, partial.filter]
    return {name for expr in read if expr is not None for name in expr.meta.root_names()}


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
