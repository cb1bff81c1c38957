"""Inhibition rules for Alertmanager: an alert that says what to do inhibits what follows from it.

- The more urgent severity of a rule inhibits the others of the same series.
- A missing feed inhibits the rules over what is computed from it: without events they say nothing
  new. Only the absence of a KPI without `where` is the absence of its feed.
- A missed objective inhibits the warnings of its KPIs that go to the same team; never critical
  alerts, because somebody has to act on that very series.
- The absence of all agents inhibits what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.rules import SEVERITIES, AbsenceRule
from agent.core.output.labels import severities
from agent.generate.agent_alerts import OBJECTIVE_MISSED

Entry = dict[str, object]

SAME = ["alertname", "kpi", "series", "topic", "job"]
"""What is equal in two levels of one alert. Where both lack a label, that counts as equal."""


def inhibit_rules(plan: Plan, external: Sequence[str] = ()) -> list[Entry]:
    """The `inhibit_rules` of an Alertmanager's configuration. `external`: the names of the labels
    that keep environments apart; no alert holds back one of another environment."""
    rules = [*_levels(), *_feeds(plan), *_objectives(plan), _no_agent()]
    for entry in rules if external else ():
        entry["equal"] = [*cast("list[str]", entry.get("equal", [])), *external]
    return rules


def _levels() -> Iterator[Entry]:
    for n, severity in enumerate(SEVERITIES[:-1]):
        yield {
            "source_matchers": [f'severity="{severity}"'],
            "target_matchers": [_among("severity", SEVERITIES[n + 1 :])],
            "equal": SAME[:],
        }


def _feeds(plan: Plan) -> Iterator[Entry]:
    """A missing feed inhibits the rules over KPIs that are computed from it.

    A rule per series inhibits only over KPIs that are split by the same dimensions, and only series
    that agree in them.
    """
    for rule in sorted(plan.rules.values(), key=lambda r: r.name):
        kpi = plan.kpis.get(rule.kpi)
        if kpi is None or not isinstance(rule, AbsenceRule):
            continue
        if kpi.contract is None or kpi.where is not None:
            continue
        fed = [k for k in plan.kpis.values() if kpi.contract in plan.contracts_under(k.name)]
        source = [f'alertname="{rule.name}"', f'rule="{rule.name}"']
        if rule.per == "kpi":
            yield from _held_back(source, [_among("rule", _echoes(plan, rule, fed))], [])
            stale = ['alertname="KpiStale"', _among("kpi", sorted(k.name for k in fed))]
            yield from _held_back(source, [*stale], [])
        else:
            split = [k for k in fed if set(kpi.by) <= set(k.by)]
            yield from _held_back(
                source, [_among("rule", _echoes(plan, rule, split))], sorted(kpi.by)
            )


def _held_back(source: list[str], target: list[str | None], equal: list[str]) -> Iterator[Entry]:
    if None not in target:
        # A list of its own: YAML would write an alias for one that it has seen.
        entry: Entry = {"source_matchers": source[:], "target_matchers": target}
        yield entry | ({"equal": equal} if equal else {})


def _echoes(plan: Plan, source: AbsenceRule, kpis: Iterable[Kpi]) -> list[str]:
    """The rules over these KPIs that an absence says more than.

    Two absences must not hold each other back; that of a whole KPI comes before those of series.
    """
    return sorted(
        rule.name
        for kpi in kpis
        for rule in plan.rules_of(kpi.name)
        if not isinstance(rule, AbsenceRule) or (source.per == "kpi" and rule.per == "series")
    )


def _objectives(plan: Plan) -> Iterator[Entry]:
    """A missed objective inhibits the milder alerts of its own KPIs that go to the same team.

    Not those of the objectives below it, and not that of a missing feed, which is a fault to fix,
    not a KPI that falls short.
    """
    mild = ("warning", "info")
    for name in sorted(plan.objectives):
        rules = sorted(
            rule.name
            for rule in plan.rules.values()
            if name in plan.objectives_of(rule.kpi)
            and not isinstance(rule, AbsenceRule)
            and set(mild) & set(severities(rule))
        )
        source = [f'alertname="{OBJECTIVE_MISSED}"', f'objective="{name}"']
        yield from _held_back(source, [_among("rule", rules), _among("severity", mild)], ["team"])


def _no_agent() -> Entry:
    return {
        "source_matchers": ['alertname="KpiAgentAbsent"'],
        "target_matchers": ['alertname=~"KpiAgentDown|KpiAgentNotReady|KpiAgentNoEvents|KpiStale"'],
    }


def _among(label: str, values: Iterable[str]) -> str | None:
    """A matcher for any of the values; None if there are none."""
    listed = list(values)
    if not listed:
        return None
    return f'{label}="{listed[0]}"' if len(listed) == 1 else f'{label}=~"{"|".join(listed)}"'
