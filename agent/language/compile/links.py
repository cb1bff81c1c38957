"""References between rules: the names in a composite rule's `when`, and in `depends_on`.

A name in `when` is a rule (`slow_support`, of any severity, or `slow_support.critical`), or a KPI:
whether it misses its target. A name in `depends_on` is a rule, or a KPI or an event: the absence
rules that watch it. Where a rule and a KPI have the same name, the name means the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from sqlglot import exp

from agent.core.model.rules import RULE_SUBJECT, RuleRef, Severity, Term
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.rules import RuleSpec
from agent.language.source import Place
from agent.language.sql.compiler import parsed
from agent.language.sql.expressions import SqlProblem, fail, refuse_unsupported, span

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Name:
    """One name in a condition, with its place in the text."""

    name: str
    severity: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Condition:
    """A composite rule's condition: a term over its names, each once."""

    names: tuple[Name, ...]
    term: Term


def compile_composite(text: str) -> Condition:
    """And, or, not over names. Raises SqlProblem."""
    names: list[Name] = []
    term = _term(parsed(text), text, names)
    return Condition(tuple(names), term)


def _term(node: exp.Expression, text: str, names: list[Name]) -> Term:
    if isinstance(node, exp.Paren):
        return _term(node.this, text, names)
    if isinstance(node, exp.Not):
        return Term("not", (_term(node.this, text, names),))
    if isinstance(node, exp.And | exp.Or):
        parts = tuple(_term(part, text, names) for part in (node.this, node.expression))
        return Term("and" if isinstance(node, exp.And) else "or", parts)
    if isinstance(node, exp.Column) and not node.args.get("db"):
        start, end = span(node)
        severity = node.name if node.table else None
        named = Name(node.table or node.name, severity, start, end)
        if severity is not None and severity not in SEVERITIES:
            hint = f"a rule's name, or with a severity: {named.name}.critical"
            fail(node, f"'{severity}' is not a severity", hint)
        for index, known in enumerate(names):
            if (known.name, known.severity) == (named.name, named.severity):
                return Term("is", index=index)
        names.append(named)
        return Term("is", index=len(names) - 1)
    if isinstance(node, exp.Condition) and not isinstance(node, exp.Func):
        fail(
            node,
            "a rule without `kpi` is a condition over other rules",
            "combine rules with and, or, not; or name the `kpi` whose value it tests",
        )
    refuse_unsupported(text, node)


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to another rule; or, with `rule` "", to whether a KPI misses its target."""

    name: str
    rule: str
    kpi: str
    severity: Severity | None


def is_composite(model: RuleSpec) -> bool:
    """Whether a rule is over other rules."""
    return model.kpi is None


def texts(written: str | dict[Severity, str] | None) -> Mapping[Severity | None, str]:
    """Written conditions by severity; the key None: one for all severities."""
    if written is None:
        return {}
    return {None: written} if isinstance(written, str) else dict(written.items())


def conditions(model: RuleSpec) -> Iterator[tuple[Place, Literal["when", "clear"], str]]:
    """Every condition of a rule and its overrides, with its place."""
    for at, spec in model.placed():
        keys: tuple[Literal["when", "clear"], ...] = ("when", "clear")
        for key in keys:
            for severity, text in texts(getattr(spec, key)).items():
                yield (*at, key) if severity is None else (*at, key, severity), key, text


def severities_of(model: RuleSpec) -> frozenset[Severity] | None:
    """The severities that a rule can fire with; None: those of the published burn rates."""
    severities: set[Severity] = set()
    for spec in (model, *map(model.overridden, model.overrides)):
        conditions = [w for w in (spec.when, spec.no_data_for) if w is not None]
        if not conditions and model.objective is not None:
            return None
        for written in conditions:
            if isinstance(written, dict):
                severities |= set(written)
        if not any(isinstance(written, dict) for written in conditions):
            severities.add(spec.severity or "warning")
    return frozenset(severities)


class Links:
    """The references of all rules, as far as names are declared and conditions can be read."""

    def __init__(self, declared: Declared, shapes: Mapping[str, Shape]) -> None:
        self._declared = declared
        self._shapes = shapes
        self.dependencies = {
            name: tuple(self._dependencies(e)) for name, e in declared.rules.items()
        }
        self.depends = {name: tuple(self._depends(e)) for name, e in declared.rules.items()}

    def _dependencies(self, entry: Entry[RuleSpec]) -> Iterator[Link]:
        seen: set[Link] = set()
        for _, _, text in conditions(entry.model) if is_composite(entry.model) else ():
            try:
                names = compile_composite(text).names
            except SqlProblem:
                continue
            for named in names:
                link = self.link(named.name, named.severity)
                if link is not None and link not in seen:
                    seen.add(link)
                    yield link

    def link(self, name: str, severity: str | None) -> Link | None:
        """The reference of a name in a condition; None: the name is not declared."""
        if name in self._declared.rules:
            kpi = self._declared.rules[name].model.kpi or ""
            return Link(name, name, kpi, cast("Severity | None", severity))
        if name in self._declared.kpis and severity is None:
            return Link(name, "", name, None)
        return None

    def _depends(self, entry: Entry[RuleSpec]) -> Iterator[Link]:
        seen = set()
        for name in entry.model.depends_on or ():
            for rule in self.rules_behind(name):
                if rule not in seen and rule != entry.name:
                    seen.add(rule)
                    yield Link(rule, rule, self._declared.rules[rule].model.kpi or "", None)

    def rules_behind(self, name: str) -> list[str]:
        """The rules that a name in `depends_on` means."""
        rules = self._declared.rules
        if name in rules:
            return [name]
        absence_rules = [n for n, rule in rules.items() if rule.model.no_data_for is not None]
        if name in self._declared.kpis:
            return [n for n in absence_rules if rules[n].model.kpi == name]
        return [n for n in absence_rules if self.is_whole(n) and self._event_of(n) == name]

    def _event_of(self, rule: str) -> object:
        kpi = self._declared.kpis.get(self._declared.rules[rule].model.kpi or "")
        return kpi.model.from_ if kpi else None

    def is_whole(self, rule: str) -> bool:
        """Whether a rule watches a KPI as a whole."""
        model = self._declared.rules[rule].model
        if model.no_data_for is None:
            return False
        shape = self._shapes.get(model.kpi or "")
        return (model.per or ("series" if shape and shape.by else "kpi")) == "kpi"

    def order(self) -> list[str]:
        """The rules in dependency order. There must be no cycle."""
        done: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in done:
                for link in (*self.dependencies[name], *self.depends[name]):
                    if link.rule:
                        visit(link.rule)
                done[name] = None

        for name in self._declared.rules:
            visit(name)
        return list(done)

    def cycle(self, name: str) -> list[str] | None:
        """The path from a rule back to itself, if there is one."""

        def search(path: list[str], seen: set[str]) -> list[str] | None:
            for link in (*self.dependencies[path[-1]], *self.depends[path[-1]]):
                if link.rule == name:
                    return [*path, name]
                if link.rule and link.rule not in seen:
                    seen.add(link.rule)
                    cycle = search([*path, link.rule], seen)
                    if cycle:
                        return cycle
            return None

        return search([name], {name})

    def by(self, rule: str, path: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The dimensions of a rule's series: for a composite rule, those that all its inputs
        share."""
        model = self._declared.rules[rule].model
        if not is_composite(model):
            shape = self._shapes.get(model.kpi or "")
            return () if shape is None or self.is_whole(rule) else shape.by
        if rule in path:
            return ()
        every = [self._by_of(link, (*path, rule)) for link in self.dependencies[rule]]
        return tuple(d for d in every[0] if all(d in by for by in every)) if every else ()

    def _by_of(self, link: Link, path: tuple[str, ...] = ()) -> tuple[str, ...]:
        if link.rule:
            return self.by(link.rule, path)
        return self._shapes[link.kpi].by if link.kpi in self._shapes else ()

    def input_kpis(self, rule: str) -> frozenset[str]:
        """The KPIs whose series a rule depends on, directly or through other rules; without those
        that are watched as a whole, which are known in every partition."""
        subjects: set[str] = set()
        visited = {rule}
        queue = [*self.dependencies[rule], *self.depends[rule]]
        model = self._declared.rules[rule].model
        if model.kpi and not self.is_whole(rule):
            subjects.add(model.kpi)
        while queue:
            link = queue.pop()
            if link.kpi and not (link.rule and self.is_whole(link.rule)):
                subjects.add(link.kpi)
            if link.rule and link.rule not in visited:
                visited.add(link.rule)
                queue += [*self.dependencies[link.rule], *self.depends[link.rule]]
        return frozenset(subjects)

    def dependency(self, link: Link, by: tuple[str, ...]) -> RuleRef:
        """The compiled reference, for a rule whose series have these dimensions."""
        theirs = self._by_of(link)
        shared = [d for d in by if d in theirs]
        rule = self._declared.rules[link.rule].model if link.rule else None
        return RuleRef(
            name=link.name if link.severity is None else f"{link.name}.{link.severity}",
            subject=link.kpi if rule is None or rule.kpi else RULE_SUBJECT + link.rule,
            rule=link.rule,
            severity=link.severity,
            whole=bool(link.rule) and self.is_whole(link.rule),
            theirs=tuple(theirs.index(d) for d in shared),
            ours=tuple(by.index(d) for d in shared),
        )
