"""A cache of the label text of every KPI series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import SeriesView
from agent.core.output.messages import label
from agent.export.metrics.text_format import labels_text


class LabelCache:
    """The label text of every series, by KPI and dimensions: built once, kept while in use."""

    def __init__(self) -> None:
        self._by_kpi: dict[tuple[str, tuple[str, ...]], _Labels] = {}

    def of(self, kpi: Kpi) -> _Labels:
        """The label texts of one KPI."""
        return self._by_kpi.setdefault((kpi.name, kpi.by), _Labels(kpi.by))

    def keep(self, kpis: Iterable[Kpi]) -> None:
        """Forget all KPIs but these (after a reload)."""
        kept = {(k.name, k.by) for k in kpis}
        for removed in self._by_kpi.keys() - kept:
            del self._by_kpi[removed]


class _Labels(dict[Dimensions, str]):
    """The label texts of one KPI by dimensions, built on first use."""

    def __init__(self, by: Sequence[str]) -> None:
        super().__init__()
        self._by = by
        self._last: tuple[Sequence[Dimensions], Sequence[str]] = (), ()

    def __missing__(self, dimensions: Dimensions) -> str:
        pairs = zip(self._by, map(label, dimensions), strict=True)
        text = self[dimensions] = labels_text(pairs)
        return text

    def all_of(self, views: Sequence[SeriesView]) -> Sequence[str]:
        """The label texts of all series in use; the others are forgotten in time.

        Most series have the same index as at the last scrape: a comparison by index is far cheaper
        than a hundred thousand look-ups.
        """
        if len(self) > 2 * len(views) + 1_000:  # simpler than to track removed series
            self.clear()
        current = [view.dimensions or () for view in views]
        last, last_texts = self._last
        texts = [
            text if value is before else self[value]
            for value, before, text in zip(current, last, last_texts, strict=False)
        ]
        texts += map(self.__getitem__, islice(current, len(texts), None))
        self._last = current, texts
        return texts
