"""The page for anybody who runs the agent says what the agent does: settings, messages, metrics."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from agent.core.model import metrics
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Reason
from agent.core.output import messages as encode
from agent.export.agent_state import Alert
from agent.export.alertmanager import DeliveryMetrics
from agent.export.metrics.agent_metrics import AgentMetrics
from agent.export.remote_write.metrics import RemoteWriteMetrics
from agent.export.web.alerts import Query, alerts_response
from agent.export.web.web_config import WebConfig, load_web_config
from agent.kafka.publish import target_key
from agent.kafka.side_outputs import origin_headers
from agent.kafka.topics import DAY_MS, TopicNames
from agent.language.load import load
from agent.replay.runner import Replayed, replay, sources
from agent.settings import Settings, load_settings
from tests.conftest import ROOT
from tests.docs.test_readme import PAGE as README

PAGE = (ROOT / "docs" / "operations.md").read_text()
NOW_MS = 1_800_000_000_000


def section(title: str) -> str:
    """The text under a heading, up to the next heading of its rank or above."""
    match = re.search(rf"^(#+) {title}\n(.*?)(?=^#{{1,2}} |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[2]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| (`.*?`[^|]*) \|", text, re.MULTILINE)


def _as_yaml(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", section("Settings"), re.MULTILINE)
    defaults = {
        name: ""
        if field.default is None
        else str(field.default).replace("True", "true").replace("False", "false")
        for name, field in Settings.model_fields.items()
    }
    assert dict(rows) == defaults
    assert len(rows) == len(defaults)


def test_the_topics_that_it_writes_are_in_the_table() -> None:
    names = TopicNames.of(load_settings())
    kept = re.findall(
        r"^\| `(kpi-[\w-]+)` \|[^|]*\|[^|]*\| (.*?) \|$",
        section("Topics that it writes"),
        re.MULTILINE,
    )
    shown = {
        name: "compacted"
        if config["cleanup.policy"] == "compact"
        else f"{int(config['retention.ms']) // DAY_MS} days"
        for name, config in names.configs().items()
    }
    assert dict(kept) == shown


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Replayed]:
    """The README's rules, over two hours in which deliveries to Bergen are slow at first."""
    folder = tmp_path_factory.mktemp("tour")
    documents = re.findall(r"cat >>? tour/([\w/.]+) <<'END'\n(.*?)^END$", README, re.DOTALL | re.M)
    rules = "".join(text for name, text in documents if name.endswith("parcels.yaml"))
    (folder / "rules.yaml").write_text(rules)
    events = folder / "parcels.ndjson"
    with events.open("w") as out:
        for minute in range(120):
            at = f"2025-03-03T{10 + minute // 60:02}:{minute % 60:02}:20Z"
            event = {
                "type": "parcel.delivered",
                "parcel": f"p{minute}",
                "delivered_at": at,
                "city": "Bergen",
                "minutes": 30 + minute % 10 + 45 * (minute < 50),
            }
            out.write(json.dumps(event) + "\n")
    plan = load(folder / "rules.yaml")
    return plan, replay(plan, sources(plan, [str(events)]), NOW_MS)


def test_the_messages_are_those_of_the_tour(tour: tuple[Plan, Replayed]) -> None:
    plan, replayed = tour
    plan = replace(plan, config_hash="7d0c4f1a92be")  # the real one changes with the language
    kpi, rule = plan.kpis["delivery"], plan.rules["slow_delivery"]
    window = next(w for w in replayed.emitted.windows if w.end_ms == instant("10:30"))
    target = next(t for t in replayed.emitted.targets if t.window == window)
    [firing] = [t for t in replayed.emitted.transitions if t.state == "firing"]
    key = encode.window_key(kpi, window)
    assert re.findall(r"^```json\n(.*?)\n```$", section("Topics that it writes"), re.MULTILINE) == [
        text.decode()
        for text in (
            key,
            encode.dumps(encode.window_json(kpi, window)),
            target_key(key),
            encode.dumps(encode.target_json(kpi, target)),
            encode.transition_key(plan, firing),
            encode.dumps(encode.transition_json(plan, rule, firing, instant("10:30") + 41_250)),
        )
    ]


def instant(clock: str) -> int:
    return int(datetime.fromisoformat(f"2025-03-03T{clock}+00:00").timestamp() * 1000)


def test_the_alerts_of_the_tour_are_given_as_json_as_the_page_says(
    tour: tuple[Plan, Replayed],
) -> None:
    plan, replayed = tour
    step = next(t for t in replayed.emitted.transitions if t.state is AlertPhase.FIRING)
    shown = encode.transition_json(plan, plan.rules[step.rule], step)
    alert = Alert(
        step.rule, step.severity, step.kpi, step.dimensions, step.state, step.at_ms, step.value,
        str(shown["summary"]), str(shown["description"]),
    )  # fmt: skip
    answer = alerts_response(plan, [alert], [], Query([]), 1_741_001_400_000)
    (example,) = re.findall(r"^```json\n(.*?)^```$", section("Alerts as JSON"), re.M | re.DOTALL)
    assert json.loads(example) == answer


def test_the_fields_of_the_messages_are_explained(tour: tuple[Plan, Replayed]) -> None:
    plan, replayed = tour
    step = replayed.emitted.transitions[0]
    fields = set(encode.transition_json(plan, plan.rules[step.rule], step, NOW_MS))
    fields |= set(encode.target_json(plan.kpis["delivery"], replayed.emitted.targets[0]))
    named = set(re.findall(r"`(\w+)`", " ".join(first_cells(section("Topics that it writes")))))
    assert fields - named == {"kind", "rule", "severity", "kpi"}


def test_headers_and_reasons_of_dead_letters_are_named() -> None:
    class Record:
        topic, partition, offset, timestamp, headers = "parcels", 3, 361, 1_741_000_020_000, ()

    made = origin_headers(Record(), "wrong_type", "detail", "parcel.delivered")
    text = section("Dead letters and late records")
    assert [f"`{name}`" for name, _ in made] == first_cells(text)
    assert {str(reason) for reason in Reason} <= set(re.findall(r"`(\w+)`", text))


def test_every_metric_of_the_agent_is_named() -> None:
    registry = AgentMetrics().registry
    DeliveryMetrics(registry, ())
    RemoteWriteMetrics(registry)
    families = CollectorRegistry.collect(registry)  # those without a sample, too
    names = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    made = {name for name in names if name.startswith(metrics.AGENT_PREFIX)}
    shown = re.findall(r"`(kpi_agent_\w+)", " ".join(first_cells(section("Metrics"))))
    assert sorted(shown) == sorted(made)


def test_the_paths_of_the_web_server_are_named() -> None:
    source = (ROOT / "agent" / "export" / "web" / "server.py").read_text()
    routes = set(re.findall(r'web\.(?:get|post|put)\("(/[^"]*)"', source))
    aids = {"/static/{name}", "/favicon.ico"}
    named = re.findall(r"`(/[^`]*)`", " ".join(first_cells(section("Endpoints"))))
    assert {re.sub(r"<(\w+)>", r"{\1}", path) for path in named} == routes - aids


def test_the_web_configuration_of_the_page_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "web.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "web.yaml").write_text(example)
    config = load_web_config(tmp_path / "web.yaml")
    assert set(WebConfig.model_fields) == config.model_fields_set
    for section in WebConfig.model_fields:
        assert f"| `{section}` |" in text, section
