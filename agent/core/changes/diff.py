"""The effects of a rule change before it is applied: the outlines of two plans, compared.

Declarations are compared part by part (`outline.py`). The effects are reported separately: metrics
that appear, vanish or get another name or other labels; state that is kept or starts over, by
`Kpi.fingerprint`, with the part that is the reason; alerts that are new, end or start over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.core.changes.describe import WORDS, Parts
from agent.core.changes.outline import HIDDEN, Outline, RuleOutline
from agent.core.model.rules import Severity
from agent.core.model.text import duration

Kind = Literal["added", "removed", "renamed", "changed"]

_TEXT_PARTS = frozenset({"title", "description", "summary", "runbook", "owner", "team"})
"""Parts for people, without an effect on results: a declaration that is renamed may differ in
them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that differs: its text before and after, None where it is not declared."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A declaration that is added, removed, changed or renamed (`was`: its former name)."""

    section: str
    name: str
    kind: Kind
    parts: tuple[Part, ...] = ()
    was: str | None = None


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric that appears or vanishes, or has another name or other labels (`changed`): with
    either, all its series are new ones. `labels` are without those that all metrics have (`kpi`,
    `band`)."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    was: str | None = None
    labels_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KpiStateEffect:
    """The effect on a KPI's state: it is kept, or starts over for these reasons."""

    kpi: str
    reasons: tuple[Part, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether history, open windows and alerts are kept."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class BackfillEffect:
    """A KPI that is backfilled (`is_read`), or whose `backfill` has no effect because it already
    has state. `span`: how far back, as in YAML."""

    kpi: str
    span: str
    is_read: bool


@dataclass(frozen=True, slots=True)
class AlertChange:
    """The effect on the alerts of a rule and severity.

    `new`: there were none. `ends`: firing alerts are published as resolved, with the reason
    `removed`. `reset`: they start over with the KPI's state, without being published as resolved.
    `goes on`: they stay pending or firing, and are evaluated by the changed rule.
    """

    rule: str
    severity: Severity
    effect: Literal["new", "ends", "reset", "goes on"]


@dataclass(frozen=True, slots=True)
class Difference:
    """All effects of a rule change, in the order of sections and names."""

    changes: tuple[Change, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    states: tuple[KpiStateEffect, ...] = ()
    alerts: tuple[AlertChange, ...] = ()
    pasts: tuple[BackfillEffect, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


def compare(old: Outline, new: Outline) -> Difference:
    """The effects of replacing `old` by `new`."""
    changes = tuple(_changes(old, new))
    kpis = [c for c in changes if c.section == "kpis"]
    states = tuple(
        KpiStateEffect(name, tuple(_reasons(old, new, name)))
        for name in new.kpis
        if name in old.kpis
    )
    return Difference(
        changes,
        tuple(_metrics(old, new, kpis)),
        states,
        tuple(_alerts(old, new, states)),
        tuple(_backfills(old, new)),
    )


# --- declarations -------------------------------------------------------------------------------


def _changes(old: Outline, new: Outline) -> Iterator[Change]:
    new_names: dict[str, str] = {}  # those of renamed KPIs, by the former ones
    for section, before in old.sections.items():
        after = new.sections[section]
        renamed = _renamed(section, before, after, new_names)
        if section == "kpis":
            new_names = {was: name for name, was in renamed.items()}
        for name in sorted({*before, *after} - set(renamed.values())):
            was = renamed.get(name)
            if name not in after:
                yield Change(section, name, "removed")
            elif name not in before and was is None:
                yield Change(section, name, "added")
            else:
                parts = tuple(_differing(before[was or name], after[name]))
                if parts or was:
                    yield Change(section, name, "renamed" if was else "changed", parts, was)


def _differing(before: Parts, after: Parts) -> Iterator[Part]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Part(name, before.get(name), after.get(name))


def _renamed(
    section: str,
    before: Mapping[str, Parts],
    after: Mapping[str, Parts],
    new_names: Mapping[str, str],
) -> dict[str, str]:
    """The former names of renamed declarations: those whose parts are as before, except texts.

    Events are left out, since their name is the value that producers write. If two declarations
    have the same parts, neither counts as renamed.
    """
    if section == "events":
        return {}
    gone = {_essence(p, new_names): name for name, p in before.items() if name not in after}
    renamed: dict[str, str] = {}
    for name, parts in after.items():
        was = gone.get(_essence(parts, {})) if name not in before else None
        if was is not None:
            renamed[name] = was
    former = list(renamed.values())
    return {name: was for name, was in renamed.items() if former.count(was) == 1}


def _essence(parts: Parts, new_names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The parts that stay the same when a declaration is renamed; KPIs by their new names."""
    kpi = parts.get("kpi")
    if kpi is not None:
        parts = {**parts, "kpi": new_names.get(kpi, kpi)}
    return tuple(sorted((name, text) for name, text in parts.items() if name not in _TEXT_PARTS))


# --- metrics -----------------------------------------------------------------------------------


def _metrics(old: Outline, new: Outline, changes: Iterable[Change]) -> Iterator[MetricChange]:
    for change in changes:
        before = old.kpis.get(change.was or change.name)
        after = new.kpis.get(change.name)
        was, now = before.metrics if before else {}, after.metrics if after else {}
        for middle in ("", "current", "target"):
            first, second = was.get(middle), now.get(middle)
            by = after.by if after else ()
            former = before.by if before else ()
            if first is None and second is not None:
                yield MetricChange(second, "added", by)
            elif second is None and first is not None:
                yield MetricChange(first, "removed", former)
            elif first is not None and second is not None and first != second:
                yield MetricChange(second, "renamed", by, first, former)
            elif second is not None and former != by:
                yield MetricChange(second, "changed", by, None, former)


# --- state -------------------------------------------------------------------------------------


def _reasons(old: Outline, new: Outline, name: str) -> Iterator[Part]:
    """Why a KPI's state starts over; nothing if it is kept."""
    before, after = old.kpis[name], new.kpis[name]
    if before.fingerprint == after.fingerprint:
        return
    parts = list(_differing(before.carried, after.carried))
    for kpi in sorted(set(before.inputs) & set(after.inputs)):
        if old.kpis[kpi].fingerprint != new.kpis[kpi].fingerprint:
            parts.append(Part(f"from.{kpi}", "as it was", "starts over"))
    yield from parts or [Part("fingerprint", before.fingerprint, after.fingerprint)]


def _backfills(old: Outline, new: Outline) -> Iterator[BackfillEffect]:
    for name, kpi in new.kpis.items():
        if kpi.backfill_ms is None:
            continue
        before = old.kpis.get(name)
        is_read = before is None or before.fingerprint != kpi.fingerprint
        if is_read or before is None or before.backfill_ms != kpi.backfill_ms:
            yield BackfillEffect(name, duration(kpi.backfill_ms), is_read)


# --- alerts ------------------------------------------------------------------------------------


def _alerts(old: Outline, new: Outline, states: Iterable[KpiStateEffect]) -> Iterator[AlertChange]:
    reset = {state.kpi for state in states if not state.kept}
    before, after = _levels(old), _levels(new)
    for key in sorted({*before, *after}):
        rule, severity = key
        was, now = before.get(key), after.get(key)
        if was is None or now is None or (was.kpi, was.kind) != (now.kpi, now.kind):
            if was is not None:
                yield AlertChange(rule, severity, "ends")
            if now is not None:
                yield AlertChange(rule, severity, "new")
        elif now.kpi in reset:
            yield AlertChange(rule, severity, "reset")
        elif old.sections["rules"][rule] != new.sections["rules"][rule]:
            yield AlertChange(rule, severity, "goes on")


def _levels(outline: Outline) -> dict[tuple[str, Severity], RuleOutline]:
    return {
        (name, severity): rule
        for name, rule in outline.rules.items()
        for severity in rule.severities
    }


# --- in words ----------------------------------------------------------------------------------


def summary(difference: Difference) -> str:
    """The change in one line: `1 KPI added, 2 rules changed; the state of orders starts over`."""
    if not difference:
        return "nothing changes"
    counts = []
    for section in dict.fromkeys(change.section for change in difference.changes):
        singular, plural = WORDS.get(section, (section, section))
        for kind in ("added", "removed", "renamed", "changed"):
            count = sum(c.section == section and c.kind == kind for c in difference.changes)
            if count:
                counts.append(f"{count} {singular if count == 1 else plural} {kind}")
    reset = [state.kpi for state in difference.states if not state.kept]
    read = [past for past in difference.pasts if past.is_read]
    kept = f"; the state of {', '.join(reset)} starts over" if reset else "; all state is kept"
    backfills = "".join(f"; {past.kpi} is backfilled ({past.span})" for past in read)
    return ", ".join(counts) + kept + backfills


def part_text(part: Part) -> str:
    """`for: 10m → 20m`; a part that is not declared is `–`."""
    return f"{part.name}: {_short(part.before)} → {_short(part.after)}"


def _short(text: str | None) -> str:
    return "–" if text is None else " ".join(text.split())


MOST_PARTS = 5
MOST_CHARS = 200
"""The most characters of one part: a condition may be long."""


def changes_by_kpi(old: Outline, new: Outline, difference: Difference) -> dict[str, str]:
    """By KPI, the changes of it and of its rules: `target: at most 4m → at most 3m; rule slow
    added`. Private KPIs and rules are left out."""
    about: dict[str, list[str]] = defaultdict(list)
    for change in difference.changes:
        if any(part.name == HIDDEN for part in change.parts):
            continue
        if change.section == "kpis":
            about[change.name] += _words(change, "")
        elif change.section == "rules":
            rule = new.rules.get(change.name) or old.rules[change.was or change.name]
            about[rule.kpi] += _words(change, f"rule {change.name}")
    return {kpi: _joined(words) for kpi, words in about.items() if kpi in new.kpis}


def is_general(difference: Difference) -> bool:
    """Whether a declaration changed that may affect any KPI: events, lookups, maintenance."""
    own = ("kpis", "rules", "objectives")
    return any(change.section not in own for change in difference.changes)


def _words(change: Change, name: str) -> Iterator[str]:
    if change.was is not None:
        yield f"{name} was called {change.was}".strip()
    elif change.kind != "changed":
        yield f"{name} {change.kind}".strip()
    prefix = f"{name}, " if name else ""
    yield from (f"{prefix}{part_text(part)[:MOST_CHARS]}" for part in change.parts)


def _joined(words: list[str]) -> str:
    rest = len(words) - MOST_PARTS
    return "; ".join(words[:MOST_PARTS]) + (f"; and {rest} more" if rest > 0 else "")
