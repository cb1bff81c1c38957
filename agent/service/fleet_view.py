"""The series held here and those of all other workers as one fleet, for the exports.

The series held here come from the merge stage, always current; those of other workers from the
board topic. What was read is used again for FRESH_SECONDS: scrapes and boards come at the same
time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from agent.core.evaluate.maintenance import maintenance_calendar
from agent.core.evaluate.objectives import Score, earlier_attainment, score_objectives
from agent.core.model.event_counts import RecordCounts
from agent.core.model.kpis import Dimensions, Kpi, SeriesRef
from agent.core.model.plan import Plan
from agent.core.model.results import PastWindows, SeriesView
from agent.core.model.rules import Rule, is_whole
from agent.core.output.messages import Json, PublishedTransition
from agent.core.output.series_selector import Selector, selects
from agent.core.placement import partition_of
from agent.errors import RulesError
from agent.explain.document import (
    explanations,
    most_urgent,
    refuse_private,
    rule_and_selector,
    selector_phrase,
)
from agent.export.agent_state import Alert, RuleChange
from agent.kafka.alert_log import AlertLog
from agent.kafka.board_topic import AlertRow, BoardReader
from agent.kafka.merge_stage import MergeStage
from agent.kafka.rule_sets import ALIVE_MS, this_worker
from agent.service.own_alerts import LastTransitions, OwnAlerts

FRESH_SECONDS = 0.1
"""For how long views of the merge stage are used again. Scrapes show values that are as old as this
plus the flush interval."""


PastReader = Callable[[Kpi, Dimensions | None, int], Awaitable[PastWindows]]


class FleetView:
    """All series, alerts and scores, as this worker knows them (`Fleet` of the exports)."""

    def __init__(
        self, plan: Plan, board: BoardReader, alert_log: AlertLog, past: PastReader
    ) -> None:
        self._plan = plan
        self._board = board
        self._alert_log = alert_log
        self._past = past
        self._merge: MergeStage | None = None
        self._state_partitions = 0
        self._own_alerts = OwnAlerts()
        self._held: list[SeriesView] = []
        self._held_at = 0.0
        self._all: list[SeriesView] = []
        self._all_key: tuple[int, list[SeriesView]] = (-1, self._held)
        self._scores: Mapping[str, Score] = {}
        self._scores_of: list[SeriesView] | None = None
        self._earlier: dict[SeriesRef, tuple[object, float | None]] = {}

    def replan(self, plan: Plan) -> None:
        """Use another plan from now on."""
        self._plan = plan
        self._board.replan(plan)

    def attach(self, merge: MergeStage, state_partitions: int) -> None:
        """Read the series of this worker from a stage, until `detach`."""
        self._merge = merge
        self._state_partitions = state_partitions
        self._held_at = 0.0

    def detach(self) -> None:
        """No stage holds series."""
        self._merge = None
        self._held_at = 0.0

    def emitted(self, transitions: LastTransitions) -> None:
        """A round was published: views are out of date, and these alerts have changed."""
        self._held_at = 0.0
        self._own_alerts.note(transitions)

    def restored(self, transitions: LastTransitions) -> None:
        """Set the alerts of the state partitions that are held from now on."""
        self._own_alerts.restored(transitions)

    def held(self) -> list[SeriesView]:
        """The series held here."""
        now = time.monotonic()
        if now - self._held_at > FRESH_SECONDS:
            self._held = self._merge.views() if self._merge is not None else []
            self._held_at = now
        return self._held

    def all_series(self) -> list[SeriesView]:
        """All series: those held here from the merge stage, the others from the board topic."""
        held = self.held()
        if self._holds_all:
            return held  # there are no others
        changes, known = self._all_key
        # The list itself is kept, not its id: a new list may have the id of a freed one.
        if changes != self._board.changes or known is not held:
            ours = {(v.kpi, v.dimensions) for v in held}
            others = [v for v in self._board.snapshot() if (v.kpi, v.dimensions) not in ours]
            self._all = others + held
            self._all_key = (self._board.changes, held)
        return self._all

    @property
    def _holds_all(self) -> bool:
        merge = self._merge
        return merge is not None and len(merge.partitions) == self._state_partitions

    def is_complete(self) -> bool:
        """Whether the series of all workers are known: all are held here, or the board topic is
        read to its end."""
        return self._holds_all or self._board.complete

    def is_leader(self) -> bool:
        """Whether the first state partition is held here."""
        return self._merge is not None and 0 in self._merge.partitions

    def is_ours(self, series: SeriesRef) -> bool:
        """Whether the series' state partition is held here."""
        if self._merge is None or not self._merge.partitions:
            return False
        partition = partition_of(self._plan, *series, self._state_partitions)
        if partition is None:
            return 0 in self._merge.partitions  # not in the plan: the leader removes it
        return partition in self._merge.partitions

    def scores(self) -> Mapping[str, Score]:
        """The score of each objective, over the series of all workers."""
        plan = self._plan
        if not plan.objectives:
            return {}
        series = self.all_series()
        # A new list of series means new values.
        if self._scores_of is not series or self._scores.keys() != plan.objectives.keys():
            if len(self._earlier) > 2 * len(series):
                self._earlier.clear()  # of series that are gone
            self._scores = score_objectives(plan, series, self._earlier_attainment)
            self._scores_of = series
        return self._scores

    def _earlier_attainment(self, view: SeriesView) -> float | None:
        """`earlier_attainment` of a series; computed once for each window that closes."""
        kpi = self._plan.kpis[view.kpi]
        known = self._earlier.get((view.kpi, view.dimensions))
        if known is None or known[0] is not view.status:
            maintenance = maintenance_calendar(self._plan, kpi)
            before = earlier_attainment(
                view,
                kpi.window.span_ms,
                lambda end: bool(
                    maintenance.covering(view.dimensions, kpi.window.start_of(end), end)
                ),
            )
            known = (view.status, before)
            self._earlier[view.kpi, view.dimensions] = known
        return known[1]

    def own_alerts(self) -> list[Alert] | None:
        """The alerts of the series held here; None while they are not known."""
        if self._merge is None or not self._merge.partitions:
            return None
        rules, own = self._plan.rules, self._own_alerts
        rows = own.over(self._board.alerts()) if self._board.complete else own.without_board()
        return [
            _alert(row)
            for row in rows
            if (rule := rules.get(row.rule)) is not None
            and self.is_ours((row.kpi, None if is_whole(rule) else row.dimensions or ()))
        ]

    def alerts(self) -> list[Alert]:
        """The alerts of all workers, with their texts."""
        return [_alert(row) for row in self._board.alerts()]

    def transitions(self) -> Sequence[PublishedTransition]:
        """The last transitions of all alerts, newest first."""
        return self._alert_log.transitions()

    def other_counts(self, now_ms: int) -> Sequence[RecordCounts]:
        """What each of the other workers that run has counted, by its last row."""
        others = (row for row in self._board.workers() if row.worker != this_worker())
        alive = (row for row in others if now_ms - row.at_ms <= ALIVE_MS)
        return [row.counts for row in alive if row.counts is not None]

    def rule_changes(self) -> Sequence[RuleChange]:
        """The last changes of the rules, oldest first."""
        return [
            RuleChange(change.at_ms, change.text, change.about, change.is_general)
            for change in self._board.rule_history.changes()
        ]

    async def past(self, kpi: Kpi, dimensions: Dimensions | None, since_ms: int) -> PastWindows:
        """The closed windows of a KPI, or of one of its series, since an instant."""
        return await self._past(kpi, dimensions, since_ms)

    async def explain(self, name: str, series: str) -> Json:
        """Explain a rule for the series of all workers: `series`, the most urgent ones, of `count`.

        Raises RulesError for what is not declared, not known, or about single people, and
        EnvironmentFault where the worker that holds a series does not reply.
        """
        plan = self._plan
        held, count, documents = await self.explain_held(name, series)
        parts: list[tuple[int, Sequence[Json]]] = [(count, documents)]
        if elsewhere := self._partitions_of(name, series) - held:
            replies = await self._board.requests.ask(plan.config_hash, name, series, elsewhere)
            parts += [(reply.count, reply.series) for reply in replies]
        documents, count = most_urgent(parts)
        if not documents:
            raise RulesError(f"no series of {name} is known{selector_phrase(series)}")
        return {"count": count, "series": documents}

    def _partitions_of(self, name: str, series: str) -> frozenset[int]:
        """The state partitions whose series an explanation is about; empty where all are here."""
        if self._holds_all:
            return frozenset()
        if not self.is_complete():
            return frozenset(range(self._state_partitions))
        rule, selector = rule_and_selector(self._plan, name, series)
        views = self.all_series()
        return partitions_of(self._plan, rule, selector, views, self._state_partitions)

    async def explain_held(self, name: str, series: str) -> tuple[frozenset[int], int, list[Json]]:
        """Explain a rule for the series held here: their state partitions, how many series, and the
        most urgent ones."""
        return await explain_held(self._plan, self._merge, name, series)


def _alert(row: AlertRow) -> Alert:
    return Alert(
        row.rule, row.severity, row.kpi, row.dimensions or (), row.phase, row.at_ms, row.value,
        row.summary, row.description,
    )  # fmt: skip


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
