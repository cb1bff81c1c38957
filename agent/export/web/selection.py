"""The selection of KPIs, series and alerts on the board, from query parameters.

q            words, each of which must be in the title, name, owner, team or objectives of a KPI, or
             in one of its series
owner, team, objective    of the KPI; of alerts also the owner and team of their rule
series       dimensions, as in the addresses of series: `region=emea,channel=web`
state        of the KPI, by its selected series
limit        the number of KPIs, at most MOST_KPIS
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.core.model.events import Scalar
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.core.output.series_selector import parse_selector, selector_text, selects
from agent.errors import RulesError
from agent.export.agent_state import Alert
from agent.export.web.shown import STATES, Json, dimension_text, series_text

KPIS = 24
"""The default of `limit`."""
MOST_KPIS = 500
MOST_CHARS = 200
"""Of each parameter; those of the board are shorter."""
MOST_DIMENSIONS = 5
"""Dimensions that are offered as filters: those of the most KPIs."""
MOST_VALUES = 60
"""Dimensions with more values are not offered as filters; the search finds them."""


class BadQuery(ValueError):
    """Invalid parameters of a request; the text names valid ones."""

    status = 400


class NoSuchPage(BadQuery):
    """Nothing is at this address; the text says what there is."""

    status = 404


@dataclass(frozen=True, slots=True)
class Selection:
    """The selection of a client; the key of the board's cache."""

    words: tuple[str, ...] = ()
    owner: str = ""
    team: str = ""
    objective: str = ""
    series: tuple[tuple[str, str | None], ...] = ()
    state: str = ""
    limit: int = KPIS

    @classmethod
    def parse(cls, query: Mapping[str, str], plan: Plan) -> Selection:
        """Parse query parameters; unknown ones are ignored. Raises BadQuery."""
        parameters = {name: value[:MOST_CHARS] for name, value in query.items()}
        state, limit = parameters.get("state", ""), parameters.get("limit") or str(KPIS)
        if state and state not in STATES:
            raise BadQuery(f"there is no state {state!r}: {', '.join(STATES)} are")
        if not (limit.isascii() and limit.isdecimal() and int(limit)):
            raise BadQuery(f"limit is a number from 1 to {MOST_KPIS}, not {limit!r}")
        try:
            selector = parameters.get("series", "")
            series = parse_selector(selector, _dimensions(plan), "the KPIs")
        except RulesError as error:
            raise BadQuery(str(error)) from error
        return cls(
            tuple(parameters.get("q", "").lower().split()),
            parameters.get("owner", ""),
            parameters.get("team", ""),
            parameters.get("objective", ""),
            tuple(sorted(series.items())),
            state,
            min(int(limit), MOST_KPIS),
        )

    def series_of(
        self, plan: Plan, kpi: Kpi, views: Sequence[SeriesView]
    ) -> Sequence[SeriesView] | None:
        """The selected series of a KPI; None: the KPI is not selected."""
        owner, objectives = kpi.owner or kpi.team or "", plan.objective_titles(kpi.name)
        if not self._matches_owner(owner, kpi.team or "", objectives) or not self._has_dimensions(
            kpi
        ):
            return None
        known = " ".join((kpi.title, kpi.name, owner, kpi.team or "", *objectives)).lower()
        words = [word for word in self.words if word not in known]
        if not words and not self.series:
            return views
        return [v for v in views if self._selects(kpi, v) and _matches(v, words)] or None

    def has_alert(self, plan: Plan, alert: Alert) -> bool:
        """Whether an alert is selected; `q` and `state` do not apply to alerts."""
        kpi, rule = plan.subject(alert.kpi), plan.rules.get(alert.rule)
        owners = {d.owner or d.team or "" for d in (kpi, rule) if d is not None}
        teams = {d.team or "" for d in (kpi, rule) if d is not None}
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

    def _matches_owner(self, owner: str, team: str, objectives: Sequence[str]) -> bool:
        return (
            self.owner in ("", owner)
            and self.team in ("", team)
            and self.objective in ("", *objectives)
        )

    def _has_dimensions(self, kpi: Kpi) -> bool:
        return all(name in kpi.by for name, _ in self.series)

    def _selects(self, kpi: Kpi, shown: SeriesView | Alert) -> bool:
        return self._has_dimensions(kpi) and selects(
            dict(self.series), kpi.by, shown.dimensions or ()
        )


def choices_json(
    plan: Plan, held: Mapping[str, Sequence[SeriesView]], selection: Selection
) -> Json:
    """The values for parameters: `owner`, `team` and `objective` as lists, and `series` as
    [{name, chosen, values: [{series, text}]}], where `series` is a value of the parameter."""
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
    choices = []
    for name in offered[:MOST_DIMENSIONS]:
        current = selector_text({name: chosen[name]}) if name in chosen else ""
        few = values[name] if len(values[name]) <= MOST_VALUES else set()
        texts = {selector_text({name: value}): dimension_text(value) for value in few}
        if current:
            texts.setdefault(current, dimension_text(chosen[name]))
        listed = [{"series": key, "text": texts[key]} for key in sorted(texts)]
        choices.append({"name": name, "chosen": current, "values": listed})
    return choices


def _dimensions(plan: Plan) -> list[str]:
    return sorted({name for kpi in plan.kpis.values() for name in kpi.by})


def _matches(view: SeriesView, words: Sequence[str]) -> bool:
    """Whether all words are in the text of a series."""
    text = series_text(view.dimensions).lower() if words else ""
    return all(word in text for word in words)
