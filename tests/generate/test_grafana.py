from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import promql_parser
import pytest
import yaml

from agent.core.evaluate.objectives import Score
from agent.core.model.plan import Maintenance
from agent.core.model.schedules import Schedule, Weekdays
from agent.core.model.windows import CalendarWindow, FixedWindow, Window
from agent.core.output.addresses import MAX_UID, kpi_board_uid
from agent.generate import files
from agent.generate.grafana import dashboards, grafana_files, provisioning
from agent.generate.layout import WHAT
from agent.generate.panels import grafana_unit
from agent.generate.prometheus import Deployment, alert_rules
from tests.generate.queries import queries

from .plans import company, kpi, level, threshold

BOARDS = {name: json.loads(text) for name, text in dashboards(company()).items()}
NAMES = sorted(BOARDS)


def panels(board: dict) -> list[dict]:
    return [p for p in board["panels"] if p["type"] != "row"]


def panel(board: str, title: str) -> dict:
    (chosen,) = (p for p in panels(BOARDS[board]) if p["title"] == title)
    return chosen


def expressions(shown: dict) -> list[str]:
    return [t["expr"] for t in shown["targets"]]


def test_there_is_a_strategy_an_agent_and_a_board_for_each_kpi() -> None:
    assert NAMES == [
        "agent.json",
        "kpi-conversion.json",
        "kpi-orders.json",
        "kpi-response_time.json",
        "kpi-revenue.json",
        "kpi-visits.json",
        "strategy.json",
    ]


def test_boards_are_the_same_text_each_time() -> None:
    assert dashboards(company()) == dashboards(company())


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_in_which_unit(name: str) -> None:
    for shown in panels(BOARDS[name]):
        assert shown["title"], shown
        assert shown["description"], shown["title"]
        assert shown["fieldConfig"]["defaults"]["unit"], shown["title"]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_and_query_reads_the_one_data_source_variable(name: str) -> None:
    board = BOARDS[name]
    variables = [v for v in board["templating"]["list"] if v["type"] == "datasource"]
    assert [(v["name"], v["query"]) for v in variables] == [("datasource", "prometheus")]
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    sources = [p["datasource"] for p in panels(board)]
    sources += [t["datasource"] for p in panels(board) for t in p.get("targets", [])]
    assert [s for s in sources if s != wanted] == []


@pytest.mark.parametrize("name", NAMES)
def test_panels_are_numbered_apart(name: str) -> None:
    ids = [p["id"] for p in BOARDS[name]["panels"]]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_on_the_grid_without_overlap(name: str) -> None:
    places = [p["gridPos"] for p in BOARDS[name]["panels"]]
    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for panel_place, other in itertools.combinations(places, 2):
        apart_x = (
            panel_place["x"] + panel_place["w"] <= other["x"]
            or other["x"] + other["w"] <= panel_place["x"]
        )
        apart_y = (
            panel_place["y"] + panel_place["h"] <= other["y"]
            or other["y"] + other["h"] <= panel_place["y"]
        )
        assert apart_x or apart_y, (panel_place, other)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_promql(name: str) -> None:
    listed = queries(json.dumps(BOARDS[name]))
    assert listed
    for query in listed:
        promql_parser.parse(query)
        assert not re.search(r"\$[a-z_{]", query)


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_over_the_interval_that_grafana_chooses(name: str) -> None:
    for shown in panels(BOARDS[name]):
        for expr in (t["expr"] for t in shown.get("targets", [])):
            if "rate(" in expr or "increase(" in expr:
                assert "[$__rate_interval]" in expr


@pytest.mark.parametrize("name", NAMES)
def test_the_other_rules_of_grafanas_dashboard_linter_hold(name: str) -> None:
    """Those of https://github.com/grafana/dashboard-linter/tree/main/docs that no test above
    states; `job` and `instance` are no variables, as a KPI's series are those of all workers."""
    board = BOARDS[name]
    on_time_range_change = 2
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["refresh"] == on_time_range_change, variable["name"]
    for shown in panels(board):
        assert shown["type"] == "text" or shown["targets"], shown["title"]
        for target in shown.get("targets", []):
            assert not target.get("hide"), shown["title"]
            counters = re.findall(r"(\w*)\(?\s*\b\w+_total\b", target["expr"])
            assert set(counters) <= {"rate", "increase"}, target["expr"]


def test_uids_are_fixed_and_apart() -> None:
    uids = {name: board["uid"] for name, board in BOARDS.items()}
    assert uids["strategy.json"] == "kpis-strategy"
    assert uids["kpi-revenue.json"] == "kpi-revenue"
    assert len(set(uids.values())) == len(uids)


def test_a_long_name_has_a_uid_within_grafanas_limit_of_its_own() -> None:
    uid, other = kpi_board_uid("x" * 60 + "a"), kpi_board_uid("x" * 60 + "b")
    assert len(uid) == MAX_UID
    assert uid != other


def test_a_kpi_is_drawn_with_the_bands_it_has_and_no_others() -> None:
    drawn = expressions(panel("kpi-response_time.json", "Value against its bands"))
    assert [re.split(r"\) and on ", query)[0] for query in drawn] == [
        '(max without (instance, pod) (kpi_response_time_seconds{region=~"$region"})',
        '(max without (instance, pod) (kpi_response_time_current_seconds{region=~"$region"})',
        "(max without (instance, pod) "
        '(kpi_response_time_target_seconds{band="at_most",region=~"$region"})',
        "(max without (instance, pod) "
        '(kpi_response_time_target_seconds{band="warn_at_most",region=~"$region"})',
    ]


def test_each_dimension_has_a_variable() -> None:
    variables = BOARDS["kpi-revenue.json"]["templating"]["list"]
    offered = [(v["name"], v["query"]) for v in variables if v["type"] == "query"]
    assert offered == [
        ("region", "label_values(kpi_revenue_gbp, region)"),
        ("pod", "label_values(kpi_revenue_gbp, pod)"),
    ]


def test_a_kpi_without_target_or_rules_has_no_panels_for_them() -> None:
    titles = {p["title"] for p in panels(BOARDS["kpi-visits.json"])}
    assert not titles & {"Target", "Target state", "Attainment", "Alerts"}


def test_units_are_grafanas() -> None:
    value = "Last closed window"
    unit = {
        name: panel(name, value)["fieldConfig"]["defaults"]["unit"]
        for name in NAMES
        if name.startswith("kpi-")
    }
    assert unit == {
        "kpi-conversion.json": "percentunit",
        "kpi-orders.json": "short",
        "kpi-response_time.json": "s",
        "kpi-revenue.json": "currencyGBP",
        "kpi-visits.json": "short",
    }


def test_a_unit_that_grafana_does_not_know_stands_after_the_number() -> None:
    assert grafana_unit("support_tickets") == "suffix:support tickets"


def test_states_are_reported_by_a_sign_and_a_word_beside_the_colour() -> None:
    (mapping,) = panel("kpi-revenue.json", "Target state")["fieldConfig"]["defaults"]["mappings"]
    assert {k: v["text"] for k, v in mapping["options"].items()} == {
        "0": "○ no data",
        "1": "✓ met",
        "2": "▲ at risk",
        "3": "✕ missed",
    }
    assert len({v["color"] for v in mapping["options"].values()}) == 4


def test_each_objective_has_its_score_and_what_it_is_made_of() -> None:
    growth = panel("strategy.json", "Growth")
    assert expressions(growth) == [
        'max without (instance, pod) (kpi_objective_score_ratio{objective="growth"})'
    ]
    assert "60% [Revenue](/d/kpi-revenue)" in growth["description"]
    steps = growth["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert len(steps) == 3
    for value in (0.0, 0.85, 0.9, 0.96, 0.998, 0.999, 1.0):
        coloured = sum(step["value"] is None or value >= step["value"] for step in steps)
        assert Score(value).state == ("missed", "at_risk", "met")[coloured - 1], value


def links(board: dict) -> Iterator[str]:
    for link in board["links"]:
        if link["type"] == "link":
            yield link["url"]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_boards_that_exist(name: str) -> None:
    addresses = {f"/d/{board['uid']}" for board in BOARDS.values()}
    assert set(links(BOARDS[name])) <= addresses


def test_grafana_finds_its_boards_and_its_data() -> None:
    made = {name: yaml.safe_load(text) for name, text in provisioning().items()}
    (source,) = made["datasources/kpi-agent.yaml"]["datasources"]
    (provider,) = made["dashboards/kpi-agent.yaml"]["providers"]
    assert (source["type"], source["url"]) == ("prometheus", "$PROMETHEUS_URL")
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_generating_twice_changes_nothing(tmp_path: Path) -> None:
    written = files.write(tmp_path, grafana_files(company()), WHAT)
    assert {p.relative_to(tmp_path).as_posix() for p in written} == set(grafana_files(company()))
    assert files.write(tmp_path, grafana_files(company()), WHAT) == []


def test_the_board_of_a_kpi_marks_its_maintenance() -> None:
    schedule = Schedule("UTC", Weekdays(frozenset({6})), 120, 14_400_000)
    backup = Maintenance("backup", "Backup", "", frozenset({"revenue"}), {}, schedule)
    plan = replace(company(), maintenance={"backup": backup})
    boards = {name: json.loads(text) for name, text in dashboards(plan).items()}
    annotation = boards["kpi-revenue.json"]["annotations"]["list"][-1]
    assert annotation["name"] == "Maintenance"
    assert annotation["datasource"]["uid"] == "${datasource}"
    promql_parser.parse(annotation["expr"])
    assert (
        'kpi="revenue"' in annotation["expr"] and annotation["expr"].count("kpi_maintenance") == 1
    )
    published = "every week on sunday at 02:00 for 4h in UTC"
    assert published in json.dumps(boards["kpi-revenue.json"])
    marks = boards["kpi-orders.json"]["annotations"].get("list", [])
    assert "Maintenance" not in {mark["name"] for mark in marks}


def test_the_board_of_a_kpi_marks_when_its_rules_fired() -> None:
    marked = {
        name: [mark["expr"] for mark in board["annotations"].get("list", [])]
        for name, board in BOARDS.items()
    }
    assert marked["kpi-response_time.json"] == [
        "max by (rule, severity) (max without (instance, pod) "
        '(kpi_rule_state{kpi="response_time",region=~"$region"}) == 2)'
    ]
    assert marked["kpi-visits.json"] == []
    (mark,) = BOARDS["kpi-response_time.json"]["annotations"]["list"]
    assert mark["titleFormat"] == "{{rule}} ({{severity}})"


@pytest.mark.parametrize(
    ("window", "since", "refresh"),
    [
        (FixedWindow(10_000, 10_000), "now-1h", "10s"),
        (FixedWindow(300_000, 300_000), "now-6h", "30s"),
        (FixedWindow(3_600_000, 60_000), "now-6h", "10s"),
        (FixedWindow(3_600_000, 3_600_000), "now-2d", "5m"),
        (CalendarWindow("day", "UTC"), "now-90d", "5m"),
        (CalendarWindow("month", "Europe/Oslo"), "now-5y", "5m"),
        (CalendarWindow("year", "UTC"), "now-5y", "5m"),
    ],
)
def test_a_board_opens_at_the_range_and_refresh_of_its_kpis_window(
    window: Window, since: str, refresh: str
) -> None:
    plan = replace(company(), kpis={"visits": kpi("visits", None, window=window)}, rules={})
    board = json.loads(dashboards(replace(plan, objectives={}))["kpi-visits.json"])
    assert (board["time"], board["refresh"]) == ({"from": since, "to": "now"}, refresh)


def test_the_strategy_board_shows_the_kpis_of_an_owner_or_an_objective() -> None:
    variables = BOARDS["strategy.json"]["templating"]["list"]
    offered = {v["name"]: v["query"] for v in variables if v["type"] == "query"}
    assert offered == {
        "owner": "label_values(kpi_info, owner)",
        "objective": "label_values(kpi_objective_score_ratio, objective)",
    }
    about_kpis = [
        expr
        for shown in panels(BOARDS["strategy.json"])
        for expr in expressions(shown)
        if "kpi_objective" not in expr
    ]
    assert len(about_kpis) > 8
    assert [e for e in about_kpis if "$owner" not in e or "$objective" not in e] == []


def test_boards_lead_to_the_agents_own_pages_and_to_runbooks() -> None:
    plan = company()
    rules = {n: replace(r, runbook=f"https://wiki/{n}") for n, r in plan.rules.items()}
    made = dashboards(replace(plan, rules=rules), address="https://kpis.example.org")
    boards = {name: json.loads(text) for name, text in made.items()}

    def outside(name: str) -> list[tuple[str, bool]]:
        links = boards[name]["links"]
        return [(lk["url"], lk["keepTime"]) for lk in links if "example" in lk.get("url", "")]

    assert outside("kpi-revenue.json") == [("https://kpis.example.org/kpis/revenue", False)]
    assert outside("strategy.json") == [("https://kpis.example.org/", False)]
    assert "<https://wiki/" in made["kpi-response_time.json"]
    assert "Live" not in json.dumps([board["links"] for board in BOARDS.values()])


def test_a_board_is_changed_in_the_rules_and_not_in_grafana() -> None:
    assert {board.get("editable", False) for board in BOARDS.values()} == {False}


def test_boards_of_one_title_say_which_kpi_they_are_of() -> None:
    plan = company()
    titles = {"revenue": "Strategy", "orders": "Volume", "visits": "volume"}
    kpis = {n: replace(k, title=titles.get(n, k.title)) for n, k in plan.kpis.items()}
    boards = [json.loads(text) for text in dashboards(replace(plan, kpis=kpis)).values()]
    title_of = {board["uid"]: board["title"] for board in boards}
    assert title_of["kpi-revenue"] == "Strategy (revenue)"
    assert title_of["kpi-orders"] == "Volume (orders)"
    assert title_of["kpi-visits"] == "volume (visits)"
    assert title_of["kpi-conversion"] == "Conversion"


def test_a_dimension_called_datasource_has_a_variable_beside_that_of_the_data_source() -> None:
    source = kpi("reads", None, by=("datasource", "datasource_"))
    plan = replace(company(), kpis={"reads": source}, rules={}, objectives={})
    board = json.loads(dashboards(plan)["kpi-reads.json"])
    assert [v["name"] for v in board["templating"]["list"]] == [
        "datasource", "datasource_", "datasource__",
    ]  # fmt: skip
    asked = board["panels"][1]["targets"][0]["expr"]
    assert asked.startswith(
        "(max without (instance, pod) "
        '(kpi_reads{datasource=~"$datasource_",datasource_=~"$datasource__"}))'
    )
    ruled = replace(plan, rules={"r": threshold("r", "reads", level("info", "f > 1"))})
    rules = alert_rules(ruled, Deployment(grafana="https://grafana.example.org"))
    assert "?var-datasource_={{ $labels.datasource | urlquery }}" in rules
