"""Which KPIs, series and alerts a reader of the board asks for, from its address.

q            words, each in what a KPI is called (title, name, owner, team, objectives) or in one
             series of it
owner, team, objective    of the KPI; alerts also by their rule's owner and team
series       dimensions, as in the addresses of series: `region=emea,channel=web`
state        the KPI's, as to the series that are asked for
limit        the most KPIs, at most MOST_KPIS
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.model.events import Scalar
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.core.output.series_selector import parse_selector, selector_text, selects
from agent.errors import RulesError
from agent.export.agent_state import Alert
from agent.export.web.series_text import dimension_text, series_text
from agent.export.web.states import STATES

Json = dict[str, Any]

KPIS = 24
"""KPIs that are sent where no number is asked for."""
MOST_KPIS = 500
MOST_CHARS = 200
"""Of each value: an address is not longer where it comes from the board."""
MOST_DIMENSIONS = 5
"""Dimensions that are offered: those of the most KPIs."""
MOST_VALUES = 60
"""A dimension of more values is not offered: it is searched for."""


class BadSelection(ValueError):
    """An address that can't be answered; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; hashable, as boards are kept by it."""

    words: tuple[str, ...] = ()
    owner: str = ""
    team: str = ""
    objective: str = ""
    series: tuple[tuple[str, str | None], ...] = ()
    state: str = ""
    limit: int = KPIS

    @classmethod
    def parse(cls, query: Mapping[str, str], plan: Plan) -> Selection:
        """From an address' parameters; those of other names are ignored. Raises BadSelection."""
        asked = {name: value[:MOST_CHARS] for name, value in query.items()}
        state, limit = asked.get("state", ""), asked.get("limit") or str(KPIS)
        if state and state not in STATES:
            raise BadSelection(f"there is no state {state!r}: {', '.join(STATES)} are")
        if not (limit.isascii() and limit.isdecimal() and int(limit)):
            raise BadSelection(f"limit is a number from 1 to {MOST_KPIS}, not {limit!r}")
        try:
            series = parse_selector(asked.get("series", ""), _dimensions(plan), "the KPIs")
        except RulesError as error:
            raise BadSelection(str(error)) from error
        return cls(
            tuple(asked.get("q", "").lower().split()),
            asked.get("owner", ""),
            asked.get("team", ""),
            asked.get("objective", ""),
            tuple(sorted(series.items())),
            state,
            min(int(limit), MOST_KPIS),
        )

    def series_of(
        self, plan: Plan, kpi: Kpi, views: Sequence[SeriesView]
    ) -> Sequence[SeriesView] | None:
        """Those of a KPI's series that are asked for; None where the KPI is not."""
        owner, objectives = kpi.owner or kpi.team or "", plan.objective_titles(kpi.name)
        if not self._is_of(owner, kpi.team or "", objectives) or not self._has_dimensions(kpi):
            return None
        known = " ".join((kpi.title, kpi.name, owner, kpi.team or "", *objectives)).lower()
        words = [word for word in self.words if word not in known]
        if not words and not self.series:
            return views
        return [v for v in views if self._selects(kpi, v) and _says(v, words)] or None

    def has_alert(self, plan: Plan, alert: Alert) -> bool:
        """Whether an alert is of what is asked for, whatever the words and the state."""
        kpi, rule = plan.subject(alert.kpi), plan.rules.get(alert.rule)
        owners = {of.owner or of.team or "" for of in (kpi, rule) if of is not None}
        teams = {of.team or "" for of in (kpi, rule) if of is not None}
        if (self.owner and self.owner not in owners) or (self.team and self.team not in teams):
            return False
        if self.objective and (
            kpi is None or self.objective not in plan.objective_titles(kpi.name)
        ):
            return False
        if not self.series:
            return True
        fits = kpi is not None and len(kpi.by) == len(alert.dimensions or ())
        return kpi is not None and fits and self._selects(kpi, alert)

    def _is_of(self, owner: str, team: str, objectives: Sequence[str]) -> bool:
        return (
            self.owner in ("", owner)
            and self.team in ("", team)
            and self.objective in ("", *objectives)
        )

    def _has_dimensions(self, kpi: Kpi) -> bool:
        return all(name in kpi.by for name, _ in self.series)

    def _selects(self, kpi: Kpi, of: SeriesView | Alert) -> bool:
        return self._has_dimensions(kpi) and selects(dict(self.series), kpi.by, of.dimensions or ())


def choices_json(
    plan: Plan, held: Mapping[str, Sequence[SeriesView]], selection: Selection
) -> Json:
    """What can be asked for: `owner`, `team` and `objective` as lists, and `series` as
    [{name, chosen, values: [{series, text}]}], `series` as an address has it."""
    kpis = plan.kpis.values()
    return {
        "owner": sorted({kpi.owner or kpi.team or "" for kpi in kpis} - {""}),
        "team": sorted({kpi.team for kpi in kpis if kpi.team}),
        "objective": sorted({title for kpi in kpis for title in plan.objective_titles(kpi.name)}),
        "series": _dimension_choices(plan, held, dict(selection.series)),
    }


def _dimension_choices(
    plan: Plan, held: Mapping[str, Sequence[SeriesView]], chosen: Mapping[str, str | None]
) -> list[Json]:
    values: dict[str, set[Scalar]] = defaultdict(set)
    kpis: dict[str, int] = defaultdict(int)
    for kpi in plan.kpis.values():
        series = [view.dimensions for view in held[kpi.name] if view.dimensions]
        for index, name in enumerate(kpi.by):
            kpis[name] += 1
            values[name].update(dimensions[index] for dimensions in series)
    offered = [name for name in kpis if 1 < len(values[name]) <= MOST_VALUES or name in chosen]
    offered.sort(key=lambda name: (name not in chosen, -kpis[name], name))
    made = []
    for name in offered[:MOST_DIMENSIONS]:
        now = selector_text({name: chosen[name]}) if name in chosen else ""
        few = values[name] if len(values[name]) <= MOST_VALUES else set()
        texts = {selector_text({name: value}): dimension_text(value) for value in few}
        if now:
            texts.setdefault(now, dimension_text(chosen[name]))
        listed = [{"series": key, "text": texts[key]} for key in sorted(texts)]
        made.append({"name": name, "chosen": now, "values": listed})
    return made


def _dimensions(plan: Plan) -> list[str]:
    return sorted({name for kpi in plan.kpis.values() for name in kpi.by})


def _says(view: SeriesView, words: Sequence[str]) -> bool:
    text = series_text(view.dimensions).lower() if words else ""
    return all(word in text for word in words)
