"""The samples of a message of the values topic."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.model.plan import Plan
from agent.core.output.messages import label
from agent.core.output.value_messages import ValueMessage
from agent.export.metrics.closed_samples import target_samples, window_samples
from agent.export.remote_write.wire import Sample

JOB = ("job", "kpi-agent")
"""The scrape job of the generated prometheus.yml (`agent/generate/names.py`), so that samples have
the same labels as scraped ones."""


class SampleMaker:
    """Makes samples of messages under the metric names of a plan."""

    def __init__(self, plan: Plan, external: Mapping[str, str]) -> None:
        self._plan = plan
        self._shared = (JOB, *external.items())

    def samples(self, message: ValueMessage) -> list[Sample] | None:
        """The samples of a message; None: its KPI is not declared any more, or has other
        dimensions."""
        window = message.window
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or kpi.by != message.names:
            return None
        dimensions = zip(message.names, map(label, window.dimensions), strict=True)
        shared = (*self._shared, *dimensions)
        status = message.status
        of_window = window_samples(kpi, window) if status is None else target_samples(kpi, status)
        return [
            Sample(tuple(sorted((("__name__", name), *own, *shared))), window.end_ms, float(value))
            for name, own, value in of_window
        ]
