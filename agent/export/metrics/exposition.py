"""`/metrics`: the KPI series and the agent's own metrics, in the text format that a scrape accepts.

There is no global registry: the agent's own metrics are in that of its `AgentMetrics`; KPI series
are written by `kpi_series.py`.
"""

from __future__ import annotations

import asyncio
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView
from agent.core.model.rules import is_whole
from agent.export.agent_state import AgentState
from agent.export.metrics.kpi_series import families, whole_kpis
from agent.export.metrics.label_cache import LabelCache
from agent.export.metrics.text_format import render, with_labels

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_EOF = b"# EOF\n"
_GZIP_LEVEL = 1  # 100,000 series: a fifth of level 6's time for a few per cent more bytes


@dataclass(frozen=True, slots=True)
class Scrape:
    """The response to a scrape: its chunks, whether they are gzip, and the content type."""

    chunks: Sequence[bytes]
    content_type: str
    gzipped: bool


class Exposition:
    """The exposition of one agent. One scrape is rendered at a time, in a thread."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        self._cache = LabelCache()
        self._lock = asyncio.Lock()
        self._declared: Plan | None = None  # the plan whose series the own metrics have

    async def scrape(self, accept: str, accept_encoding: str) -> Scrape:
        """The response to a scrape with these two request headers."""
        openmetrics = prefers_openmetrics(accept)
        gzipped = accepts_gzip(accept_encoding)
        async with self._lock:
            chunks = await self._render(openmetrics, gzipped)
        return Scrape(chunks, OPENMETRICS if openmetrics else TEXT, gzipped)

    async def _render(self, openmetrics: bool, gzipped: bool) -> list[bytes]:
        # Mutable state is read here, on the loop; a thread renders it.
        state = self._state
        fleet, registry = state.fleet, state.metrics.registry
        held = fleet.held()
        self._set_gauges(len(held))
        views = state.privacy.views(state.plan, held)
        exports_fleet = fleet.is_leader() and fleet.is_complete()
        whole = self._whole_kpis() if exports_fleet else None
        scores = dict(fleet.scores()) if exports_fleet else {}
        if openmetrics:
            # The library leaves this one function without types.
            own = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
            own = own.removesuffix(_EOF)
        else:
            own = generate_text(registry)
        rendered = families(state.plan, views, whole, scores, self._cache)
        external = dict(state.external_labels)

        def work() -> list[bytes]:
            series = render(rendered, openmetrics=openmetrics, external=external)
            plain = _chunks(_labeled(own, external), series, openmetrics)
            return list(compressed(plain)) if gzipped else list(plain)

        return await asyncio.to_thread(work)

    def _set_gauges(self, held: int) -> None:
        """Set the gauges that are read at a scrape; `held`: the number of series held here."""
        state, metrics = self._state, self._state.metrics
        if self._declared is not state.plan:
            self._declared = state.plan
            metrics.declare(state.plan)
            metrics.build_info.clear()
            metrics.build_info.labels(
                state.version, state.plan.config_hash, platform.python_version(), state.group
            ).set(1)
        metrics.leader.set(state.fleet.is_leader())
        metrics.series.set(held)
        metrics.table_rows.set(held)
        for component, reason in state.ready.items():
            metrics.ready.labels(component).set(reason is None)

    def _whole_kpis(self) -> Mapping[str, SeriesView]:
        """The views of KPIs as a whole; without `per: kpi` rules, no series is looked at."""
        state = self._state
        has_whole_rules = any(is_whole(rule) for rule in state.plan.rules.values())
        return whole_kpis(state.plan, state.fleet.all_series()) if has_whole_rules else {}


def _labeled(text: bytes, external: Mapping[str, str]) -> bytes:
    """The text of prometheus_client, with external labels on every sample."""
    if not external:
        return text
    lines = text.decode().splitlines(keepends=True)
    samples = (
        line if line.startswith("#") else next(with_labels([line], external)) for line in lines
    )
    return "".join(samples).encode()


def _chunks(own: bytes, series: Iterator[bytes], openmetrics: bool) -> Iterator[bytes]:
    yield own
    yield from series
    if openmetrics:
        yield _EOF


def compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip stream."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for chunk in chunks:
        if part := compressor.compress(chunk):
            yield part
    yield compressor.flush()


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    weights = _weights(accept_encoding)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header prefers OpenMetrics to the older text format."""
    weights = _weights(accept)
    openmetrics = weights.get("application/openmetrics-text", 0.0)
    text = max(weights.get("text/plain", 0.0), weights.get("text/*", 0.0))
    return openmetrics > 0 and openmetrics >= text


def _weights(header: str) -> dict[str, float]:
    """The highest weight of each token of an Accept-like header (RFC 9110, 12.4.2)."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        token, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if token:
            weights[token] = max(weights.get(token, 0.0), weight)
    return weights
