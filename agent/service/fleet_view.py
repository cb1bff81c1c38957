"""The series held here and those of all other workers as one company, for the exports."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from agent.core.evaluate.maintenance import maintenance_calendar
from agent.core.evaluate.objectives import Score, earlier_attainment, standing
from agent.core.frame import place_of
from agent.core.model.plan import is_whole
from agent.core.model.results import Emitted, SeriesView
from agent.core.output.messages import Json
from agent.errors import RulesError
from agent.explain.document import asked_text, explanations, refuse_private, wanted
from agent.export.agent_state import AgentState, Alert
from agent.kafka.board_topic import BoardReader, BoardWriter, SeriesId
from agent.kafka.merge_stage import MergeStage

FRESH_SECONDS = 0.1
"""For how long looked-up views serve. Looking again costs what changed since; what a scrape shows
is as old as that and the flush."""


class Company:
    """Answers `AgentState`'s questions; what it looked up serves for an instant."""

    def __init__(self, state: AgentState, view: BoardReader) -> None:
        self._writer: BoardWriter | None = None
        self._state = state
        self._view = view
        self._merge: MergeStage | None = None
        self._state_partitions = 0
        self._held: list[SeriesView] = []
        self._held_at = 0.0
        self._all: list[SeriesView] = []
        self._all_of: tuple[int, list[SeriesView]] = (-1, self._held)
        self._scores: Mapping[str, Score] = {}
        self._scores_of: list[SeriesView] | None = None
        self._earlier: dict[SeriesId, tuple[object, float | None]] = {}
        state.views = self.held
        state.company = self.everyone
        state.company_is_complete = self.is_complete
        state.objective_scores = self.scores
        state.alerts = self.alerts
        state.explain = self.explain

    def begin(self, merge: MergeStage, state_partitions: int, writer: BoardWriter) -> None:
        """The stage that holds this worker's series now, and who writes them to the board."""
        self._merge = merge
        self._writer = writer
        self._state_partitions = state_partitions
        self._held_at = 0.0

    def end(self) -> None:
        """No stage holds series until the next `begin`."""
        self._merge = None
        self._writer = None
        self._held_at = 0.0

    def told(self, closings: Sequence[Emitted]) -> None:
        """Something closed: what was looked up is old."""
        self._held_at = 0.0
        if self._writer is not None:
            self._writer.note_alerts(self._state.plan, closings)

    def held(self) -> list[SeriesView]:
        """The series held here."""
        now = time.monotonic()
        if now - self._held_at > FRESH_SECONDS:
            self._held = self._merge.views() if self._merge is not None else []
            self._held_at = now
            self._state.stats.table_rows = len(self._held)
        return self._held

    def everyone(self) -> list[SeriesView]:
        """All series: those held here as they stand, the others as the board topic tells."""
        held = self.held()
        if self._merge is not None and len(self._merge.partitions) == self._state_partitions:
            return held  # there are no others
        changes, known = self._all_of
        # Kept, and not its id: the next list may come to lie where the last one did.
        if changes != self._view.changes or known is not held:
            ours = {(v.kpi, v.dimensions) for v in held}
            others = [v for v in self._view.snapshot() if (v.kpi, v.dimensions) not in ours]
            self._all = others + held
            self._all_of = (self._view.changes, held)
        return self._all

    def is_complete(self) -> bool:
        """Whether the series of all workers are known: all are held here, or the board topic is
        read to its end."""
        merge = self._merge
        holds_all = merge is not None and len(merge.partitions) == self._state_partitions
        return holds_all or self._view.complete

    def is_ours(self, series: SeriesId) -> bool:
        """Whether the series' state partition is held here."""
        if self._merge is None or not self._merge.partitions:
            return False
        place = place_of(self._state.plan, *series, self._state_partitions)
        if place is None:
            return self._state.leader  # nobody's: the leader clears it away
        return place in self._merge.partitions

    def scores(self) -> Mapping[str, Score]:
        """How each objective stands, over the whole company."""
        plan = self._state.plan
        if not plan.objectives:
            return {}
        everyone = self.everyone()
        # Scrapes and boards ask at the same time; a list that is looked up anew is another one.
        if self._scores_of is not everyone or self._scores.keys() != plan.objectives.keys():
            if len(self._earlier) > 2 * len(everyone):
                self._earlier.clear()  # of series that are gone
            self._scores = standing(plan, everyone, self._before)
            self._scores_of = everyone
        return self._scores

    def _before(self, view: SeriesView) -> float | None:
        """The series' attainment a while ago; looked up once for each window that closes."""
        kpi = self._state.plan.kpis[view.kpi]
        known = self._earlier.get((view.kpi, view.dimensions))
        if known is None or known[0] is not view.status:
            maintenance = maintenance_calendar(self._state.plan, kpi)
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
        if self._merge is None or not self._merge.partitions or not self._view.complete:
            return None
        rules = self._state.plan.rules
        return [
            alert
            for alert in self.alerts()
            if self.is_ours((alert.kpi, None if is_whole(rules[alert.rule]) else alert.dimensions))
        ]

    def alerts(self) -> list[Alert]:
        """The alerts of all workers, with their texts."""
        return [
            Alert(
                row.rule, row.severity, row.kpi, row.dimensions or (), row.phase, row.at_ms,
                row.value, row.summary, row.description,
            )
            for row in self._view.alerts()
        ]  # fmt: skip

    async def explain(self, name: str, series: str) -> Json:
        """How a rule stands over the series held here, `series`, the most urgent ones of `count`.

        Raises RulesError for what is not declared, not held here, or about single people.
        """
        plan = self._state.plan
        rule, asked = wanted(plan, name, series)
        refuse_private(plan, rule)
        mergers = await self._merge.mergers() if self._merge is not None else []
        # While the rules change, the stage that runs by the old ones says nothing of the new.
        told, count = explanations(plan, (m for m in mergers if m.plan is plan), rule, asked)
        if not told:
            held = {id(view) for view in self.held()}
            others = any(v.kpi == rule.kpi and id(v) not in held for v in self.everyone())
            hint = "Other workers hold some: ask each." if others else None
            raise RulesError(f"no series of {name} is held here{asked_text(series)}", hint)
        return {"count": count, "series": [one for _, one in told]}
