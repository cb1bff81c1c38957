"""What people read on the boards: the answers of a real Prometheus that scraped an agent, through
Grafana's own data code in Node."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.generate import panels
from agent.generate.ranking import LINES, NUMBERS, ROWS

from .answers import Json
from .companies import ADDRESS
from .node import Workspace

pytestmark = [pytest.mark.needs_node, pytest.mark.needs_prometheus]

Shown = Mapping[str, Mapping[str, Json]]
"""What the panels of each board show, by their titles; their marks as `marks`."""


def shown(node: Workspace, boards: Mapping[str, Json]) -> Shown:
    read = node.run("texts", list(boards.values()))
    return {
        name: {panel["title"]: panel for panel in board["panels"]} | {"marks": board["marks"]}
        for name, board in zip(boards, read, strict=True)
    }


@pytest.fixture(scope="module")
def of_company(node: Workspace, company_boards: Mapping[str, Json]) -> Shown:
    return shown(node, company_boards)


@pytest.fixture(scope="module")
def of_shops(node: Workspace, shop_boards: Mapping[str, Json]) -> Shown:
    return shown(node, shop_boards)


def numbers(panel: Json) -> dict[str, tuple[str, str]]:
    return {n["name"]: (n["text"], n["color"]) for n in panel["numbers"]}


def lines(panel: Json) -> dict[str, str]:
    return {line["name"]: line["text"] for line in panel["series"]}


def line(panel: Json, name: str) -> Json:
    (chosen,) = (line for line in panel["series"] if line["name"] == name)
    return chosen


@pytest.mark.parametrize(
    ("board", "title", "wanted"),
    [
        (
            "kpi-response_time.json",
            "Last closed window",
            {"emea": "7.13 mins", "amer": "3.52 mins", "apac": "2.87 mins"},
        ),
        (
            "kpi-response_time.json",
            "Window still open",
            {"emea": "7.33 mins", "amer": "3.27 mins", "apac": "3 mins"},
        ),
        (
            "kpi-revenue.json",
            "Last closed window",
            {"United Kingdom": "£12.8K", "Germany": "£1.91K", "Ireland": "£861"},
        ),
        ("kpi-conversion.json", "Last closed window", {"Visits that become orders": "3.34%"}),
        ("kpi-feedback_score.json", "Last closed window", {"Feedback score": "4.31 stars"}),
        ("kpi-orders.json", "Last closed window", {"Orders": "512"}),
    ],
)
def test_numbers_are_in_the_units_that_people_use(
    of_company: Shown, board: str, title: str, wanted: dict[str, str]
) -> None:
    assert {name: text for name, (text, _) in numbers(of_company[board][title]).items()} == wanted


def test_states_are_words_in_their_colours(of_company: Shown) -> None:
    board = of_company["kpi-response_time.json"]
    assert numbers(board["Target"]) == {
        "emea": ("✕ missed", panels.VERMILLION),
        "amer": ("▲ at risk", panels.ORANGE),
        "apac": ("✓ met", panels.BLUE),
    }
    assert lines(board["Target state"]) == {
        "emea": "✕ missed", "amer": "▲ at risk", "apac": "✓ met",
    }  # fmt: skip
    alert = line(board["Alerts"], "slow_support (warning) emea")
    assert (alert["text"], alert["color"]) == ("● firing", panels.VERMILLION)
    ready = of_company["agent.json"]["Ready"]
    assert {text for text, _ in numbers(ready).values()} == {"✓ ready"}


def test_scores_have_the_colour_of_their_objectives_state(of_company: Shown) -> None:
    board = of_company["strategy.json"]
    shown = {t: numbers(board[t])[t] for t in ("Customer satisfaction", "Growth", "Productivity")}
    assert shown == {
        "Customer satisfaction": ("83%", panels.VERMILLION),
        "Growth": ("97%", panels.ORANGE),
        "Productivity": ("100%", panels.BLUE),
    }
    assert lines(board["Scores"])["This year's plan"] == "90%"


def test_bounds_are_dashed_in_their_colour_and_the_open_window_is_dotted(
    of_company: Shown,
) -> None:
    panel = of_company["kpi-response_time.json"]["Value against its bands"]
    assert {n: text for n, text in lines(panel).items() if "apac" in n} == {
        "apac": "2.87 mins",
        "open: apac": "3 mins",
        "target at most: apac": "5 mins",
        "warn above: apac": "4.33 mins",
    }
    target, warn = line(panel, "target at most: apac"), line(panel, "warn above: apac")
    assert (target["color"], warn["color"]) == (panels.VERMILLION, panels.ORANGE)
    assert target["custom"]["lineStyle"]["fill"] == warn["custom"]["lineStyle"]["fill"] == "dash"
    still_open = line(panel, "open: apac")
    assert still_open["custom"]["lineStyle"]["fill"] == "dot"
    value = line(panel, "apac")
    assert "lineStyle" not in value["custom"] and "hideFrom" not in value["custom"]
    assert all(ln["custom"]["hideFrom"]["legend"] for ln in (target, warn, still_open))


def test_lines_and_alerts_lead_to_the_page_of_their_series(of_company: Shown) -> None:
    board = of_company["kpi-response_time.json"]
    series = "region%3D%22${__field.labels.region:percentencode}%22"
    page = f"{ADDRESS}/kpis/response_time?series={series}"
    assert line(board["Value against its bands"], "emea")["links"] == [page]
    assert line(board["Alerts"], "slow_support (warning) emea")["links"] == [page]
    assert line(board["Value against its bands"], "target at most: emea")["links"] == []


def test_the_table_of_targets_has_the_missed_first_and_no_columns_but_its_own(
    of_company: Shown,
) -> None:
    table = of_company["strategy.json"]["Targets"]
    assert table["columns"] == [
        "KPI", "State", "Attainment", "country", "region", "team", "Owner", "Name",
    ]  # fmt: skip
    assert table["rows"][:3] == [
        ["Average response time to customer inquiries", "✕ missed", "56.1%", "", "emea", "",
         "support-ops", "response_time"],
        ["Revenue", "✕ missed", "95.7%", "Ireland", "", "", "sales", "revenue"],
        ["Average response time to customer inquiries", "▲ at risk", "114%", "", "amer", "",
         "support-ops", "response_time"],
    ]  # fmt: skip
    states = [row[1] for row in table["rows"]]
    assert states == ["✕ missed"] * 2 + ["▲ at risk"] * 3 + ["✓ met"] * 12
    assert table["links"] == {"KPI": "/d/${__data.fields.Board}"}


def test_the_table_of_alerts_has_the_firing_first(of_company: Shown) -> None:
    table = of_company["strategy.json"]["Rules, firing first"]
    assert table["columns"] == ["Rule", "Severity", "State", "KPI", "region", "Owner", "Name"]
    assert [row[:3] for row in table["rows"][:3]] == [
        ["slow_support", "warning", "● firing"],
        ["quiet_support", "warning", "◔ pending"],
        ["low_conversion", "page", "– inactive"],
    ]
    versions = of_company["agent.json"]["Versions"]
    assert versions["columns"] == ["Worker", "Version", "Rules", "Python"]


def test_a_firing_alert_is_marked_by_its_name(of_company: Shown) -> None:
    (mark,) = of_company["kpi-response_time.json"]["marks"]
    assert mark["title"] == "slow_support (warning)"
    assert mark["timeEnd"] > mark["time"]
    assert of_company["kpi-revenue.json"]["marks"] == []


def test_rare_events_have_a_line_at_zero_that_says_what_there_is_none_of(
    of_company: Shown,
) -> None:
    panel = of_company["agent.json"]["Errors, missed records and refused series"]
    assert lines(panel) == {
        "errors": "0", "failed reloads": "0", "missed records": "0", "dropped series": "0",
    }  # fmt: skip


def test_no_panel_has_a_series_without_a_name(of_company: Shown) -> None:
    for name, board in of_company.items():
        for title, panel in board.items():
            if title != "marks":
                shown = [s["name"] for s in (*panel.get("numbers", []), *panel.get("series", []))]
                assert all(s.strip() and s != "Value" for s in shown), (name, title, shown)


def test_of_two_hundred_series_the_board_shows_the_worst(of_shops: Shown) -> None:
    board = of_shops["kpi-kpi_01.json"]
    worst = sorted(
        (int(n["text"].split()[0]), n["name"]) for n in board["Last closed window"]["numbers"]
    )
    assert len(worst) == NUMBERS
    values = [s for s in board["Value against its bands"]["series"] if ":" not in s["name"]]
    assert len(values) == LINES
    least = sorted(int(s["text"].split()[0]) for s in values)
    assert [value for value, _ in worst] == least[:NUMBERS]
    assert len(board["Target state"]["series"]) == ROWS
    assert {s["text"] for s in board["Target state"]["series"]} == {"✕ missed"}
    assert {s["text"] for s in board["Alerts"]["series"]} == {"● firing"}
    assert len(of_shops["strategy.json"]["Targets"]["rows"]) == 200
