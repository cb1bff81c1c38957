"""The plan: everything declared, compiled by `agent.language` from YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from agent.core.model.events import Contract, Scalar
from agent.core.model.kpis import Kpi, title_of
from agent.core.model.lookups import Lookup
from agent.core.model.paths import Root
from agent.core.model.rules import RULE_SUBJECT, CompositeRule, Rule
from agent.core.model.schedules import Schedule
from agent.core.model.windows import FixedWindow

SCHEMA_HEADER = "__schema"
"""The header with the record's name in its schema, of records in JSON (`Plan.in_json`)."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted set of KPIs and objectives. All weights are positive and add up to 1."""

    name: str
    title: str
    description: str
    owner: str | None
    kpis: Mapping[str, float]
    objectives: Mapping[str, float] = field(default_factory=dict)
    team: str | None = None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Periods that are excluded from alerts, targets and baselines.

    `kpis`: the KPIs it applies to, including those derived from them. `match` restricts it to the
    series whose dimensions equal it.
    """

    name: str
    title: str
    description: str
    kpis: frozenset[str]
    match: Mapping[str, Scalar]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything declared, compiled.

    `kpis` are in dependency order: inputs before derived KPIs. A rule comes after the rules that it
    depends on. `config_hash` identifies the rule set: the same YAML content gives the same hash.
    """

    contracts: Mapping[str, Contract]
    kpis: Mapping[str, Kpi]
    rules: Mapping[str, Rule]
    objectives: Mapping[str, Objective]
    config_hash: str
    maintenance: Mapping[str, Maintenance] = field(default_factory=dict)
    lookups: Mapping[str, Lookup] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[str, ...]:
        """The source topics that contracts name (not those that match patterns), sorted."""
        return tuple(sorted({name for c in self.contracts.values() for name in c.topics.names}))

    @property
    def lookup_topics(self) -> frozenset[str]:
        """The topics that lookups are read from."""
        topics = (lookup.topic for lookup in self.lookups.values())
        return frozenset(topic.name for topic in topics if topic is not None)

    @property
    def default_topics(self) -> tuple[str, ...]:
        """One topic for each contract, sorted, for events that name none."""
        return self.topics_with(())

    def topics_with(self, topics: Collection[str]) -> tuple[str, ...]:
        """The topics among `topics` that contracts read, and one topic for each contract that reads
        none of them; sorted."""
        read = {topic for topic in topics if self.contracts_of(topic)}
        others = (c for c in self.contracts.values() if not any(t in c.topics for t in read))
        return tuple(sorted(read.union(contract.topics.default for contract in others)))

    @property
    def has_patterns(self) -> bool:
        """Whether a contract reads topics by pattern."""
        return any(c.topics.pattern is not None for c in self.contracts.values())

    def in_json(self) -> Plan:
        """The plan for records that are given as the JSON that they mean, whatever their format. A
        type that is the record's schema is in a header of that name."""
        contracts = {}
        for name, contract in self.contracts.items():
            by_schema = contract.type_path == (Root("schema"),)
            type_path = (Root("header", SCHEMA_HEADER),) if by_schema else contract.type_path
            contracts[name] = replace(contract, format="json", schema=None, type_path=type_path)
        return replace(self, contracts=contracts)

    def contracts_of(self, topic: str) -> tuple[Contract, ...]:
        """The contracts of one topic, in order of name."""
        return tuple(c for _, c in sorted(self.contracts.items()) if topic in c.topics)

    def kpis_of(self, contract: str) -> tuple[Kpi, ...]:
        """The base KPIs over one contract."""
        return tuple(k for k in self.kpis.values() if k.contract == contract)

    def rules_of(self, kpi: str) -> tuple[Rule, ...]:
        """The rules over one KPI."""
        return tuple(r for r in self.rules.values() if r.kpi == kpi)

    def objective_titles(self, kpi: str) -> list[str]:
        """The titles of the objectives that a KPI serves."""
        return [self.objectives[name].title for name in self.objectives_of(kpi)]

    def objectives_of(self, kpi: str) -> tuple[str, ...]:
        """The objectives that a KPI serves, sorted: those that weigh it, and the one it states."""
        if kpi not in self.kpis:
            return ()  # the subject of a composite rule
        stated = self.kpis[kpi].objective
        return tuple(
            sorted(
                o
                for o, objective in self.objectives.items()
                if kpi in objective.kpis or o == stated
            )
        )

    @property
    def composites(self) -> Mapping[str, CompositeRule]:
        """The composite rules, by their subject."""
        return {r.kpi: r for r in self.rules.values() if isinstance(r, CompositeRule)}

    def by_of(self, subject: str) -> tuple[str, ...] | None:
        """The dimensions of a KPI's series, or of a composite rule's; None: not declared."""
        if subject in self.kpis:
            return self.kpis[subject].by
        composite = self._composite(subject)
        return None if composite is None else composite.by

    def subject(self, subject: str) -> Kpi | None:
        """The KPI with this name, or the placeholder of a composite rule with this subject
        (`subject_of`); None: not declared."""
        composite = self._composite(subject)
        return self.kpis.get(subject) if composite is None else self.subject_of(composite)

    def subject_of(self, rule: Rule) -> Kpi:
        """The KPI that a rule is about. For a composite rule, which is about several, a placeholder
        that has the rule's title, owner and dimensions, but no name and no value."""
        return _placeholder_kpi(rule) if isinstance(rule, CompositeRule) else self.kpis[rule.kpi]

    def _composite(self, subject: str) -> CompositeRule | None:
        if not subject.startswith(RULE_SUBJECT):
            return None
        rule = self.rules.get(subject.removeprefix(RULE_SUBJECT))
        return rule if isinstance(rule, CompositeRule) else None

    def bases_under(self, kpi: str) -> tuple[Kpi, ...]:
        """The base KPIs that a KPI is computed from, each once: itself, or through its inputs."""
        declared = self.kpis[kpi]
        if declared.contract is not None:
            return (declared,)
        bases = [base for name in declared.inputs for base in self.bases_under(name)]
        return tuple({base.name: base for base in bases}.values())

    def contracts_under(self, kpi: str) -> frozenset[str]:
        """The contracts that a KPI is computed from, directly or through its inputs."""
        return frozenset(base.contract for base in self.bases_under(kpi) if base.contract)


def _placeholder_kpi(rule: CompositeRule) -> Kpi:
    return Kpi(
        name="", title=title_of(rule.name), description=rule.description, unit=None,
        better="lower", owner=rule.owner, team=rule.team, contract=None, inputs=(), where=None,
        partials=(), value=pl.lit(None), by=rule.by, window=FixedWindow(60_000, 60_000),
        slice_ms=60_000, lateness_ms=0, target=None, overrides=(), max_series=1,
        expire_after_ms=rule.expire_after_ms, fingerprint="", sql="", where_sql=None,
    )  # fmt: skip
