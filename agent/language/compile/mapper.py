"""From what is declared to what runs: the only place that knows both models.

Called only when nothing is wrong: every reference resolves, every statement has compiled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.core.aggregate.functions import LAYOUT
from agent.core.history.anomaly.score import KEEP_FIRING_MS, Anomaly
from agent.core.model.plan import (
    SEVERITIES,
    AbsenceLevel,
    AbsenceRule,
    CombinationRule,
    CombinedLevel,
    Contract,
    Escalation,
    Field,
    Kpi,
    Level,
    Maintenance,
    Objective,
    Plan,
    Rule,
    RuleOverride,
    RuleRef,
    Scalar,
    Severity,
    Target,
    TargetOverride,
    Term,
    ThresholdRule,
)
from agent.language.checks.maintenance import covered
from agent.language.checks.targets import begins_ms, zone_of_dates
from agent.language.compile.conditions import RuleSql
from agent.language.compile.coupling import couplings, placements
from agent.language.compile.links import Link, Links, compile_combination, texts
from agent.language.compile.schedules import compile_schedule
from agent.language.compile.shapes import LEAST_EXPIRY_MS, Shape, expire_after_ms, zone_of
from agent.language.compile.shapes import slices as slices_of
from agent.language.compile.statements import KpiSql, Statements
from agent.language.declared import Declared, Entry
from agent.language.models import durations
from agent.language.models.events import EventSpec
from agent.language.models.file import SECTIONS
from agent.language.models.kpis import KpiSpec
from agent.language.models.maintenance import MaintenanceSpec
from agent.language.models.objectives import ObjectiveSpec
from agent.language.models.rules import RuleOverrideSpec, RuleSpec
from agent.language.models.targets import AnyTarget, TargetSpec, TargetStepSpec
from agent.language.models.values import benchmark_of

LATENESS_MS = 10_000
MAX_FUTURE_MS = durations.UNIT_MS["h"]
MAX_PAST_MS = 10_950 * durations.UNIT_MS["d"]
"""Thirty years: what lies further back was no time, or an epoch in another unit."""
IDLE_AFTER_MS = 30_000
DUPLICATE_WINDOW_MS = 15 * durations.UNIT_MS["m"]
"""Three times what a FIFO queue of Amazon SQS remembers a message for (its deduplication interval),
and longer than a Kafka producer tries (delivery.timeout.ms, 2m)."""
MAX_BYTES = 1024 * 1024
"""Kafka's own default for the largest message (broker setting message.max.bytes), about."""


def make_plan(
    declared: Declared, shapes: Mapping[str, Shape], sql: Statements, links: Links
) -> Plan:
    """The plan of a sound declaration. `shapes` is in dependency order, as `resolve` gives it."""
    slices = slices_of(declared, shapes)
    placed = placements(couplings(declared, links, sql), shapes)
    contracts = {name: _contract(declared, entry) for name, entry in declared.events.items()}
    kpis: dict[str, Kpi] = {}
    for name, shape in shapes.items():
        entry = declared.kpis[name]
        # By all its dimensions, where nothing asks for less: so that state is kept.
        placement = None if len(placed[name]) == len(shape.by) else placed[name]
        kpis[name] = _kpi(
            declared, entry, shape, sql.kpis[name], slices[name], placement, contracts, kpis
        )
    rules: dict[str, Rule] = {}
    for name in links.order():
        entry_ = declared.rules[name]
        rules[name] = (
            _combination(declared, entry_, links, kpis)
            if entry_.model.kpi is None
            else _rule(declared, entry_, kpis[entry_.model.kpi], sql, links)
        )
    objectives = {
        name: Objective(
            name=name,
            title=entry.model.title or title_of(name),
            description=entry.model.description or "",
            owner=entry.model.owner or declared.defaults.owner,
            team=entry.model.team or declared.defaults.team,
            **_weights(entry.model),
        )
        for name, entry in declared.objectives.items()
    }
    maintenance = {
        name: _maintenance(declared, entry) for name, entry in declared.maintenance.items()
    }
    return Plan(contracts, kpis, rules, objectives, config_hash(declared), maintenance)


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


def title_of(name: str) -> str:
    """The title of what has none: `response_time` is `Response time`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def config_hash(declared: Declared) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of all that is declared.

    Files, order, comments and ways of writing a duration make no difference.
    """
    content: dict[str, Any] = {"defaults": declared.defaults.model_dump(mode="json")}
    for section in SECTIONS:
        entries: dict[str, Entry[Any]] = getattr(declared, section)
        content[section] = {
            name: entry.model.model_dump(mode="json") for name, entry in entries.items()
        }
    return _digest(content)


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _given(*options: int | None) -> int:
    """The first that is not None; the last always is."""
    return next(option for option in options if option is not None)


def _contract(declared: Declared, entry: Entry[EventSpec]) -> Contract:
    model, defaults = entry.model, declared.defaults
    typed = model.type_field != "none"
    return Contract(
        name=entry.name,
        topic=model.topic,
        type_path=_path(model.type_field) if typed else None,
        type_value=entry.name,
        time_path=_path(model.time),
        timezone=zone_of(declared, model.timezone),
        id_path=None if model.id is None else _path(model.id),
        lateness_ms=_given(model.lateness, defaults.lateness, LATENESS_MS),
        max_future_ms=_given(model.max_future, defaults.max_future, MAX_FUTURE_MS),
        idle_after_ms=_given(model.idle_after, defaults.idle_after, IDLE_AFTER_MS),
        max_bytes=_given(model.max_bytes, defaults.max_bytes, MAX_BYTES),
        fields=tuple(
            Field(
                name=name,
                path=_path(spec.path or name),
                type=spec.type,
                required=spec.required,
                minimum=spec.minimum,
                maximum=spec.maximum,
                unit=spec.unit,
            )
            for name, spec in model.fields.items()
        ),
        duplicate_window_ms=_given(
            model.duplicate_window, defaults.duplicate_window, DUPLICATE_WINDOW_MS
        ),
        max_past_ms=_given(model.max_past, defaults.max_past, MAX_PAST_MS),
    )


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split("."))


def _kpi(
    declared: Declared,
    entry: Entry[KpiSpec],
    shape: Shape,
    sql: KpiSql,
    slice_ms: int,
    placement: tuple[str, ...] | None,
    contracts: Mapping[str, Contract],
    kpis: Mapping[str, Kpi],
) -> Kpi:
    model, defaults = entry.model, declared.defaults
    inputs = tuple(model.from_) if isinstance(model.from_, list) else ()
    contract = None if inputs else contracts[str(model.from_)]
    lateness_ms = contract.lateness_ms if contract else max(kpis[i].lateness_ms for i in inputs)
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
        person=model.person,
        named=model.export == "named",
        backfill_ms=model.backfill,
        whole=sql.whole,
    )


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
    if placement is not None:
        content["placement"] = sorted(placement)
    if contract is not None:
        used = _columns(sql) | set(shape.by)
        # Only what this KPI reads: a new field of the contract must not forget its history.
        content["contract"] = {
            "topic": contract.topic,
            "type": (contract.type_path, contract.type_value),
            "time": (contract.time_path, contract.timezone),
            "id": contract.id_path,
            "fields": [
                (f.name, f.path, f.type, f.required, f.minimum, f.maximum)
                for f in sorted(contract.fields, key=lambda f: f.name)
                if f.name in used
            ],
        }
    return _digest(content)


def _columns(sql: KpiSql) -> set[str]:
    """The fields that a KPI's aggregates and filter read."""
    read = [sql.where]
    for partial in sql.partials:
        read += [partial.argument, partial.filter]
    return {name for expr in read if expr is not None for name in expr.meta.root_names()}


def _targets(model: KpiSpec, zone: str) -> tuple[Target | None, list[TargetOverride]]:
    """The target that holds where no override does, and the overrides: those by date, too."""
    written: list[tuple[Mapping[str, Scalar], AnyTarget | None]] = [({}, model.target)]
    written += [(override.match, override.target) for override in model.overrides]
    target: Target | None = None
    overrides = []
    for match, one in written:
        for step in one if isinstance(one, list) else [one] if one is not None else []:
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


def _escalation(declared: Declared, model: RuleSpec) -> tuple[Escalation, ...]:
    """The rule's own, its KPI's, or the default."""
    kpi = declared.kpis[model.kpi].model.escalation if model.kpi else None
    found = model.escalation or kpi or declared.defaults.escalation
    steps = found if isinstance(found, list) else [found] if found is not None else []
    return tuple(Escalation(step.after, step.to) for step in steps)


def _told(
    declared: Declared, model: RuleSpec, owner: str | None, team: str | None
) -> dict[str, Any]:
    """What a rule says to whoever is called; owner and team where it names none."""
    return {
        # Without a summary, those who show the alert have each their own way of saying it.
        "summary": model.summary or "",
        "description": model.description or "",
        "runbook": model.runbook,
        "owner": model.owner or owner,
        "team": model.team or team,
        "labels": dict(model.labels),
        "escalation": _escalation(declared, model),
    }


def _combination(
    declared: Declared, entry: Entry[RuleSpec], links: Links, kpis: Mapping[str, Kpi]
) -> CombinationRule:
    model, by = entry.model, links.by(entry.name)
    heeds = links.heeds[entry.name]
    under = [kpis[name].expire_after_ms for name in links.seen(entry.name)]
    rule = CombinationRule(
        name=entry.name,
        heeds=tuple(links.heeded(link, by) for link in heeds),
        levels=_combined(links, heeds, model.when, model.clear, model.severity),
        by=by,
        for_ms=model.for_ or 0,
        keep_firing_for_ms=model.keep_firing_for or 0,
        expire_after_ms=max(under, default=LEAST_EXPIRY_MS),
        depends_on=_depends(entry, links, by),
        flapping=model.flapping,
        **_told(declared, model, declared.defaults.owner, declared.defaults.team),
    )
    overrides = []
    for own in model.overrides:
        when = own.when if own.when is not None else model.when
        clear = own.clear if own.clear is not None or own.when is not None else model.clear
        levels = _combined(links, heeds, when, clear, own.severity or model.severity)
        made = replace(
            rule,
            levels=levels,
            for_ms=_given(own.for_, rule.for_ms),
            keep_firing_for_ms=_given(own.keep_firing_for, rule.keep_firing_for_ms),
            flapping=own.flapping or rule.flapping,
        )
        overrides.append(RuleOverride(own.match, None if own.off else made))
    return replace(rule, overrides=tuple(overrides))


def _combined(
    links: Links,
    heeds: Sequence[Link],
    when: str | dict[Severity, str] | None,
    clear: str | dict[Severity, str] | None,
    severity: Severity | None,
) -> tuple[CombinedLevel, ...]:
    """The levels of a combination, its terms over all that it looks at."""

    def term(text: str) -> Term:
        condition = compile_combination(text)
        links_ = [links.link(one.name, one.severity) for one in condition.names]
        return _placed(condition.term, [heeds.index(link) for link in links_ if link is not None])

    whens, clears = texts(when), texts(clear)
    levels = []
    for one in SEVERITIES:
        key = None if None in whens and one == (severity or "warning") else one
        if key not in whens:
            continue
        over = clears.get(one, clears.get(None))
        levels.append(
            CombinedLevel(
                one,
                term(whens[key]),
                None if over is None else term(over),
                whens[key].strip(),
                None if over is None else over.strip(),
            )
        )
    return tuple(levels)


def _placed(term: Term, places: list[int]) -> Term:
    """A condition over a rule's own names as one over all that the rule looks at."""
    if term.op == "is":
        return Term("is", place=places[term.place])
    return Term(term.op, tuple(_placed(part, places) for part in term.parts))


def _depends(entry: Entry[RuleSpec], links: Links, by: tuple[str, ...]) -> tuple[RuleRef, ...]:
    return tuple(links.heeded(link, by) for link in links.depends[entry.name])


def _rule(
    declared: Declared, entry: Entry[RuleSpec], kpi: Kpi, sql: Statements, links: Links
) -> Rule:
    model = entry.model
    told = _told(declared, model, kpi.owner, kpi.team)
    told["depends_on"] = _depends(entry, links, links.by(entry.name))
    if model.no_data_for is not None:
        return _absence(entry, kpi, told)
    found = sql.rules[entry.name]
    rule = ThresholdRule(
        name=entry.name,
        kpi=kpi.name,
        levels=_levels(found),
        on=model.on or "closed",
        for_ms=model.for_ or 0,
        keep_firing_for_ms=_kept(model, found),
        min_events=model.min_events or 0,
        **told,
        features=found.features,
        min_history_ms=model.min_history or 0,
        on_no_data=model.on_no_data or "keep",
        flapping=model.flapping,
    )
    overrides = zip(model.overrides, found.overrides, strict=True)
    return replace(rule, overrides=tuple(_override(rule, *one) for one in overrides))


def _kept(model: RuleSpec, sql: RuleSql) -> int:
    """How long the end of a rule's condition has to hold."""
    silent = model.keep_firing_for is None and model.clear is None
    if silent and any(isinstance(feature, Anomaly) for feature in sql.features):
        return KEEP_FIRING_MS
    return model.keep_firing_for or 0


def _levels(sql: RuleSql) -> tuple[Level, ...]:
    return tuple(
        Level(c.severity, c.when, c.clear, c.when_sql, c.clear_sql, c.when_clauses, c.clear_clauses)
        for c in sql.conditions
    )


def _override(
    rule: ThresholdRule, spec: RuleOverrideSpec, sql: RuleSql | None
) -> RuleOverride[ThresholdRule]:
    """The rule with what an override says otherwise."""
    if spec.off:
        return RuleOverride(spec.match, None)
    return RuleOverride(
        spec.match,
        replace(
            rule,
            levels=rule.levels if sql is None else _levels(sql),
            features=rule.features if sql is None else sql.features,
            for_ms=_given(spec.for_, rule.for_ms),
            keep_firing_for_ms=_given(spec.keep_firing_for, rule.keep_firing_for_ms),
            min_events=_given(spec.min_events, rule.min_events),
            min_history_ms=_given(spec.min_history, rule.min_history_ms),
            on_no_data=spec.on_no_data or rule.on_no_data,
            flapping=spec.flapping or rule.flapping,
        ),
    )


def _absence(entry: Entry[RuleSpec], kpi: Kpi, told: dict[str, Any]) -> AbsenceRule:
    model = entry.model
    rule = AbsenceRule(
        name=entry.name,
        kpi=kpi.name,
        levels=_silences(model.no_data_for, model.severity),
        per=model.per or ("series" if kpi.by else "kpi"),
        keep_firing_for_ms=model.keep_firing_for or 0,
        min_history_ms=model.min_history or 0,
        flapping=model.flapping,
        **told,
    )
    overrides = []
    for own in model.overrides:
        silence = own.no_data_for if own.no_data_for is not None else model.no_data_for
        made = replace(
            rule,
            levels=_silences(silence, own.severity or model.severity),
            keep_firing_for_ms=_given(own.keep_firing_for, rule.keep_firing_for_ms),
            min_history_ms=_given(own.min_history, rule.min_history_ms),
            flapping=own.flapping or rule.flapping,
        )
        overrides.append(RuleOverride(own.match, None if own.off else made))
    return replace(rule, overrides=tuple(overrides))


def _silences(
    written: int | dict[Severity, int] | None, severity: Severity | None
) -> tuple[AbsenceLevel, ...]:
    if not isinstance(written, dict):
        return (AbsenceLevel(severity or "warning", written or 0),)
    return tuple(AbsenceLevel(one, written[one]) for one in SEVERITIES if one in written)


def _weights(model: ObjectiveSpec) -> dict[str, dict[str, float]]:
    whole = math.fsum([*model.kpis.values(), *model.objectives.values()])
    return {
        "kpis": {name: weight / whole for name, weight in model.kpis.items()},
        "objectives": {name: weight / whole for name, weight in model.objectives.items()},
    }
