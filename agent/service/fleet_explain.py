"""Explanations over the series of all workers: those held here, and what the others reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.core.model.rules import Rule, is_whole
from agent.core.output.messages import Json
from agent.core.output.series_selector import Selector, selects
from agent.core.placement import partition_of
from agent.explain.document import explanations, refuse_private, rule_and_selector
from agent.kafka.merge_stage import MergeStage


async def explain_held(
    plan: Plan, merge: MergeStage | None, rule: str, series: str
) -> tuple[frozenset[int], int, list[Json]]:
    """Explain a rule for the series held here: their state partitions, how many series, and the
    most urgent ones. Raises RulesError for what is not declared or about single people."""
    declared, selector = rule_and_selector(plan, rule, series)
    refuse_private(plan, declared)
    mergers = await merge.mergers() if merge is not None else []
    # During a reload, a stage may still run by the old rules.
    own = [merger for merger in mergers if merger.plan is plan]
    if merge is None or not own:
        return frozenset(), 0, []
    explained, count = explanations(plan, own, declared, selector)
    return merge.partitions, count, [document for _, document in explained]


def partitions_of(
    plan: Plan, rule: Rule, selector: Selector, series: Iterable[SeriesView], partitions: int
) -> frozenset[int]:
    """The state partitions (of `partitions`) of the series that a rule watches and a selector
    selects."""
    whole = is_whole(rule)
    by: Sequence[str] = () if whole else plan.subject_of(rule).by
    of_series = {
        partition_of(plan, view.kpi, view.dimensions, partitions)
        for view in series
        if view.kpi == rule.kpi
        and (view.dimensions is None) == whole
        and (whole or selects(selector, by, view.dimensions or ()))
    }
    return frozenset(partition for partition in of_series if partition is not None)
