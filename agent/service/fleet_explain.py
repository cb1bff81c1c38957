"""Explanations over the series of all workers: those held here, and what the others reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.core.model.rules import Rule, is_whole
from agent.core.output.messages import Json
from agent.core.output.series_selector import Selector, selects
from agent.core.placement import partition_of
from agent.explain.document import explanations, refuse_private, wanted
from agent.kafka.merge_stage import MergeStage


async def explain_held(
    plan: Plan, merge: MergeStage | None, rule: str, series: str
) -> tuple[frozenset[int], int, list[Json]]:
    """How a rule stands over the series held here: of which state partitions, how many series, and
    the most urgent ones. Raises RulesError for what is not declared or about single people."""
    declared, asked = wanted(plan, rule, series)
    refuse_private(plan, declared)
    mergers = await merge.mergers() if merge is not None else []
    # While the rules change, the stage that runs by the old ones says nothing of the new.
    own = [merger for merger in mergers if merger.plan is plan]
    if merge is None or not own:
        return frozenset(), 0, []
    explained, count = explanations(plan, own, declared, asked)
    return merge.partitions, count, [document for _, document in explained]


def partitions_of(
    plan: Plan, rule: Rule, asked: Selector, series: Iterable[SeriesView], partitions: int
) -> frozenset[int]:
    """The state partitions, of so many, of the series that a rule watches and a selector has."""
    whole = is_whole(rule)
    by: Sequence[str] = () if whole else plan.subject_of(rule).by
    places = {
        partition_of(plan, view.kpi, view.dimensions, partitions)
        for view in series
        if view.kpi == rule.kpi
        and (view.dimensions is None) == whole
        and (whole or selects(asked, by, view.dimensions or ()))
    }
    return frozenset(place for place in places if place is not None)
