"""Compiled rules: on values, on absence, and over other rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agent.core.history.anomaly.score import KEEP_FIRING_MS, Anomaly
from agent.core.model.kpis import Kpi
from agent.core.model.rules import (
    SEVERITIES,
    AbsenceLevel,
    AbsenceRule,
    CompositeLevel,
    CompositeRule,
    Escalation,
    Rule,
    RuleOverride,
    RuleRef,
    Severity,
    Term,
    ThresholdRule,
)
from agent.language.compile.conditions import RuleSql
from agent.language.compile.links import Link, Links, compile_composite, texts
from agent.language.compile.shapes import LEAST_EXPIRY_MS
from agent.language.compile.statements import Statements
from agent.language.declared import Declared, Entry
from agent.language.models.rules import RuleSpec


def _escalation(declared: Declared, model: RuleSpec) -> tuple[Escalation, ...]:
    """The rule's own, its KPI's, or the default."""
    kpi = declared.kpis[model.kpi].model.escalation if model.kpi else None
    written = model.escalation or kpi or declared.defaults.escalation
    steps = written if isinstance(written, list) else [written] if written is not None else []
    return tuple(Escalation(step.after, step.to) for step in steps)


def _common_fields(
    declared: Declared, model: RuleSpec, owner: str | None, team: str | None
) -> dict[str, Any]:
    """The fields of a rule for people; `owner` and `team` are the defaults."""
    return {
        # An alert without a summary is worded where it is shown.
        "summary": model.summary or "",
        "description": model.description or "",
        "runbook": model.runbook,
        "owner": model.owner or owner,
        "team": model.team or team,
        "labels": dict(model.labels),
        "escalation": _escalation(declared, model),
    }


def make_composite(
    declared: Declared, entry: Entry[RuleSpec], links: Links, kpis: Mapping[str, Kpi]
) -> CompositeRule:
    """The compiled composite rule."""
    model, by = entry.model, links.by(entry.name)
    dependencies = links.dependencies[entry.name]
    expiries = [kpis[name].expire_after_ms for name in links.input_kpis(entry.name)]
    rule = CompositeRule(
        name=entry.name,
        dependencies=tuple(links.dependency(link, by) for link in dependencies),
        levels=(),
        by=by,
        expire_after_ms=max(expiries, default=LEAST_EXPIRY_MS),
        depends_on=_depends(entry, links, by),
        **_common_fields(declared, model, declared.defaults.owner, declared.defaults.team),
    )

    def variant(spec: RuleSpec, _override: int | None) -> CompositeRule:
        return replace(
            rule,
            levels=_composite_levels(links, dependencies, spec),
            for_ms=spec.for_ or 0,
            keep_firing_for_ms=spec.keep_firing_for or 0,
            flapping=spec.flapping,
        )

    return _with_overrides(model, variant)


_AnyRule = TypeVar("_AnyRule", ThresholdRule, AbsenceRule, CompositeRule)


def _with_overrides(
    model: RuleSpec, variant: Callable[[RuleSpec, int | None], _AnyRule]
) -> _AnyRule:
    """A rule with its variants. `variant` makes one, with an override (None: without one)."""
    overrides = tuple(
        RuleOverride(own.match, None if own.off else variant(model.overridden(own), i))
        for i, own in enumerate(model.overrides)
    )
    return replace(variant(model, None), overrides=overrides)


def _composite_levels(
    links: Links, dependencies: Sequence[Link], model: RuleSpec
) -> tuple[CompositeLevel, ...]:
    """The levels of a composite rule, with terms over all its dependencies."""

    def term(text: str) -> Term:
        condition = compile_composite(text)
        references = [links.link(named.name, named.severity) for named in condition.names]
        indices = [dependencies.index(link) for link in references if link is not None]
        return _reindexed(condition.term, indices)

    whens, clears = texts(model.when), texts(model.clear)
    levels = []
    for level in SEVERITIES:
        key = None if None in whens and level == (model.severity or "warning") else level
        if key not in whens:
            continue
        over = clears.get(level, clears.get(None))
        levels.append(
            CompositeLevel(
                level,
                term(whens[key]),
                None if over is None else term(over),
                whens[key].strip(),
                None if over is None else over.strip(),
            )
        )
    return tuple(levels)


def _reindexed(term: Term, indices: list[int]) -> Term:
    """A term over the names of one condition as a term over all dependencies of the rule."""
    if term.op == "is":
        return Term("is", index=indices[term.index])
    return Term(term.op, tuple(_reindexed(part, indices) for part in term.parts))


def _depends(entry: Entry[RuleSpec], links: Links, by: tuple[str, ...]) -> tuple[RuleRef, ...]:
    return tuple(links.dependency(link, by) for link in links.depends[entry.name])


def make_rule(
    declared: Declared, entry: Entry[RuleSpec], kpi: Kpi, sql: Statements, links: Links
) -> Rule:
    """The compiled rule over a KPI: on its values, or on their absence."""
    model = entry.model
    common = _common_fields(declared, model, kpi.owner, kpi.team)
    common["depends_on"] = _depends(entry, links, links.by(entry.name))
    if model.no_data_for is not None:
        return _absence(entry, kpi, common)
    compiled = sql.rules[entry.name]

    def variant(spec: RuleSpec, override: int | None) -> ThresholdRule:
        own = compiled if override is None else compiled.overrides[override] or compiled
        return ThresholdRule(
            name=entry.name,
            kpi=kpi.name,
            levels=own.levels,
            on=spec.on or "closed",
            for_ms=spec.for_ or 0,
            keep_firing_for_ms=spec.keep_firing_for or 0,
            min_events=spec.min_events or 0,
            **common,
            features=own.features,
            min_history_ms=spec.min_history or 0,
            on_no_data=spec.on_no_data or "keep",
            flapping=spec.flapping,
        )

    keep_ms = _keep_firing_for_ms(model, compiled)
    return _with_overrides(model.model_copy(update={"keep_firing_for": keep_ms}), variant)


def _keep_firing_for_ms(model: RuleSpec, sql: RuleSql) -> int:
    """How long `clear` must hold; rules with `anomaly()` have a default of their own."""
    is_default = model.keep_firing_for is None and model.clear is None
    if is_default and any(isinstance(feature, Anomaly) for feature in sql.features):
        return KEEP_FIRING_MS
    return model.keep_firing_for or 0


def _absence(entry: Entry[RuleSpec], kpi: Kpi, common: dict[str, Any]) -> AbsenceRule:
    def variant(spec: RuleSpec, _override: int | None) -> AbsenceRule:
        return AbsenceRule(
            name=entry.name,
            kpi=kpi.name,
            levels=_absence_levels(spec.no_data_for, spec.severity),
            per=spec.per or ("series" if kpi.by else "kpi"),
            keep_firing_for_ms=spec.keep_firing_for or 0,
            min_history_ms=spec.min_history or 0,
            flapping=spec.flapping,
            **common,
        )

    return _with_overrides(entry.model, variant)


def _absence_levels(
    written: int | dict[Severity, int] | None, severity: Severity | None
) -> tuple[AbsenceLevel, ...]:
    if not isinstance(written, dict):
        return (AbsenceLevel(severity or "warning", written or 0),)
    return tuple(
        AbsenceLevel(severity, written[severity]) for severity in SEVERITIES if severity in written
    )
