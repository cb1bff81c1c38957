"""Boards of a KPI with many series show those that matter, as Prometheus picks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.model.kpis import Target
from agent.core.model.plan import Plan
from agent.generate.grafana import dashboards
from agent.generate.ranking import LINES, NUMBERS, ROWS
from tests.generate.queries import fill

from .plans import company, kpi, level, threshold
from .promtool_answers import check_answers

SHOPS = [f"{n:03}" for n in range(60)]
EVAL_TIME = "20m"


def plan_of_waits(better: str = "lower") -> Plan:
    target = Target(at_most=240) if better == "lower" else Target(at_least=100)
    waits = replace(kpi("waits", "seconds", by=("shop",), target=target), better=better)
    rule = threshold("slow", "waits", level("warning", "value > 400"))
    return replace(company(), kpis={"waits": waits}, rules={"slow": rule}, objectives={})


def panel(plan: Plan, title: str, address: str = "") -> dict:
    board = json.loads(dashboards(plan, address=address)["kpi-waits.json"])
    (shown,) = (p for p in board["panels"] if p["title"] == title)
    return shown


def asked(plan: Plan, title: str) -> str:
    expr: str = panel(plan, title)["targets"][0]["expr"]
    return fill(expr)


def samples(metric: str, values: Mapping[str, str], **labels: str) -> list[dict[str, str]]:
    """A series for each shop, as one worker exports it."""
    own = "".join(f'{k}="{v}",' for k, v in labels.items())
    return [
        {"series": f'{metric}{{{own}shop="{shop}",instance="i",pod="p"}}', "values": v}
        for shop, v in values.items()
    ]


def rising() -> dict[str, str]:
    """Each shop waits longer than the one before it; now, as before the other way round."""
    return {shop: f"{60 - n}x5 {n}x15" for n, shop in enumerate(SHOPS)}


@pytest.mark.needs_prometheus
@pytest.mark.parametrize(
    ("better", "title", "shown"),
    [
        ("lower", "Value against its bands", SHOPS[-LINES:]),
        ("lower", "Last closed window", SHOPS[-NUMBERS:]),
        ("higher", "Value against its bands", SHOPS[:LINES]),
    ],
)
def test_the_worst_series_at_the_end_of_the_range_are_drawn(
    better: str, title: str, shown: list[str], tmp_path: Path
) -> None:
    values = samples("kpi_waits_seconds", rising())
    wanted = {f'{{shop="{shop}"}}': float(SHOPS.index(shop)) for shop in shown}
    check_answers(values, asked(plan_of_waits(better), title), wanted, tmp_path, EVAL_TIME)


@pytest.mark.needs_prometheus
def test_lines_stay_when_the_last_samples_of_all_series_are_older_than_prometheus_looks_back(
    tmp_path: Path,
) -> None:
    """A range query asks for each of its points; this is one of those before the agent stopped."""
    values = samples("kpi_waits_seconds", {shop: f"{n}x3" for n, shop in enumerate(SHOPS)})
    query = asked(plan_of_waits(), "Value against its bands")
    ranked = query.partition(" and on (shop) ")[2]
    wanted = {f'{{shop="{shop}"}}': float(SHOPS.index(shop)) for shop in SHOPS[-LINES:]}
    check_answers(values, ranked, wanted, tmp_path, EVAL_TIME)


@pytest.mark.needs_prometheus
def test_alerts_that_fire_come_first_then_those_that_did_and_inhibited_ones_last(
    tmp_path: Path,
) -> None:
    states = dict.fromkeys(SHOPS, "3x20")
    states |= dict.fromkeys(SHOPS[50:58], "0x18 2x2")
    states |= dict.fromkeys(SHOPS[20:22], "2x10 0x10")
    values = samples("kpi_rule_state", states, kpi="waits", rule="slow", severity="warning")
    labels = 'kpi="waits", rule="slow", severity="warning"'
    wanted = {f'{{{labels}, shop="{shop}"}}': 2.0 for shop in SHOPS[50:58]}
    wanted |= {f'{{{labels}, shop="{shop}"}}': 0.0 for shop in SHOPS[20:22]}
    assert len(wanted) == ROWS
    check_answers(values, asked(plan_of_waits(), "Alerts"), wanted, tmp_path, EVAL_TIME)


def test_a_legend_of_many_lines_is_a_table_with_the_worst_first() -> None:
    for better, highest_first in (("lower", True), ("higher", False)):
        shown = panel(plan_of_waits(better), "Value against its bands")
        legend = shown["options"]["legend"]
        assert (legend["displayMode"], legend["placement"]) == ("table", "right")
        assert (legend["sortBy"], legend["sortDesc"]) == ("Last *", highest_first)
        hidden = [
            override["matcher"]["options"]
            for override in shown["fieldConfig"]["overrides"]
            if override["properties"][0]["id"] == "custom.hideFrom"
        ]
        word = "at most" if better == "lower" else "at least"
        assert hidden == ["/^open:/", f"/^target {word}:/"]


def test_a_panel_says_how_many_of_its_series_it_shows() -> None:
    assert (
        "more than 20 series, the highest are"
        in panel(plan_of_waits(), "Attainment")["description"]
    )


def test_a_series_leads_to_its_own_page() -> None:
    shown = panel(plan_of_waits(), "Value against its bands", "https://kpis.example.org")
    (links,) = (
        override["properties"][0]["value"]
        for override in shown["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byFrameRefID", "options": "A"}
    )
    page = "https://kpis.example.org/kpis/waits?series="
    assert links == [
        {
            "title": "Open its page",
            "url": f"{page}shop%3D%22${{__field.labels.shop:percentencode}}%22",
        }
    ]
