"""The outline of a plan: its declarations as text, to be compared with those of another plan.

A plan has compiled expressions and cannot be sent; its outline can, and it names no people. For
each private declaration (`agent.core.output.privacy`) it has a digest, so that a change is visible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from agent.core.changes.describe import Parts, describe, state_parts
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Maintenance, Plan
from agent.core.model.rules import Rule, Severity
from agent.core.output.labels import severities
from agent.core.output.privacy import private_subjects

HIDDEN = "private"
"""The only part of a private declaration; its text is a digest of all its parts."""


@dataclass(frozen=True, slots=True)
class KpiOutline:
    """A KPI's dimensions, its metrics by the middle part of their names, the parts that its state
    depends on (`carried`) and their fingerprint, and its `backfill` (ms)."""

    by: tuple[str, ...]
    metrics: dict[str, str]
    inputs: tuple[str, ...]
    fingerprint: str
    carried: Parts
    backfill_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RuleOutline:
    """What identifies a rule's alerts: its KPI (or subject), its kind, its severities."""

    kpi: str
    kind: str
    severities: tuple[Severity, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """`sections`: by section (its name in YAML) and by name, the parts of every declaration, in the
    order of the plan."""

    config_hash: str
    sections: dict[str, dict[str, Parts]]
    kpis: dict[str, KpiOutline]
    rules: dict[str, RuleOutline]


def outline(plan: Plan) -> Outline:
    """The outline of a plan, private declarations included."""
    return _outline(plan, frozenset(), frozenset())


def public_outline(plan: Plan) -> Outline:
    """The outline of a plan that everybody may see."""
    persons = frozenset(kpi.person for kpi in plan.kpis.values() if kpi.person is not None)
    return _outline(plan, private_subjects(plan), persons)


def _outline(plan: Plan, private: frozenset[str], persons: frozenset[str]) -> Outline:
    def parts(name: str, thing: Any) -> Parts:
        described = describe(thing)
        hidden = isinstance(thing, Kpi) and name in private
        hidden |= isinstance(thing, Rule) and thing.kpi in private
        hidden |= isinstance(thing, Maintenance) and bool(persons & thing.match.keys())
        return {HIDDEN: _digest(described)} if hidden else described

    return Outline(
        plan.config_hash,
        {
            section: {name: parts(name, thing) for name, thing in declared.items()}
            for section, declared in sections(plan).items()
        },
        {
            name: KpiOutline(
                kpi.by,
                _families(kpi),
                kpi.inputs,
                kpi.fingerprint,
                {} if name in private else _carried(plan, kpi),
                kpi.backfill_ms,
            )
            for name, kpi in plan.kpis.items()
        },
        {
            name: RuleOutline(rule.kpi, type(rule).__name__, severities(rule))
            for name, rule in plan.rules.items()
        },
    )


def _digest(parts: Parts) -> str:
    text = "\n".join(f"{name}: {parts[name]}" for name in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sections(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The declarations of a plan by section, as in the YAML files; contracts are `events`."""
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    named = {
        "events" if name == "contracts" else name: declared for name, declared in values.items()
    }
    return {name: declared for name, declared in named.items() if isinstance(declared, Mapping)}


def _families(kpi: Kpi) -> dict[str, str]:
    target = {"target": kpi.target_metric} if kpi.has_target else {}
    return {"": kpi.metric, "current": kpi.current_metric, **target}


def _carried(plan: Plan, kpi: Kpi) -> Parts:
    """The parts that a KPI's state depends on, those of its event after the event's name."""
    contract = None if kpi.contract is None else plan.contracts[kpi.contract]
    own, of_event = state_parts(kpi, contract)
    return own | {f"{kpi.contract}.{name}": text for name, text in of_event.items()}
