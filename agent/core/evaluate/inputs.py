"""The inputs of threshold rules: a window with its target, its history and its peers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

from agent.core.evaluate.targets import Targets
from agent.core.evaluate.thresholds import EvaluationInput, Peers, Thresholds
from agent.core.model.kpis import Kpi, Target
from agent.core.model.results import WindowValue
from agent.core.model.window_history import MAINTENANCE
from agent.core.state.archive import Archive
from agent.core.state.series import Series


class Inputs:
    """Makes the inputs of one KPI's threshold rules. `archive` None: no rule reads the history."""

    def __init__(
        self,
        kpi: Kpi,
        targets: Targets,
        closed_rules: Thresholds,
        current_rules: Thresholds,
        archive: Archive | None,
    ) -> None:
        self._kpi = kpi
        self._targets = targets
        self._closed_rules = closed_rules
        self._current_rules = current_rules
        self._archive = archive

    def closed(self, series: Series, window: WindowValue, target: Target | None) -> EvaluationInput:
        """The input for a window that closes now, which is appended to the history."""
        past = None
        if self._archive is not None:
            past = self._archive.past(series)
            flags = 0 if window.maintenance is None else MAINTENANCE
            past.append((window.end_ms, window.value, window.events, flags))
        return EvaluationInput(series, window, window.end_ms, target, past, series.memory)

    def last(self, series: Series) -> EvaluationInput | None:
        """The input of the last closed window of a series, as it was evaluated; changes nothing."""
        window = series.closed
        if window is None:
            return None
        past = self._archive.past(series) if self._archive is not None else None
        target = series.status.target if series.status is not None else None
        return EvaluationInput(series, window, window.end_ms, target, past, deepcopy(series.memory))

    def current(
        self, series: Series, window: WindowValue, at_ms: int, step_ms: int | None = None
    ) -> EvaluationInput:
        """The input for an open window at an instant (ms), for rules on current values. `step_ms`:
        the time that the evaluation covers, by default a slice."""
        past = None
        if self._current_rules.needs_ms and self._archive is not None:
            # Without the window itself, which may be closed by now.
            past = self._archive.past(series).upto(at_ms - 1)
            past.append((window.end_ms, window.value, window.events, 0))
        target = self._targets.for_series(window.dimensions, window.start_ms)
        memory = deepcopy(series.memory) if self._current_rules.has_features else {}
        return EvaluationInput(
            series, window, at_ms, target, past, memory, step_ms or self._kpi.slice_ms
        )

    def peers(self, group: Sequence[tuple[Series, WindowValue]], among: Iterable[Series]) -> Peers:
        """The windows of all series with the ends of those in `group`, outside maintenance.
        `among`: all series of the KPI."""
        outside = [window for _, window in group if window.maintenance is None]
        if not self._closed_rules.compares_peers:
            return Peers(())
        ends = {window.end_ms for _, window in group}
        here = {(window.end_ms, window.dimensions) for _, window in group}
        for series in among:
            dimensions = series.dimensions or ()
            for end, value, events, flags in series.history:
                if end in ends and (end, dimensions) not in here and not flags & MAINTENANCE:
                    start = self._kpi.window.start_of(end)
                    outside.append(
                        WindowValue(self._kpi.name, dimensions, start, end, value, events)
                    )
        return Peers(outside)
