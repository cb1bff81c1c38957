"""The strategy board's queries, answered by Prometheus over the series of two workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.generate.grafana import dashboards
from agent.language.load import load
from tests.generate.queries import fill

from .promtool_answers import check_answers

pytestmark = pytest.mark.needs_prometheus

LONG = "share_of_orders_that_were_delivered_on_the_promised_day"
RULES = f"""
events:
  order.paid:
    topic: shop
    time: at
    fields: {{amount: float, region: string, title: string, pod: string, service: string}}
kpis:
  revenue:
    {{title: Revenue, owner: ann, from: order.paid, value: sum(amount), by: [region], window: 5m,
     target: {{at_least: 100}}}}
  books:
    {{title: Books sold, owner: bob, from: order.paid, value: count(*), by: [title, pod],
     window: 5m, target: {{at_least: 10}}}}
  calls:
    {{title: Calls, from: order.paid, value: count(*), by: [service], window: 5m,
     target: {{at_least: 10}}}}
  {LONG}:
    {{title: Punctual, from: order.paid, value: count(*), window: 5m, target: {{at_least: 10}}}}
rules:
  few_books: {{kpi: books, when: value < 5, severity: warning}}
  low_revenue: {{kpi: revenue, when: value < 50, severity: warning}}
  all_low: {{when: few_books and low_revenue, severity: critical, owner: eve}}
"""

SCRAPE = {"namespace": "shop", "service": "kpi-agent", "endpoint": "web", "job": "kpi-agent"}
"""What the Prometheus operator adds, with `honorLabels`, to series that do not have it."""


def series(name: str, worker: str, **labels: str) -> str:
    scrape = SCRAPE | {"pod": f"kpi-agent-{worker}", "instance": f"10.0.0.{worker}:9108"}
    inside = ",".join(f'{k}="{v}"' for k, v in sorted((scrape | labels).items()))
    return f"{name}{{{inside}}}"


def sample(name: str, value: float, **labels: str) -> dict[str, object]:
    """One sample a worker: while a series changes hands both export it."""
    return {"series": [series(name, w, **labels) for w in "01"], "values": f"{value}x5"}


SAMPLES = [
    sample("kpi_info", 1, kpi="revenue", title="Revenue", owner="ann", objective="plan,growth"),
    sample("kpi_info", 1, kpi="books", title="Books sold", owner="bob"),
    sample("kpi_info", 1, kpi="calls", title="Calls", owner=""),
    sample("kpi_info", 1, kpi=LONG, title="Punctual", owner=""),
    sample("kpi_target_state", 1, kpi="revenue", region="emea"),
    sample("kpi_target_state", 3, kpi="books", title="Emma", pod="a"),
    sample("kpi_target_state", 2, kpi="books", title="Emma", pod="b"),
    sample("kpi_target_state", 1, kpi="calls", service="billing"),
    sample("kpi_target_state", 1, kpi=LONG),
    sample("kpi_target_attainment_ratio", 1.5, kpi="revenue", region="emea"),
    sample("kpi_target_attainment_ratio", 0.5, kpi="books", title="Emma", pod="a"),
    sample("kpi_target_attainment_ratio", 0.9, kpi="books", title="Emma", pod="b"),
    sample(
        "kpi_rule_state", 2, kpi="books", rule="few_books", severity="warning", title="E", pod="a"
    ),
    sample(
        "kpi_rule_state", 0, kpi="books", rule="few_books", severity="warning", title="E", pod="b"
    ),
    sample(
        "kpi_rule_state", 1, kpi="revenue", rule="low_revenue", severity="warning", region="emea"
    ),
    sample("kpi_rule_state", 3, kpi="revenue", rule="low_revenue", severity="info", region="emea"),
    sample("kpi_rule_state", 2, rule="all_low", severity="critical"),
]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict:
    rules = tmp_path_factory.mktemp("rules")
    (rules / "rules.yaml").write_text(RULES)
    return json.loads(dashboards(load(rules))["strategy.json"])


def expressions(board: dict, title: str) -> list[str]:
    (panel,) = (p for p in board["panels"] if p["title"] == title)
    return [target["expr"] for target in panel["targets"]]


def asked(board: dict, title: str) -> list[str]:
    return [fill(expr) for expr in expressions(board, title)]


def answers(query: str, wanted: dict[str, float], folder: Path) -> None:
    """Prometheus answers a query over `SAMPLES` with these samples, by their labels."""
    inputs = [
        {"series": s, "values": sample["values"]} for sample in SAMPLES for s in sample["series"]
    ]
    check_answers(inputs, query, wanted, folder)


def row(kpi: str, kpi_title: str, board: str = "", owner: str = "", **labels: str) -> str:
    pairs = {"kpi": kpi, "kpi_title": kpi_title, "kpi_board": board or f"kpi-{kpi}", "owner": owner}
    pairs |= SCRAPE | labels
    return "{" + ", ".join(f'{k}="{v}"' for k, v in sorted(pairs.items()) if v) + "}"


PLAIN = {"service": ""}
"""`service` is a dimension of one KPI, so that for all others the scrape's is dropped."""


def test_the_table_of_targets_has_every_series_with_its_own_dimensions_title_and_board(
    board: dict, tmp_path: Path
) -> None:
    state, attainment = asked(board, "Targets")
    uid = "kpi-share_of_orders_that_were_d-"
    (known,) = {part for part in state.split('"') if part.startswith(uid)}
    books = {"title": "Emma", "owner": "bob"}
    answers(
        state,
        {
            row("revenue", "Revenue", owner="ann", region="emea", **PLAIN): 1,
            row("books", "Books sold", pod="a", **books, **PLAIN): 3,
            row("books", "Books sold", pod="b", **books, **PLAIN): 2,
            row("calls", "Calls", service="billing"): 1,
            row(LONG, "Punctual", board=known, **PLAIN): 1,
        },
        tmp_path,
    )
    answers(
        attainment,
        {
            row("revenue", "Revenue", owner="ann", region="emea", **PLAIN): 1.5,
            row("books", "Books sold", pod="a", **books, **PLAIN): 0.5,
            row("books", "Books sold", pod="b", **books, **PLAIN): 0.9,
        },
        tmp_path,
    )


def test_the_table_of_alerts_has_those_of_composite_rules_too(board: dict, tmp_path: Path) -> None:
    states, urgency = asked(board, "Rules, firing first")
    few = {"rule": "few_books", "severity": "warning", "title": "E", "owner": "bob"} | PLAIN
    composite = SCRAPE | PLAIN | {"rule": "all_low", "severity": "critical", "owner": "eve"}
    low = {"rule": "low_revenue", "owner": "ann", "region": "emea"} | PLAIN
    rows = {
        row("books", "Books sold", pod="a", **few): 2,
        row("books", "Books sold", pod="b", **few): 0,
        row("revenue", "Revenue", severity="warning", **low): 1,
        row("revenue", "Revenue", severity="info", **low): 3,
        "{" + ", ".join(f'{k}="{v}"' for k, v in sorted(composite.items()) if v) + "}": 2,
    }
    answers(states, rows, tmp_path)
    inhibited = 3
    answers(urgency, {k: 0 if v == inhibited else v for k, v in rows.items()}, tmp_path)


def test_alerts_are_sorted_by_what_they_ask_for_and_inhibited_ones_ask_for_nothing(
    board: dict,
) -> None:
    (panel,) = (p for p in board["panels"] if p["title"] == "Rules, firing first")
    by = {t["id"]: t["options"] for t in panel["transformations"]}
    assert by["sortBy"] == {"sort": [{"field": "Value #B", "desc": True}]}
    assert "Value #B" not in by["organize"]["includeByName"]


def test_the_strategy_board_marks_critical_alerts_and_maintenance_by_name(
    board: dict, tmp_path: Path
) -> None:
    (mark,) = board["annotations"]["list"]
    assert (mark["name"], mark["titleFormat"]) == ("Critical alerts", "{{rule}}")
    answers(fill(mark["expr"]), {'{rule="all_low"}': 2}, tmp_path)


def test_the_counts_are_of_series_not_of_workers(board: dict, tmp_path: Path) -> None:
    (missed,) = asked(board, "✕ missed")
    (met,) = asked(board, "✓ met")
    (firing,) = asked(board, "● firing")
    for query, wanted in ((missed, 1), (met, 3), (firing, 2)):
        answers(query, {"{}": wanted}, tmp_path)


@pytest.mark.parametrize(
    ("chosen", "met", "missed", "firing"),
    [
        ({"owner": "ann"}, 1, 0, 1),
        ({"owner": "bob"}, 0, 1, 2),
        ({"owner": "(ann|bob)"}, 1, 1, 2),
        ({"objective": "growth"}, 1, 0, 1),
        ({"objective": "grow"}, 0, 0, 1),
    ],
)
def test_an_owner_or_an_objective_has_its_own_counts_and_all_see_rules_over_several_kpis(
    board: dict, tmp_path: Path, chosen: dict[str, str], met: int, missed: int, firing: int
) -> None:
    for title, wanted in {"✓ met": met, "✕ missed": missed, "● firing": firing}.items():
        (expr,) = expressions(board, title)
        for variable, value in chosen.items():
            assert f"${variable}" in expr
            expr = expr.replace(f"${variable}", value)
        answers(fill(expr), {"{}": wanted}, tmp_path)


def test_the_lowest_attainment_is_shown_by_the_kpis_title(board: dict, tmp_path: Path) -> None:
    (query,) = asked(board, "Attainment, the lowest of each KPI")
    answers(
        query,
        {
            '{kpi="books", kpi_title="Books sold"}': 0.5,
            '{kpi="revenue", kpi_title="Revenue"}': 1.5,
        },
        tmp_path,
    )


def test_a_link_from_the_tables_leads_to_the_kpis_board_also_where_its_uid_is_shortened(
    board: dict,
) -> None:
    for title in ("Targets", "Rules, firing first"):
        (panel,) = (p for p in board["panels"] if p["title"] == title)
        set_of_kpi = {
            setting["id"]: setting["value"]
            for override in panel["fieldConfig"]["overrides"]
            if override["matcher"]["options"] == "KPI"
            for setting in override["properties"]
        }
        assert set_of_kpi["links"][0]["url"] == "/d/${__data.fields.Board}"
