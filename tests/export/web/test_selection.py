"""What an address asks of the board."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.export.web.board import Board
from agent.export.web.selection import KPIS, MOST_KPIS, BadQuery, Selection
from agent.export.web.stream import KPIS_PER_EVENT, _events_of
from tests.export.invented import COMPANY, NOW_MS, company_state
from tests.export.many import REGIONS, many_series


async def _asked(of: Any = None, **query: str) -> dict[str, Any]:
    board = Board(of or company_state(), lambda: NOW_MS)
    return dict(await board.snapshot(board.selection(query)))


def _series(board: dict[str, Any], name: str) -> list[str]:
    return [row["series"] for kpi in board["kpis"] if kpi["name"] == name for row in kpi["rows"]]


async def test_kpis_are_found_by_owner_team_objective_and_state() -> None:
    assert (await _asked(owner="support-ops"))["kpi_order"] == ["response_time", "feedback_score"]
    assert (await _asked(objective="Growth"))["kpi_order"] == ["revenue", "conversion"]
    assert (await _asked(team="nobody"))["kpi_order"] == []
    missed = await _asked(state="missed")
    assert missed["kpi_order"] == ["response_time", "revenue"]
    # Of the other states it is still said how many there are.
    assert missed["found_by_state"] == {"missed": 2, "at_risk": 2, "met": 2, "none": 1}


async def test_of_missed_kpis_the_one_with_the_larger_share_of_missed_series_is_first() -> None:
    state = company_state()  # of both KPIs, one of three series is missed
    state.fleet.series = [v for v in state.fleet.series if v.dimensions != ("Germany",)]
    assert (await _asked(state, state="missed"))["kpi_order"] == ["revenue", "response_time"]


async def test_a_dimension_leaves_its_series_and_the_kpis_that_have_it() -> None:
    board = await _asked(series="region=apac")
    assert board["kpi_order"] == ["response_time"]
    assert _series(board, "response_time") == ["apac"]
    assert (board["kpis"][0]["state"], board["kpis"][0]["total"]) == ("met", 1)
    # Objectives are of all series.
    assert {k["name"]: k["state"] for o in board["objectives"] for k in o["kpis"]}[
        "response_time"
    ] == "missed"


async def test_alerts_are_of_what_is_asked_for_and_others_are_counted() -> None:
    apac = await _asked(series="region=apac")
    assert (apac["alerts"], apac["elsewhere"]) == ([], 1)
    emea = await _asked(series="region=emea")
    assert [alert["rule"] for alert in emea["alerts"]] == ["slow_support"]
    assert (emea["alert_counts"]["firing"], emea["elsewhere"]) == (1, 0)
    assert (await _asked(owner="sales"))["alerts"] == []


async def test_words_are_found_in_a_kpi_or_in_one_of_its_series() -> None:
    board = await _asked(q="Response EMEA")
    assert _series(board, "response_time") == ["emea"]
    assert (await _asked(q="response nowhere"))["found"] == 0
    assert (await _asked(q="ireland"))["kpi_order"] == ["revenue"]


async def test_a_board_has_few_kpis_those_that_need_attention_and_says_how_many_there_are() -> None:
    state = many_series(kpis=30, series=5, firing=24)
    board = await _asked(state)
    assert (len(board["kpis"]), board["found"], board["declared"]) == (KPIS, 30, 30)
    states = [kpi["state"] for kpi in board["kpis"]]
    assert states == sorted(states, key=["missed", "at_risk", "no_data", "met", "none"].index)
    assert len((await _asked(state, limit="3"))["kpis"]) == 3
    assert Selection.parse({"limit": "9999"}, COMPANY).limit == MOST_KPIS


async def test_dimensions_of_few_values_are_offered_and_the_one_that_is_chosen() -> None:
    state = many_series(kpis=2, series=100, firing=0)
    [region] = (await _asked(state))["choices"]["series"]
    assert (region["name"], region["chosen"]) == ("region", "")
    assert [value["text"] for value in region["values"]] == sorted(REGIONS)
    asked = await _asked(state, series="shop=shop-007")
    assert asked["choices"]["series"][0] == {
        "name": "shop",
        "chosen": "shop=shop-007",
        "values": [{"series": "shop=shop-007", "text": "shop-007"}],
    }
    assert _series(asked, "kpi_00") == ["latam · shop-007"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"state": "bad"}, "there is no state 'bad': missed, at_risk, no_data, met, none are"),
        ({"limit": "all"}, "limit is a number from 1 to 500, not 'all'"),
        ({"limit": "0"}, "limit is a number from 1 to 500, not '0'"),
        ({"series": "planet=mars"}, "'planet=mars' is no dimension=value of the KPIs"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(query: dict[str, str], message: str) -> None:
    with pytest.raises(BadQuery, match=message):
        Selection.parse(query, COMPANY)


async def test_a_stream_sends_few_kpis_an_event_and_all_of_them() -> None:
    board = await _asked()
    events = [event.decode().split("\n") for event in _events_of("board", board)]
    assert [lines[0] for lines in events] == ["event: board", "event: change", "event: change"]
    values = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
    assert all(len(value["kpis"]) <= KPIS_PER_EVENT for value in values)
    assert [kpi for value in values for kpi in value["kpis"]] == board["kpis"]
