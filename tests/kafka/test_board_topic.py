"""The board topic: rows out, the whole company in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from msgspec import structs

from agent.core.model.kpis import SeriesRef, Target
from agent.core.model.plan import Plan
from agent.core.model.results import (
    AlertPhase,
    SeriesView,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.output.privacy import Privacy
from agent.kafka.board_topic import (
    MAX_ROWS_PER_TICK,
    BoardReader,
    BoardWriter,
    alert_update,
    series_key,
    to_row,
)
from agent.kafka.client import new_producer
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.explain_requests import ExplainRequests
from agent.kafka.publish import Publisher
from agent.kafka.topics import TopicNames
from agent.language.load import load
from agent.settings import load_settings
from tests.kafka.support import RULES, until

WINDOW = WindowValue("revenue", ("a",), 0, 5_000, 1.5, 3)
WINDOW_AFTER = WindowValue("revenue", ("a",), 5_000, 10_000, 2.5, 3)
TARGET = Target(at_least=20.0)
VIEW = SeriesView(
    "revenue", ("a",), WINDOW, None, TARGET,
    TargetStatus(WINDOW, TargetState.MISSED, None, 0.075, TARGET),
    ((4_000, None), (5_000, 1.5)), {("low", "warning"): AlertPhase.FIRING},
)  # fmt: skip
WATCHED = SeriesView("revenue", None, None, None, None, None)


def plan_at(folder: Path) -> Plan:
    file = folder / "shop.yaml"
    file.write_text(RULES)
    return load(file)


def company(plan: Plan) -> BoardReader:
    return BoardReader(load_settings(), "board", plan, ExplainRequests("test"))


def add_series(view: BoardReader, series: SeriesView) -> None:
    view.add(series_key(series.kpi, series.dimensions), to_row(series))


def test_a_row_comes_back_as_the_view_it_was_made_from(tmp_path: Path) -> None:
    view = company(plan_at(tmp_path))
    add_series(view, VIEW)
    add_series(view, WATCHED)
    assert view.snapshot() == [VIEW, WATCHED]


def test_a_tombstone_takes_a_series_away_and_changes_are_counted(tmp_path: Path) -> None:
    view = company(plan_at(tmp_path))
    add_series(view, VIEW)
    assert view.changes == 1
    view.add(series_key("revenue", ("a",)), None)
    assert view.snapshot() == []
    assert view.changes == 2


def test_series_that_the_rules_do_not_declare_and_rubbish_are_passed_over(tmp_path: Path) -> None:
    view = company(plan_at(tmp_path))
    add_series(view, SeriesView("revenue", ("a", "b"), None, None, None, None))
    add_series(view, SeriesView("gone", (), None, None, None, None))
    view.add(b"key", b"rubbish")
    assert view.snapshot() == []


def test_an_alert_has_its_texts_and_goes_when_its_rule_does(tmp_path: Path) -> None:
    plan = plan_at(tmp_path)
    view = company(plan)
    step = Transition(
        "low", "warning", "revenue", ("a",), 5_000, 5_000, AlertPhase.FIRING,
        AlertPhase.INACTIVE, 1.5, "value < 20", 0, 5_000, "when",
    )  # fmt: skip
    key, (at_ms, row) = alert_update(plan, step, Privacy())
    assert row is not None and at_ms == 5_000
    view.add(key, msgspec.json.encode(row))
    [alert] = view.alerts()
    assert (alert.rule, alert.phase, alert.at_ms, alert.value) == ("low", "firing", 5_000, 1.5)
    assert "value < 20" in alert.summary


async def test_what_one_worker_writes_every_worker_reads_and_only_changes_are_written(
    tmp_path: Path,
) -> None:
    plan = plan_at(tmp_path)
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address, create_topics=False)
        names = TopicNames.of(settings)
        reader = BoardReader(settings, names.board, plan, ExplainRequests("test"))
        reading = asyncio.create_task(reader.run())
        producer = new_producer(settings)
        await producer.start()
        writer = BoardWriter(Publisher(producer, names), reader, holder := Holder([VIEW]))
        try:
            await writer.tick()
            await writer.tick()
            await until(lambda: reader.snapshot() == [VIEW] and reader.complete)
            assert reader.changes == 1
            holder.series = [WATCHED]
            await writer.tick()
            await until(lambda: reader.snapshot() == [WATCHED])
            assert reader.rule_history.is_announced(plan)
            (tmp_path / "shop.yaml").write_text(RULES.replace("at_least: 20", "at_least: 10"))
            reader.replan(load(tmp_path))
            await writer.tick()
            await until(lambda: len(reader.rule_history.changes()) == 1)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            await producer.stop()


class Holder:
    """Holds series, which are all its own."""

    def __init__(self, series: list[SeriesView]) -> None:
        self.series = series

    def held(self) -> list[SeriesView]:
        return self.series

    def is_ours(self, _series: SeriesRef) -> bool:
        return True


class Board:
    """Takes rows as the publisher does, and keeps the last ones."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}

    async def board(self, rows: dict[bytes, bytes | None]) -> list[asyncio.Future[object]]:
        self.rows = rows
        return []


def open_series(name: str, value: float) -> SeriesView:
    current = WindowValue("revenue", (name,), 5_000, 10_000, value, 3, open=True)
    return SeriesView("revenue", (name,), None, current, None, None)


async def test_of_many_changes_windows_that_closed_are_written_first_and_each_change_once(
    tmp_path: Path,
) -> None:
    reader, board = company(plan_at(tmp_path)), Board()
    names = [f"s{number}" for number in range(MAX_ROWS_PER_TICK)]
    holder = Holder([open_series(name, 1.0) for name in names] + [VIEW])
    writer = BoardWriter(board, reader, holder)
    await writer.tick()
    await writer.tick()
    assert list(board.rows) == [series_key("revenue", ("a",))]

    changed = structs.replace(VIEW, closed=WINDOW_AFTER)
    holder.series = [open_series(name, 2.0) for name in names] + [changed]
    await writer.tick()
    assert len(board.rows) == MAX_ROWS_PER_TICK
    assert next(iter(board.rows)) == series_key("revenue", ("a",))
    await writer.tick()
    assert list(board.rows) == [series_key("revenue", (names[-1],))]
    board.rows = {}
    await writer.tick()
    assert board.rows == {}
