"""Emits the results of steps in event-time order, and notes them for the rows of their series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.core.merge.partition_state import PartitionState
from agent.core.merge.row_store import RowStore
from agent.core.merge.step import Step
from agent.core.model.kpis import SeriesRef
from agent.core.model.results import Emitted, TargetStatus, Transition, WindowValue


class Emission:
    """Emits for one state partition. `order`: the position of each KPI among all."""

    def __init__(self, state: PartitionState, rows: RowStore, order: Mapping[str, int]) -> None:
        self._state = state
        self._rows = rows
        self._order = order

    def emit(self, absences: Iterable[str], steps: Iterable[tuple[str, Step]]) -> Emitted:
        """The results of one advance of event time: the steps of KPIs, the `per: kpi` rules of the
        KPIs in `absences`, and the rules that depend on any of these alerts."""
        transitions = [t for kpi in absences for t in self._absence(kpi)]
        closed: list[tuple[WindowValue, TargetStatus | None]] = []
        for name, step in steps:
            transitions += self._step(name, step, closed)
        transitions += self._advance_rule_graph()
        closed.sort(key=lambda pair: (pair[0].end_ms, self._order[pair[0].kpi]))
        targets = tuple(status for _, status in closed if status is not None)
        ordered = tuple(sorted(transitions, key=lambda t: t.at_ms))
        return Emitted(tuple(window for window, _ in closed), targets, ordered)

    def note_changed(self, ref: SeriesRef) -> None:
        """Note that a series changed: its row must be written, and its view renewed."""
        self._rows.note_changed(ref)
        kpi, dimensions = ref
        if dimensions is not None and kpi in self._state.kpis:
            self._state.kpis[kpi].changed_views.add(dimensions)

    def _step(
        self, kpi: str, step: Step, closed: list[tuple[WindowValue, TargetStatus | None]]
    ) -> list[Transition]:
        graph, emitted = self._state.rule_graph, []
        for dimensions in step.changed:
            self.note_changed((kpi, dimensions))
        for window, status, transitions in step.closed:
            ref = kpi, window.dimensions
            if status is not None:
                graph.note_status(ref, status)
            routed = graph.route(ref, transitions)
            if window.dimensions not in step.changed:
                self.note_changed(ref)
            self._rows.note_emitted(ref, [window], [status] if status else [], routed)
            closed.append((window, status))
            emitted += routed
        for transition in step.transitions:
            ref = kpi, transition.dimensions
            routed = graph.route(ref, [transition])
            self._note(ref, routed)
            emitted += routed
        for dimensions in step.expired:
            self._rows.note_expired((kpi, dimensions))
        return emitted

    def _absence(self, kpi: str) -> list[Transition]:
        """The transitions of a KPI's `per: kpi` rules, if they are reported here."""
        absence = self._state.absences[kpi]
        transitions = self._state.rule_graph.route((kpi, None), absence.drain())
        if not absence.is_reporter:
            transitions = []
        if absence.changed:
            self._rows.note_emitted((kpi, None), transitions=transitions)
        return transitions

    def _advance_rule_graph(self) -> list[Transition]:
        advanced = self._state.rule_graph.advance()
        for ref in advanced.changed:
            self.note_changed(ref)
        emitted = []
        for ref, transition in advanced.published:
            absence = self._state.absences.get(ref[0]) if ref[1] is None else None
            reported = [transition] if absence is None or absence.is_reporter else []
            self._note(ref, reported)
            emitted += reported
        for ref in advanced.expired:
            self._rows.note_expired(ref)
        return emitted

    def _note(self, ref: SeriesRef, transitions: list[Transition]) -> None:
        """Note transitions in the row of their series, if it still exists."""
        if self._state.series(ref) is not None:
            self.note_changed(ref)
            self._rows.note_emitted(ref, transitions=transitions)


def concatenated(parts: Sequence[Emitted]) -> Emitted:
    """Several `Emitted` as one, in their order."""
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return parts[0] if parts else Emitted()
    return Emitted(
        tuple(window for part in parts for window in part.windows),
        tuple(target for part in parts for target in part.targets),
        tuple(transition for part in parts for transition in part.transitions),
        sum(part.late for part in parts),
        sum(part.stale for part in parts),
        tuple(kpi for part in parts for kpi in part.full),
    )
