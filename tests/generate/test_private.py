"""Nothing of a private KPI is on a board that everybody sees."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import promql_parser
import yaml

from agent.core.model.plan import Objective
from agent.generate.grafana import dashboards
from agent.generate.prometheus import Deployment, alert_rules
from tests.generate.queries import queries

from .plans import company, kpi, level, threshold

WORK = replace(
    kpi("work_done", None, by=("desk", "employee")), person="employee", title="Work done"
)
SLOW = threshold("slow_work", "work_done", level("warning", "value < 3"))
_PLAIN = company()
PLAN = replace(
    _PLAIN,
    kpis=_PLAIN.kpis | {"work_done": WORK},
    rules=_PLAIN.rules | {"slow_work": SLOW},
    objectives=_PLAIN.objectives
    | {"work": Objective("work", "Work", "", None, {"work_done": 0.5, "revenue": 0.5})},
)


def test_a_private_kpi_has_no_board_and_is_named_on_none() -> None:
    made = dashboards(PLAN)
    assert "kpi-work_done.json" not in made
    for name, text in made.items():
        published = json.loads(text)
        assert "Work done" not in text, name
        assert "employee" not in json.dumps(published), name


def test_a_kpi_that_sums_people_up_has_a_board_that_leads_to_none_of_theirs() -> None:
    summed = kpi("desk_work", None, by=("desk",), source=None, inputs=("work_done",))
    made = dashboards(replace(PLAN, kpis=PLAN.kpis | {"desk_work": summed}))
    assert "- **From**: Work done" in made["kpi-desk_work.json"]
    assert "/d/kpi-work_done" not in "".join(made.values())


def test_the_strategy_board_asks_for_no_series_of_people() -> None:
    asked = queries(dashboards(PLAN)["strategy.json"])
    of_all = [q for q in asked if "kpi_target_" in q or "kpi_rule_state" in q]
    assert of_all
    for query in of_all:
        promql_parser.parse(query)
        # Named one by one, or all but the private ones.
        parts = re.findall(r"kpi_(?:target_\w+|rule_state)\{([^}]*)\}", query)
        assert parts
        for part in parts:
            assert 'kpi=~"revenue"' in part or re.search(r'kpi!~"(\w+\|)*work_done"', part), part
        assert ("kpi_rule_state" in query) == ('rule!~"slow_work"' in query)


def test_boards_of_plans_without_people_ask_as_before() -> None:
    plain = replace(_PLAIN, kpis=_PLAIN.kpis | {"revenue": kpi("revenue", "gbp", by=("region",))})
    assert not any("!~" in q for q in queries(dashboards(plain)["strategy.json"]))


def test_alerts_of_private_kpis_lead_to_no_board_of_theirs() -> None:
    deployed = Deployment("https://kpis.example.org", "https://grafana.example.org")
    entries = [r for g in yaml.safe_load(alert_rules(PLAN, deployed))["groups"] for r in g["rules"]]
    private = [e for e in entries if e.get("labels", {}).get("kpi") == "work_done"]
    assert not any("kpi_url" in e["annotations"] for e in private)
    assert {e["alert"] for e in private} == {"slow_work", "KpiStale", "KpiEventsLate"}
    for entry in private:
        assert entry["annotations"]["dashboard_url"].endswith("/d/kpis-strategy")
