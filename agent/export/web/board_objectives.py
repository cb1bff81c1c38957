"""The objectives of the board, and those of one KPI, with their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agent.core.evaluate.objectives import Score, in_tree_order
from agent.core.model.plan import Plan
from agent.core.model.results import finite
from agent.core.model.text import percent_text
from agent.core.output.addresses import kpi_path
from agent.export.web.shown import Json


def objectives_json(
    plan: Plan, scores: Mapping[str, Score], states: Mapping[str, str]
) -> list[Json]:
    """All objectives as the board shows them, each before its parts; `states`: by KPI."""
    rows = []
    for objective in in_tree_order(plan.objectives):
        scored = scores.get(objective.name, Score())
        score = finite(scored.value)
        kpis = [
            {
                "name": name,
                "title": plan.kpis[name].title,
                "weight": percent_text(weight * 100, digits=0),
                "state": states[name],
                "path": kpi_path(name),
            }
            for name, weight in objective.kpis.items()
            if name in plan.kpis
        ]
        rows.append(
            {
                "name": objective.name,
                "title": objective.title,
                "description": objective.description,
                "owner": objective.owner or "",
                "score": score,
                "text": _score_text(score),
                "state": str(scored.state),
                "trend": scored.trend,
                "trend_text": _trend_text(scored),
                "objectives": [
                    {
                        "name": name,
                        "title": plan.objectives[name].title,
                        "weight": percent_text(weight * 100, digits=0),
                        "state": str(scores.get(name, Score()).state),
                    }
                    for name, weight in objective.objectives.items()
                ],
                "kpis": kpis,
            }
        )
    return rows


def objectives_of_kpi(plan: Plan, scores: Mapping[str, Score], kpi: str) -> list[Json]:
    """The objectives that a KPI serves: [{name, title, owner, text, state, trend_text, weight,
    path}], `weight` "" where the KPI only names the objective; `path` is relative to the board."""
    rows = []
    for name in plan.objectives_of(kpi):
        objective, scored = plan.objectives[name], scores.get(name, Score())
        weight = objective.kpis.get(kpi)
        rows.append(
            {
                "name": name,
                "title": objective.title,
                "owner": objective.owner or objective.team or "",
                "text": _score_text(finite(scored.value)),
                "state": str(scored.state),
                "trend_text": _trend_text(scored),
                "weight": "" if weight is None else percent_text(weight * 100, digits=0),
                "path": f"#objective-{name}",
            }
        )
    return rows


def _trend_text(score: Score) -> str:
    """The trend of a score for people: "up 3.2 points"; "" where it is not known."""
    if score.trend is None or score.change is None:
        return ""
    if score.trend == "flat":
        return "steady"
    points = f"{abs(score.change) * 100:.1f}".removesuffix(".0")
    return f"{score.trend} {points} {'point' if points == '1' else 'points'}"


def _score_text(score: float | None) -> str:
    if score is None:
        return "–"
    # Rounded down, so that only an objective that is fully met has 100 %.
    return percent_text(math.floor(score * 1000 + 1e-6) / 10, digits=0 if score >= 1 else 1)
