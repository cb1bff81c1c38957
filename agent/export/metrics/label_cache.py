"""The label part of every KPI series: built once, kept while the series is in use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import SeriesView
from agent.core.output.messages import label
from agent.export.metrics.text_format import labels_text


class LabelCache:
    """The label part of every series, by KPI and dimensions: built once, kept while in use."""

    def __init__(self) -> None:
        self._by_kpi: dict[tuple[str, tuple[str, ...]], _Labels] = {}

    def of(self, kpi: Kpi) -> _Labels:
        """Those of one KPI."""
        return self._by_kpi.setdefault((kpi.name, kpi.by), _Labels(kpi.by))

    def keep(self, kpis: Iterable[Kpi]) -> None:
        """Forget the KPIs that are not among these (after a reload)."""
        wanted = {(k.name, k.by) for k in kpis}
        for gone in self._by_kpi.keys() - wanted:
            del self._by_kpi[gone]


class _Labels(dict[Dimensions, str]):
    """The label part by dimensions, made when it is asked for first."""

    def __init__(self, by: Sequence[str]) -> None:
        super().__init__()
        self._by = by
        self._last: tuple[Sequence[Dimensions], Sequence[str]] = (), ()

    def __missing__(self, dimensions: Dimensions) -> str:
        pairs = zip(self._by, map(label, dimensions), strict=True)
        made = self[dimensions] = labels_text(pairs)
        return made

    def all_of(self, views: Sequence[SeriesView]) -> Sequence[str]:
        """Those of all series in use; the others are forgotten.

        Most series are at the same index as at the last scrape. Comparing them is far cheaper than
        a hundred thousand look-ups.
        """
        if len(self) > 2 * len(views) + 1_000:  # start again rather than track what is gone
            self.clear()
        now = [view.dimensions or () for view in views]
        then, known = self._last
        texts = [
            text if value is before else self[value]
            for value, before, text in zip(now, then, known, strict=False)
        ]
        texts += map(self.__getitem__, islice(now, len(texts), None))
        self._last = now, texts
        return texts
