"""What a Prometheus server reads of the agent."""

from __future__ import annotations

import asyncio
import gzip
import re
import subprocess
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.core.model.results import AlertPhase, SeriesView
from agent.core.output.labels import AGENT_LABELS, RESERVED_LABELS
from agent.export.agent_state import AgentState
from agent.export.alertmanager import DeliveryMetrics
from agent.export.metrics import agent_metrics
from agent.export.metrics.exposition import Exposition, accepts_gzip, prefers_openmetrics
from tests.export import invented
from tests.export.invented import RESPONSE, company_state, view
from tests.export.running_agent import running_agent

SOURCE = Path(agent_metrics.__file__).read_text()
PROMETHEUS_2_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


async def _text(state: AgentState, accept: str = "text/plain") -> str:
    return b"".join((await Exposition(state).scrape(accept, "")).chunks).decode()


async def _samples(state: AgentState) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = await _text(state)
    listed = [s for family in parse_text(text) for s in family.samples]
    samples = {(s.name, frozenset(s.labels.items())): s.value for s in listed}
    assert len(samples) == len(listed)  # no series twice
    return samples


def _key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def test_a_series_has_its_value_current_value_target_state_and_attainment() -> None:
    samples = await _samples(company_state())
    region = {"region": "emea"}
    assert samples[_key("kpi_response_time_seconds", **region)] == 428.0
    assert samples[_key("kpi_response_time_current_seconds", **region)] == 440.0
    assert samples[_key("kpi_response_time_target_seconds", band="at_most", **region)] == 240.0
    assert samples[_key("kpi_response_time_target_seconds", band="warn_at_most", **region)] == 200.0
    assert samples[_key("kpi_response_time_target_seconds", band="at_most", region="apac")] == 300.0
    shared = {"kpi": "response_time", **region}
    assert samples[_key("kpi_target_state", **shared)] == 3
    assert samples[_key("kpi_target_attainment_ratio", **shared)] == 240 / 428
    assert samples[_key("kpi_window_events", **shared)] == 120
    assert samples[_key("kpi_feedback_score_stars")] == 4.31
    assert samples[_key("kpi_orders")] == 512
    assert samples[_key("kpi_orders_current")] == 88
    ends = samples[_key("kpi_window_end_timestamp_seconds", kpi="response_time")]
    assert ends == (invented.NOW_MS - 4_000) / 1000


async def test_every_series_says_of_every_rule_also_an_inactive_one() -> None:
    samples = await _samples(company_state())
    states = {labels: v for (name, labels), v in samples.items() if name == "kpi_rule_state"}
    expected = {
        frozenset(
            {"rule": rule, "severity": severity, "kpi": "response_time", "region": r}.items()
        ): 0
        for rule, severity in (
            ("slow_support", "warning"),
            ("slow_support", "critical"),
            ("quiet_region", "info"),
        )
        for r in ("emea", "amer", "apac")
    }
    emea = {"rule": "slow_support", "severity": "warning", "kpi": "response_time", "region": "emea"}
    expected[frozenset(emea.items())] = 2
    low = {"rule": "low_conversion", "severity": "page", "kpi": "conversion"}
    expected[frozenset(low.items())] = 0
    quiet = {"rule": "quiet_support", "severity": "warning", "kpi": "response_time"}
    expected[frozenset(quiet.items())] = 1
    assert states == expected


async def test_only_the_leader_says_of_objectives_and_of_whole_kpis() -> None:
    state = company_state()
    samples = await _samples(state)
    assert samples[_key("kpi_objective_score_ratio", objective="growth")] == 0.97
    assert samples[_key("kpi_objective_change_ratio", objective="growth")] == 0.004
    assert _key("kpi_objective_change_ratio", objective="productivity") not in samples
    assert samples[_key("kpi_objective_state", objective="customer_satisfaction")] == 3
    info = _key(
        "kpi_objective_info", objective="growth", title="Growth", owner="head-of-growth", team="",
        above="year_plan",
    )  # fmt: skip
    assert samples[info] == 1
    state.fleet.leads = False
    followers = await _samples(state)
    assert not any(name.startswith("kpi_objective") for name, _ in followers)
    quiet = _key("kpi_rule_state", rule="quiet_support", severity="warning", kpi="response_time")
    assert quiet not in followers


async def test_kpi_info_names_what_is_declared() -> None:
    samples = await _samples(company_state())
    assert samples[
        _key(
            "kpi_info", kpi="response_time", title="Average response time to customer inquiries",
            unit="seconds", owner="support-ops", team="operations", better="lower",
            window="5m every 1m", objective="customer_satisfaction",
        )
    ] == 1  # fmt: skip


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
async def test_what_is_not_a_finite_number_is_no_sample(value: float | None) -> None:
    bad = view(RESPONSE, ("emea",), value, current=value)
    samples = await _samples(running_agent(invented.COMPANY, [bad]))
    names = {name for name, _ in samples}
    assert "kpi_response_time_seconds" not in names
    assert "kpi_response_time_current_seconds" not in names
    assert "kpi_target_attainment_ratio" not in names or value is not None
    assert samples[_key("kpi_window_events", kpi="response_time", region="emea")] == 120


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        ('say "hi"', 'say "hi"'),
        ("back\\slash", "back\\slash"),
        ("two\nlines", "two\nlines"),
        ("Zürich 🏔", "Zürich 🏔"),
        (None, "__none__"),
        (True, "true"),
        (42, "42"),
    ],
)
async def test_label_values_survive_both_formats(dimension: object, expected: str) -> None:
    series = [view(RESPONSE, (dimension,), 1.5)]
    for accept, parse in (("text/plain", parse_text), (PROMETHEUS_2_ACCEPT, parse_openmetrics)):
        text = await _text(running_agent(invented.COMPANY, series), accept)
        families = {f.name: f for f in parse(text)}
        points = families["kpi_response_time_seconds"].samples
        assert [s.labels for s in points] == [{"region": expected}]


async def test_an_agent_without_data_answers_with_its_own_metrics() -> None:
    state = running_agent(invented.COMPANY, ready={"source topics": "waiting for topic support"})
    samples = await _samples(state)
    assert samples[_key("kpi_agent_ready", component="source topics")] == 0
    assert samples[_key("kpi_agent_series")] == 0
    assert not any(name.startswith("kpi_response") for name, _ in samples)


async def test_the_agents_own_metrics_are_in_the_answer() -> None:
    samples = await _samples(company_state())
    records = {"topic": "support", "outcome": "rejected", "reason": "not_json", "contract": ""}
    assert samples[_key("kpi_agent_records_total", **records)] == 3
    assert samples[_key("kpi_agent_lag_records", topic="support", partition="0")] == 12
    assert samples[_key("kpi_agent_flush_seconds_bucket", le="0.025")] == 1
    assert samples[_key("kpi_agent_flush_seconds_bucket", le="0.01")] == 0
    assert samples[_key("kpi_agent_flush_seconds_count")] == 1
    assert not any(name.endswith("_created") for name, _ in samples)


async def test_openmetrics_parses_and_has_the_same_kpi_samples() -> None:
    state = company_state()
    text = await _text(state, PROMETHEUS_2_ACCEPT)
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    new = {
        (s.name, frozenset(s.labels.items())): s.value
        for family in parse_openmetrics(text)
        for s in family.samples
        if not s.name.startswith("process_")
    }
    old = await _samples(state)
    assert new == {key: v for key, v in old.items() if not key[0].startswith("process_")}


async def test_the_kpi_units_are_said_in_openmetrics() -> None:
    families = {
        f.name: f for f in parse_openmetrics(await _text(company_state(), PROMETHEUS_2_ACCEPT))
    }
    assert families["kpi_response_time_seconds"].unit == "seconds"
    assert families["kpi_revenue_gbp"].type == "gauge"


async def test_gzip_holds_the_same_text() -> None:
    exposition = Exposition(company_state())
    packed = await exposition.scrape("text/plain", "gzip, deflate")
    plain = await exposition.scrape("text/plain", "identity")
    assert packed.gzipped
    assert not plain.gzipped
    unpacked = gzip.decompress(b"".join(packed.chunks)).decode().splitlines()
    kpis = [
        line for line in b"".join(plain.chunks).decode().splitlines() if line.startswith("kpi_")
    ]
    assert [line for line in unpacked if line.startswith("kpi_")] == kpis


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2_ACCEPT, True),
        ("*/*", False),
        ("", False),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0", False),
    ],
)
def test_the_format_is_the_one_preferred(accept: str, openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("gzip", True), ("gzip;q=0", False), ("*", True), ("", False), ("br, gzip;q=0.5", True)],
)
def test_gzip_is_sent_when_it_is_accepted(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


async def test_series_that_are_gone_are_gone_from_the_next_scrape() -> None:
    series = [view(RESPONSE, (region,), 100.0) for region in ("emea", "amer")]
    state = running_agent(invented.COMPANY, series)
    assert _key("kpi_response_time_seconds", region="amer") in await _samples(state)
    series.pop()
    assert _key("kpi_response_time_seconds", region="amer") not in await _samples(state)


def _many(count: int) -> list[SeriesView]:
    phases = {("slow_support", "warning"): AlertPhase.INACTIVE}
    made = view(RESPONSE, ("",), 100.0, current=90.0, phases=phases)
    return [structs.replace(made, dimensions=(f"region-{i:06}",)) for i in range(count)]


async def test_a_large_scrape_does_not_hold_the_event_loop() -> None:
    """25,000 series of 9 lines; how long a turn takes is for a benchmark on a quiet machine."""
    series = _many(25_000)
    exposition = Exposition(running_agent(invented.COMPANY, series))
    await exposition.scrape("text/plain", "gzip")
    turns, done = 0, asyncio.ensure_future(exposition.scrape("text/plain", "identity"))
    while not done.done():
        await asyncio.sleep(0)
        turns += 1
    chunks = (await done).chunks
    assert turns > 10
    assert len(chunks) > 40
    assert max(map(len, chunks)) < 1_000_000  # the longest stretch without a pause


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("accept", ["text/plain"])
async def test_promtool_finds_nothing_to_criticise(accept: str) -> None:
    text = await _text(company_state(), accept)
    command = ["promtool", "check", "metrics"]
    published = await asyncio.to_thread(
        subprocess.run, command, input=text, capture_output=True, text=True, check=False
    )
    assert (published.returncode, published.stdout + published.stderr) == (0, "")


async def test_a_kpi_without_dimensions_that_is_reported_twice_is_one_series() -> None:
    """Once as its only series, once as a whole: they may be held in two state partitions."""
    firing = {("low_conversion", "page"): AlertPhase.FIRING}
    only = view(invented.CONVERSION, (), 0.02, phases=firing)
    whole = SeriesView("conversion", (), None, None, None, None)
    for views in ([only, whole], [whole, only]):
        samples = await _samples(running_agent(invented.COMPANY, views))
        labels = {"rule": "low_conversion", "severity": "page", "kpi": "conversion"}
        assert samples[_key("kpi_rule_state", **labels)] == 2
        assert samples[_key("kpi_conversion_ratio")] == 0.02


async def test_a_value_is_read_as_it_is_and_one_that_is_none_gives_no_sample() -> None:
    values = [0.1 + 0.2, 1e22, 1.5e300, 5e-324, -0.0, 123456789012345680.0, 7.0, 1 / 3]
    state = company_state()
    state.fleet.series = [
        *(view(invented.REVENUE, (f"r{at}",), value) for at, value in enumerate(values)),
        *(
            view(invented.REVENUE, (f"none{at}",), value)
            for at, value in enumerate((None, inf, nan))
        ),
    ]
    samples = await _samples(state)
    name = "kpi_revenue_gbp"
    values_of = {labels: value for (metric, labels), value in samples.items() if metric == name}
    assert values_of == {
        frozenset({("country", f"r{at}")}): value for at, value in enumerate(values)
    }


async def test_a_series_keeps_its_labels_when_others_come_and_go() -> None:
    state = company_state()
    exposition = Exposition(state)
    for regions in ("abc", "abcd", "acd", "dca", "", "b"):
        views = [view(RESPONSE, (region,), float(ord(region))) for region in regions]
        state.fleet.series = views
        text = b"".join((await exposition.scrape("text/plain", "")).chunks).decode()
        values = {
            sample.labels["region"]: sample.value
            for family in parse_text(text)
            for sample in family.samples
            if sample.name == "kpi_response_time_seconds"
        }
        assert values == {region: float(ord(region)) for region in regions}


async def test_only_a_series_in_maintenance_has_a_sample_of_it() -> None:
    here = view(RESPONSE, ("emea",), 428.0)
    assert here.closed is not None
    maintained = structs.replace(here, closed=structs.replace(here.closed, maintenance="phones"))
    # As a private KPI's series is published: by another name than the one in its window.
    maintained = structs.replace(
        maintained,
        dimensions=("emea",),
        closed=structs.replace(maintained.closed, dimensions=("secret",)),
    )
    only = view(invented.CONVERSION, (), 0.02)
    assert only.closed is not None
    only = structs.replace(only, closed=structs.replace(only.closed, maintenance="shop"))
    state = company_state()
    state.fleet.series = [maintained, view(RESPONSE, ("apac",), 120.0), only]
    samples = await _samples(state)
    assert {labels: v for (name, labels), v in samples.items() if name == "kpi_maintenance"} == {
        frozenset({("kpi", "response_time"), ("maintenance", "phones"), ("region", "emea")}): 1,
        frozenset({("kpi", "conversion"), ("maintenance", "shop")}): 1,
    }
    assert samples[_key("kpi_response_time_seconds", region="emea")] == 428.0


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
async def test_external_labels_are_of_every_series(accept: str) -> None:
    parse = parse_openmetrics if "openmetrics" in accept else parse_text
    plain = company_state()
    external = {"cluster": 'eu "1"', "environment": "prod"}
    labeled = replace(company_state(), external_labels=external)
    text = await _text(labeled, accept)
    samples = [s for family in parse(text) for s in family.samples]
    assert samples
    assert all(s.labels["environment"] == "prod" for s in samples)
    assert {s.labels["cluster"] for s in samples} == {'eu "1"'}
    before = [s for family in parse(await _text(plain, accept)) for s in family.samples]
    without = {"cluster", "environment"}
    kept = [(s.name, {k: v for k, v in s.labels.items() if k not in without}) for s in samples]
    assert kept == [(s.name, s.labels) for s in before]


async def test_no_external_label_can_be_called_like_a_label_of_the_agents_own_metrics() -> None:
    state = company_state()
    DeliveryMetrics(state.metrics.registry, ["http://a"])
    names = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"labels=\[(.*?)\]", SOURCE))))
    assert names
    assert names <= AGENT_LABELS | RESERVED_LABELS.keys()
    text = await _text(state)
    shown = {name for f in parse_text(text) for s in f.samples for name in s.labels}
    dimensions = {name for kpi in state.plan.kpis.values() for name in kpi.by}
    assert shown <= AGENT_LABELS | RESERVED_LABELS.keys() | dimensions
