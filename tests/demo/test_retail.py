from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from agent.demo.retail import Timelapse

DATA = Path(__file__).parents[2] / "examples" / "retail" / "retail-invoices.ndjson.gz"


@pytest.fixture(scope="module")
def year() -> Timelapse:
    return Timelapse(DATA)


def test_every_event_of_the_file_is_sent_in_its_order(year: Timelapse) -> None:
    assert len(year.events) == 25_943
    assert [e.at for e in year.events] == sorted(e.at for e in year.events)
    assert json.loads(year.events[0].value)["id"] == "536365"


def test_a_day_goes_by_in_a_second(year: Timelapse) -> None:
    assert year.seconds == pytest.approx(373.18, abs=0.01)
    assert year.date_at(0) == datetime(2010, 12, 1, 8, 26)
    assert year.date_at(31) == datetime(2011, 1, 1, 8, 26)


def test_events_are_due_when_their_time_has_come(year: Timelapse) -> None:
    first = year.due(0, 1.0)
    assert first[-1].at <= datetime(2010, 12, 2, 8, 26) < year.events[len(first)].at
    assert year.due(len(first), 1.0) == []


def test_how_often_it_asks_changes_nothing(year: Timelapse) -> None:
    sent = 0
    for tenth in range(0, 3_740):
        sent += len(year.due(sent, tenth / 10))
    assert sent == len(year.events)


def test_a_customer_keeps_to_one_partition(year: Timelapse) -> None:
    for event in year.events[:500]:
        customer = json.loads(event.value)["customer"]
        assert customer is None or event.key == customer.encode()
