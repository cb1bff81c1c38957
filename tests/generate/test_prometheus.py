from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import promql_parser
import pytest
import yaml

from agent.core.model.plan import Plan
from agent.core.model.windows import CalendarWindow, FixedWindow
from agent.generate import files
from agent.generate.agent_alerts import agent_alerts, stale_after_seconds
from agent.generate.data_alerts import data_alerts, late_alerts
from agent.generate.prometheus import (
    RULES_FILE,
    WHAT,
    Deployment,
    alert_rules,
    prometheus_files,
)

from .plans import absence, company, kpi, level, threshold

ROOT = Path(__file__).parents[2]
SCENARIOS = Path(__file__).parent / "promtool"
DEPLOYED = Deployment(
    "https://kpis.example.org", "https://grafana.example.org", "https://example.org/runbooks"
)


def recorded(text: str) -> list[dict]:
    return [r for g in yaml.safe_load(text)["groups"] for r in g["rules"] if "record" in r]


def write_rules(plan: Plan, folder: Path) -> list[Path]:
    return files.write(folder, prometheus_files(plan, DEPLOYED), WHAT)


def entries(text: str) -> list[dict]:
    return [r for g in yaml.safe_load(text)["groups"] for r in g["rules"] if "alert" in r]


def entry(name: str, severity: str) -> dict:
    (rule,) = (
        e
        for e in entries(alert_rules(company()))
        if e["alert"] == name and e["labels"]["severity"] == severity
    )
    return rule


def test_a_kpi_alert_only_tests_the_state_that_the_agent_has_decided() -> None:
    rule = entry("slow_support", "critical")
    assert rule["expr"] == (
        'last_over_time(kpi:kpi_rule_state:max{rule="slow_support",severity="critical",'
        'kpi="response_time"}[10m]) == 2 unless on () (kpi_agent_alert_delivery_up or '
        "(last_over_time(kpi_agent_alert_delivery_up[15m]) unless on () kpi_agent_build_info))"
    )
    assert "for" not in rule
    assert "keep_firing_for" not in rule


def test_every_severity_of_a_rule_has_its_alert() -> None:
    text = alert_rules(company())
    severities = [e["labels"]["severity"] for e in entries(text) if e["alert"] == "slow_support"]
    assert severities == ["warning", "critical"]


def test_labels_say_who_and_what() -> None:
    assert entry("slow_support", "warning")["labels"] == {
        "area": "support",
        "severity": "warning",
        "rule": "slow_support",
        "kpi": "response_time",
        "owner": "response_time-owner",
        "team": "sales",
        "objective": "service",
        "series": "region={{ $labels.region }}",
    }


def test_a_rules_own_owner_and_team_come_before_its_kpis() -> None:
    labels = entry("no_orders", "critical")["labels"]
    assert (labels["owner"], labels["team"]) == ("on-call", "shop")


def test_an_alert_of_a_whole_kpi_has_no_series() -> None:
    plan = company()
    rule = absence("silent", "response_time", per="kpi", summary="Nothing: {{ series }}")
    text = alert_rules(replace(plan, rules={"silent": rule}), DEPLOYED)
    (alert,) = (e for e in entries(text) if e["alert"] == "silent")
    assert "series" not in alert["labels"]
    assert alert["annotations"]["dashboard_url"].endswith("/d/kpi-response_time")


def test_a_dimension_that_is_called_like_a_workers_label_is_kept() -> None:
    (rule,) = (r for r in recorded(alert_rules(company())) if 'kpi="revenue"' in r["expr"])
    assert rule["expr"].startswith("max without (instance) (")


def test_the_summary_reads_the_kpis_own_metric() -> None:
    assert entry("slow_support", "warning")["annotations"]["summary"] == (
        "{{ $labels.region }} answers in "
        '{{ with printf "max(kpi_response_time_seconds{region=%q})" $labels.region | query }}'
        "{{ . | first | value | humanize }}{{ else }}no value{{ end }}"
    )


def test_a_rule_on_current_values_reads_the_open_window() -> None:
    assert "kpi_revenue_current_gbp" in entry("odd_revenue", "info")["annotations"]["description"]


def test_a_summary_that_prometheus_cannot_render_becomes_a_plain_sentence() -> None:
    assert entry("odd_revenue", "info")["annotations"]["summary"] == (
        "Revenue: value < 10 (region={{ $labels.region }}, pod={{ $labels.pod }})"
    )


def test_the_dashboard_opens_at_the_alerts_series() -> None:
    text = alert_rules(company(), Deployment(grafana="https://grafana.example.org"))
    (rule,) = (e for e in entries(text) if e["alert"] == "odd_revenue")
    assert rule["annotations"]["dashboard_url"] == (
        "https://grafana.example.org/d/kpi-revenue"
        "?var-region={{ $labels.region | urlquery }}&var-pod={{ $labels.pod | urlquery }}"
    )


def test_no_value_stands_in_a_label() -> None:
    for rule in entries(alert_rules(company())):
        assert not [v for v in rule["labels"].values() if "$value" in v or "query" in v]


def test_every_alert_says_what_it_means_and_where_to_look() -> None:
    for rule in entries(alert_rules(company(), DEPLOYED)):
        where = {"kpi_url"} if "kpi" in rule["labels"] and "rule" in rule["labels"] else set()
        assert set(rule["annotations"]) == where | {
            "summary",
            "description",
            "runbook_url",
            "dashboard_url",
        }
        assert all(rule["annotations"].values())


def test_where_no_address_is_known_nothing_links_there() -> None:
    for rule in entries(alert_rules(company())):
        assert not {"dashboard_url", "kpi_url"} & set(rule["annotations"])
        assert "localhost" not in rule["annotations"].get("runbook_url", "")


def test_an_alert_leads_to_the_page_of_its_series() -> None:
    (rule,) = (e for e in entries(alert_rules(company(), DEPLOYED)) if e["alert"] == "odd_revenue")
    assert rule["annotations"]["kpi_url"] == (
        "https://kpis.example.org/kpis/revenue?series="
        'region%3D{{ printf "%q" $labels.region | urlquery }}%2C'
        'pod%3D{{ printf "%q" $labels.pod | urlquery }}'
    )


def test_runbooks_are_where_the_setting_says() -> None:
    text = alert_rules(company(), replace(DEPLOYED, runbooks="https://git.example.org/{name}.md"))
    (down,) = (e for e in entries(text) if e["alert"] == "KpiAgentDown")
    assert down["annotations"]["runbook_url"] == "https://git.example.org/agent-down.md"


def test_every_runbook_of_the_agent_exists() -> None:
    alerts = (*agent_alerts(), *data_alerts(), *late_alerts(company()))
    stems = {alert.runbook for alert in alerts} | {"kpi-stale", "kpi-alert"}
    missing = [stem for stem in stems if not (ROOT / "docs/runbooks" / f"{stem}.md").is_file()]
    assert missing == []


def test_every_expression_is_promql() -> None:
    for rule in entries(alert_rules(company())):
        promql_parser.parse(rule["expr"])


def test_the_rules_are_the_same_text_each_time() -> None:
    assert alert_rules(company()) == alert_rules(company())


def test_the_rules_say_that_and_how_they_were_made() -> None:
    assert alert_rules(company()).startswith("# generated by kpi-agent generate prometheus\n")


def test_a_kpi_is_stale_after_a_hop_its_lateness_the_idle_time_and_a_margin() -> None:
    plan = company()
    hopping = kpi("a", None, window=FixedWindow(3_600_000, 60_000))
    assert stale_after_seconds(hopping, replace(plan, kpis={"a": hopping})) == 60 + 10 + 30 + 300


def test_a_calendar_kpi_is_stale_after_its_longest_period() -> None:
    plan = company()
    daily = kpi("a", None, window=CalendarWindow("day", "Europe/London"))
    assert stale_after_seconds(daily, replace(plan, kpis={"a": daily})) == 25 * 3600 + 340


def test_a_kpi_over_kpis_waits_for_its_slowest_contract() -> None:
    plan = company()
    slow = replace(plan.contracts["order.completed"], lateness_ms=60_000)
    late = replace(plan, contracts=plan.contracts | {slow.name: slow})
    difference = stale_after_seconds(late.kpis["conversion"], late) - stale_after_seconds(
        plan.kpis["conversion"], plan
    )
    assert difference == 50


@pytest.mark.parametrize("odd", ["{{ .Evil }}", 'quote " and back\\slash', "line\nbreak", "ü € 漢"])
def test_texts_of_people_reach_the_alert_as_they_are(odd: str) -> None:
    plan = company()
    named = replace(plan.kpis["orders"], title=odd, owner=odd)
    text = alert_rules(replace(plan, kpis=plan.kpis | {"orders": named}))
    (rule,) = (e for e in entries(text) if e["alert"] == "no_orders")
    rendered = rule["annotations"]["summary"].replace('{{ "{{" }}', "{{")
    assert rendered == f"{odd}: no event for 15m"


def test_generating_twice_changes_nothing(tmp_path: Path) -> None:
    assert write_rules(company(), tmp_path) == [tmp_path / RULES_FILE]
    assert write_rules(company(), tmp_path) == []


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt-get install prometheus"
    return subprocess.run(
        [tool, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.needs_prometheus
def test_prometheus_accepts_the_rules(tmp_path: Path) -> None:
    odd = replace(company().kpis["orders"], title='{{ .Evil }} "quoted" \\', owner="{{ x")
    plan = company()
    write_rules(replace(plan, kpis=plan.kpis | {"orders": odd}), tmp_path)
    done = promtool("check", "rules", RULES_FILE, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_prometheus
def test_an_alert_fires_while_its_state_is_two_also_across_a_hand_over(tmp_path: Path) -> None:
    write_rules(company(), tmp_path)
    shutil.copy(SCENARIOS / "alert_life.yml", tmp_path)
    done = promtool("test", "rules", "alert_life.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_prometheus
def test_one_of_a_unit_is_singular_in_the_alert(tmp_path: Path) -> None:
    open_tasks = kpi("backlog", "tasks", by=("region",))
    rule = threshold(
        "busy", "backlog", level("info", "value > 0"), summary="{{ value | with_unit }}"
    )
    plan = replace(company(), kpis={"backlog": open_tasks}, rules={"busy": rule}, objectives={})
    write_rules(plan, tmp_path)
    state = 'kpi_rule_state{rule="busy",severity="info",kpi="backlog",region='
    counts = {"ams": "1x2", "ber": "4x2", "cph": "0x2", "dub": "_x2"}
    series = [{"series": f'{state}"{region}"}}', "values": "2x2"} for region in counts]
    series += [
        {"series": f'kpi_backlog_tasks{{region="{region}"}}', "values": values}
        for region, values in counts.items()
    ]
    case = {"eval_time": "1m", "alertname": "busy", "exp_alerts": []}
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [case]}
    scenario = {"rule_files": [RULES_FILE], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "units.yml").write_text(yaml.safe_dump(scenario))
    rendered = promtool("test", "rules", "units.yml", cwd=tmp_path)
    got = (rendered.stdout + rendered.stderr).partition("got:")[2]
    assert re.findall(r'summary="([^"]*)"', got) == ["1 task", "4 tasks", "0 tasks", "no value"]


@pytest.mark.needs_prometheus
def test_the_agents_own_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    write_rules(produced(company()), tmp_path)
    firing_at = {
        "KpiAgentDown": {"0m": 0, "3m": 1},
        "KpiAgentAbsent": {"15m": 0, "24m": 1},
        "KpiAgentNotReady": {"3m": 0, "6m": 1},
        "KpiAgentLagging": {"20m": 2},  # its warning and its critical level
        "KpiAgentMergeLagging": {"0m": 0, "20m": 1},
        "KpiAgentNoEvents": {"10m": 1, "25m": 1},  # of the calm installation alone
        "KpiAgentDeadLetters": {"20m": 2},  # of two topics
        "KpiEventsRejected": {"4m": 0, "20m": 1},
        "KpiAgentLateEvents": {"20m": 0},
        "KpiEventsLate": {"4m": 0, "20m": 1},  # for revenue, not for the months of visits
        "KpiAgentLatePartials": {"4m": 0, "6m": 1, "25m": 0},
        "KpiAgentFieldsUnreadable": {"4m": 0, "20m": 1},  # of one field; the other's is rare
        "KpiAgentLookupUnreadable": {"4m": 0, "11m": 1},
        "KpiAgentRecordsMissed": {"4m": 0, "6m": 1, "60m": 1, "70m": 0},
        "KpiAgentTwoRuleSets": {"14m": 0, "17m": 1, "23m": 0},  # where it is no rolling change
        "KpiAgentReloadFailed": {"4m": 0, "8m": 1, "12m": 0},
        "KpiAgentRemoteWriteBehind": {"9m": 0, "16m": 1},
        "KpiAgentRemoteWriteDropped": {"4m": 0, "8m": 1},  # too_old is no mistake
        "KpiStale": {"5m": 0, "13m": 1},  # revenue; visits has a month's time
    }
    fired_at = {
        name: {at: alerts_at(tmp_path, name, at) for at in times}
        for name, times in firing_at.items()
    }
    assert fired_at == firing_at


def produced(plan: Plan) -> Plan:
    """The plan with a team that answers for each of its events."""
    contracts = plan.contracts.items()
    return replace(plan, contracts={n: replace(c, team="shop", owner="ann") for n, c in contracts})


def test_rejected_events_are_the_alert_of_the_team_that_produces_them() -> None:
    plan = produced(company())
    alerts = [e for e in entries(alert_rules(plan)) if e["alert"] == "KpiEventsRejected"]
    assert [alert["labels"] for alert in alerts] == [
        {"severity": "warning", "contract": name, "owner": "ann", "team": "shop"}
        for name in sorted(plan.contracts)
    ]
    assert all(alert["labels"]["contract"] in alert["expr"] for alert in alerts)
    nobodys = {n: replace(c, team=None, owner=None) for n, c in plan.contracts.items()}
    assert "KpiEventsRejected" not in alert_rules(replace(plan, contracts=nobodys))


def alerts_at(folder: Path, alert: str, at: str) -> int:
    """How many alerts fire then: promtool is published that none does, and lists those that do."""
    scenario = yaml.safe_load((SCENARIOS / "agent_health.yml").read_text())
    case = {"eval_time": at, "alertname": alert, "exp_alerts": []}
    scenario["tests"][0]["alert_rule_test"] = [case]
    (folder / "health.yml").write_text(yaml.safe_dump(scenario))
    done = promtool("test", "rules", "health.yml", cwd=folder)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in said, said
    return said.partition("got:")[2].count("Labels:{")


def test_a_plan_without_rules_still_watches_the_agent() -> None:
    bare = replace(company(), rules={}, kpis={}, objectives={})
    assert [g["name"] for g in yaml.safe_load(alert_rules(bare))["groups"]] == ["kpi-agent"]


def test_rules_of_equal_name_prefix_stay_apart() -> None:
    rules = [threshold(f"r{i}", "revenue", level("info", "value < 1")) for i in (2, 10, 1)]
    text = alert_rules(replace(company(), rules={r.name: r for r in rules}))
    assert [e["alert"] for e in entries(text)][:3] == ["r1", "r10", "r2"]
