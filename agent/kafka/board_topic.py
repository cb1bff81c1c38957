"""The board topic: one compacted row per series, alert and worker, which every worker reads, and
the questions of workers to each other (`explain_requests`).

Each worker writes the rows of the series that it holds (`BoardWriter`) and reads all rows
(`BoardReader`), without a consumer group: so every worker knows the whole fleet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, compress, islice
from operator import is_not
from typing import Any, Protocol

import msgspec
from aiokafka.errors import KafkaError

from agent import clock
from agent.core.model.event_counts import RecordCounts
from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, SeriesRef, Target
from agent.core.model.plan import Plan
from agent.core.model.results import (
    AlertPhase,
    SeriesView,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import Severity
from agent.core.output import messages as encode
from agent.core.output.privacy import Privacy
from agent.errors import EnvironmentFault
from agent.kafka.explain_requests import ExplainReply, ExplainRequest, ExplainRequests
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.rule_history import RuleHistory, RulesChangeRow, RulesRow
from agent.kafka.rule_sets import RuleSets, WorkerRow, this_worker
from agent.kafka.topic_tail import RETRY_SECONDS, tail
from agent.settings import Settings

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
MAX_ROWS_PER_TICK = 2_000
CLEAR_EVERY_TICKS = 10


class SeriesRow(msgspec.Struct, frozen=True, tag="series"):
    """A series as a row of the board topic."""

    kpi: str
    dimensions: tuple[Scalar, ...] | None
    closed: WindowValue | None
    current: WindowValue | None
    target: Target | None
    status: TargetStatus | None
    history: tuple[tuple[int, float | None], ...]
    phases: tuple[tuple[str, Severity, AlertPhase], ...]


class AlertRow(msgspec.Struct, frozen=True, tag="alert"):
    """The last transition of an alert as a row of the board topic. `at_ms` is event time."""

    rule: str
    severity: Severity
    kpi: str
    dimensions: tuple[Scalar, ...] | None
    phase: AlertPhase
    at_ms: int
    value: float | None
    summary: str
    description: str


Row = SeriesRow | AlertRow | WorkerRow | RulesRow | RulesChangeRow | ExplainRequest | ExplainReply

_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(Row)


def series_key(kpi: str, dimensions: Dimensions | None) -> bytes:
    """The message key of a series."""
    return _encoder.encode(["series", kpi, dimensions])


def alert_key(row: AlertRow) -> bytes:
    """The message key of an alert."""
    return _encoder.encode(["alert", row.rule, row.severity, row.kpi, row.dimensions])


def worker_key(worker: str) -> bytes:
    """The message key of a worker."""
    return _encoder.encode(["worker", worker])


def to_row(view: SeriesView) -> bytes:
    """A view as the bytes of its row."""
    phases = tuple((rule, severity, phase) for (rule, severity), phase in view.phases.items())
    return _encoder.encode(
        SeriesRow(
            view.kpi, view.dimensions, view.closed, view.current, view.target, view.status,
            view.history, phases,
        )
    )  # fmt: skip


def to_view(row: SeriesRow) -> SeriesView:
    """A row as the view that it was made from."""
    return SeriesView(
        row.kpi,
        row.dimensions,  # None: the KPI as a whole
        row.closed,
        row.current,
        row.target,
        row.status,
        row.history,
        {(rule, severity): phase for rule, severity, phase in row.phases},
    )


class BoardReader:
    """The series and alerts of all workers, read from the board topic. `changes` counts how often
    they have changed."""

    def __init__(
        self, settings: Settings, topic: str, plan: Plan, requests: ExplainRequests
    ) -> None:
        self.plan = plan
        self.requests = requests
        self.rule_history = RuleHistory()
        self.changes = 0
        self.complete = False
        self._settings = settings
        self._topic = topic
        self._series: dict[bytes, SeriesView] = {}
        self._alerts: dict[bytes, AlertRow] = {}
        self._workers: dict[bytes, WorkerRow] = {}
        self._snapshot: list[SeriesView] | None = None

    def snapshot(self) -> list[SeriesView]:
        """Every declared series. The list is cached until the next change: don't modify it."""
        if self._snapshot is None:
            self._snapshot = [v for v in self._series.values() if self._is_declared(v)]
        return self._snapshot

    def alerts(self) -> list[AlertRow]:
        """The last transition of every alert of a declared rule."""
        return [
            a
            for a in self._alerts.values()
            if a.rule in self.plan.rules and self.plan.by_of(a.kpi) is not None
        ]

    def ids(self) -> Iterable[tuple[bytes, SeriesRef]]:
        """The keys of all series rows, declared or not."""
        return [(key, (view.kpi, view.dimensions)) for key, view in self._series.items()]

    def workers(self) -> list[WorkerRow]:
        """The last row of each worker."""
        return list(self._workers.values())

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add one record of the board topic; one that can't be read is skipped."""
        if value is None:
            self._workers.pop(key, None)
            self.requests.remove(key)
            removed = self._series.pop(key, None), self._alerts.pop(key, None)
            if removed == (None, None):
                return  # nothing that is shown has changed
        else:
            try:
                row = _rows.decode(value)
            except msgspec.DecodeError:
                return  # written by another version
            if isinstance(row, WorkerRow):
                self._workers[key] = row
                return  # not shown on the board
            if isinstance(row, ExplainRequest | ExplainReply):
                self.requests.add(key, row)
                return
            if isinstance(row, RulesRow | RulesChangeRow):
                self.rule_history.add(key, row)
                return
            if isinstance(row, SeriesRow):
                self._series[key] = to_view(row)
            else:
                self._alerts[key] = row
        self.changes += 1
        self._snapshot = None

    def replan(self, plan: Plan) -> None:
        """Show what another plan declares."""
        self.plan = plan
        self.rule_history.adopt()
        self.changes += 1
        self._snapshot = None

    async def run(self) -> None:
        """Read the topic from its beginning and follow it, until cancelled."""

        def complete() -> None:
            self.complete = True

        await tail(self._settings, self._topic, self.add, complete)

    def _is_declared(self, view: SeriesView) -> bool:
        by = self.plan.by_of(view.kpi)
        # A row from before the KPI's dimensions were changed may have another number of them.
        return by is not None and (view.dimensions is None or len(view.dimensions) == len(by))


class HeldSeries(Protocol):
    """The series of the state partitions that a worker holds."""

    def held(self) -> list[SeriesView]:
        """The series; a new list where any of them changed."""

    def is_ours(self, series: SeriesRef) -> bool:
        """Whether the state partition of a series is held here."""


class BoardWriter:
    """Writes the rows of the series held here when they change, MAX_ROWS_PER_TICK per tick.
    `counts` gives what this worker has counted of each event, by wall clock (ms)."""

    def __init__(
        self,
        publisher: Publisher,
        board: BoardReader,
        holder: HeldSeries,
        counts: Callable[[int], RecordCounts | None] = lambda now_ms: None,
    ) -> None:
        self._counts = counts
        self._publisher = publisher
        self._board = board
        self._holder = holder
        self._written: dict[SeriesRef, SeriesView] = {}
        self._seen: Sequence[SeriesView] = ()
        self._known: dict[SeriesRef, SeriesView] = {}  # the same by name
        # Changed and not written yet: a window closed or an alert changed; the open window alone.
        self._urgent: dict[SeriesRef, SeriesView] = {}
        self._waiting: dict[SeriesRef, SeriesView] = {}
        self._ticks = 0
        self._rule_sets = RuleSets(this_worker())
        self._alerts: dict[bytes, bytes | None] = {}

    def note_alerts(self, rows: Mapping[bytes, AlertRow | None]) -> None:
        """Note alerts that changed, by key, for the next tick; None deletes a row."""
        for key, row in rows.items():
            self._alerts[key] = None if row is None else _encoder.encode(row)

    async def run(self) -> None:
        """Write, tick by tick, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except (KafkaError, EnvironmentFault) as error:
                log.debug("the board was not written: %r", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def tick(self) -> None:
        """Write what changed; series whose window closed or whose alerts changed go first."""
        await self._announce()
        views = self._holder.held()
        rows: dict[bytes, bytes | None] = dict(self._alerts)
        if not self._ticks:
            rows |= self._workers()
        some_are_gone = self._note_changed(views)
        changed = chain(self._urgent.items(), self._waiting.items())
        written = dict(islice(changed, MAX_ROWS_PER_TICK))
        for series, view in written.items():
            rows[series_key(*series)] = to_row(view)
        if (some_are_gone or not self._ticks) and views and self._board.complete:
            if some_are_gone:
                self._forget_gone(views)
            rows |= dict.fromkeys(self._keys_to_delete(), None)
        self._ticks = (self._ticks + 1) % CLEAR_EVERY_TICKS
        if not rows:
            return
        self._alerts = {}
        await acknowledged(await self._publisher.board(rows))
        for series, view in written.items():
            self._written[series] = view
            for waiting in (self._urgent, self._waiting):
                if waiting.get(series) is view:
                    del waiting[series]

    async def _announce(self) -> None:
        """Write the rules that this worker has adopted, if other rules were announced before."""
        plan, history = self._board.plan, self._board.rule_history
        if not self._board.complete or history.is_announced(plan):
            return
        if rows := await asyncio.to_thread(history.announcement, plan):
            await acknowledged(await self._publisher.board(rows))
        history.announced(plan)

    def _workers(self) -> dict[bytes, bytes | None]:
        """The row of this worker, and deletions of forgotten ones; logs where rules differ."""
        now_ms, config_hash = clock.now_ms(), self._board.plan.config_hash
        known = self._board.workers()
        self._rule_sets.observe(config_hash, known, now_ms)
        own = WorkerRow(this_worker(), config_hash, now_ms, self._counts(now_ms))
        gone = {worker_key(worker): None for worker in self._rule_sets.forgotten(known, now_ms)}
        gone |= dict.fromkeys(self._board.requests.forgotten(now_ms))
        return {**gone, worker_key(own.worker): _encoder.encode(own)}

    def _note_changed(self, views: Sequence[SeriesView]) -> bool:
        """Note the views that changed; whether series of an earlier tick are gone.

        Most views are the same objects as before, at the same index: comparing these is much faster
        than looking up each series by its name.
        """
        seen, self._seen = self._seen, tuple(views)
        moved = compress(views, map(is_not, views, seen))
        for view in chain(moved, islice(views, len(seen), None)):
            series = view.kpi, view.dimensions
            if self._known.get(series) is view:
                continue
            self._known[series] = view
            urgent = not _only_current_changed(self._written.get(series), view)
            if urgent or series in self._urgent:
                self._waiting.pop(series, None)
                self._urgent[series] = view
            else:
                self._waiting[series] = view
        return len(self._known) > len(views)

    def _forget_gone(self, views: Iterable[SeriesView]) -> None:
        """Forget the series that expired, or whose KPI is gone."""
        current = {(view.kpi, view.dimensions) for view in views}
        for known in (self._known, self._written, self._urgent, self._waiting):
            for series in [series for series in known if series not in current]:
                del known[series]

    def _keys_to_delete(self) -> list[bytes]:
        """The keys of rows of this worker's state partitions that no series has."""
        return [
            key
            for key, series in self._board.ids()
            if series not in self._known and self._holder.is_ours(series)
        ]


def alert_update(
    plan: Plan, transition: Transition, privacy: Privacy
) -> tuple[bytes, tuple[int, AlertRow | None]]:
    """Key, event time and row of an alert after a transition; row None: its rule was removed.

    The texts are for everybody: people appear under their pseudonyms.
    """
    rule = plan.rules.get(transition.rule)
    message: dict[str, Any] = encode.transition_json(
        plan, rule, privacy.transition(plan, transition)
    )
    row = AlertRow(
        transition.rule, transition.severity, transition.kpi, transition.dimensions,
        transition.state, transition.at_ms, transition.value, str(message["summary"]),
        str(message["because" if transition.state is AlertPhase.INHIBITED else "description"]),
    )  # fmt: skip
    is_removed = transition.reason == "removed"
    return alert_key(row), (transition.at_ms, None if is_removed else row)


def _only_current_changed(old: SeriesView | None, new: SeriesView) -> bool:
    # A window that did not close again is the same object.
    return old is not None and old.closed is new.closed and old.phases == new.phases
