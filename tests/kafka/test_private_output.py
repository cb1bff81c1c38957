"""Nothing that leaves a running agent names a person of a private KPI, or shows few people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from agent.core.output.privacy import Privacy
from agent.kafka.embedded import PARTITIONS
from tests.kafka.support import Agent, Published

pytestmark = pytest.mark.timeout(300)

SECRET = "a secret of sixteen characters or more"
PEOPLE = [f"zaphod-{n}" for n in range(6)]
START_MS = 1_700_000_000_000
RULES = """
version: 1
defaults: {lateness: 1s, idle_after: 1h, max_future: 3650d}
events:
  task:
    topic: tasks
    type_field: none
    time: at
    fields:
      employee: {type: string}
      desk: {type: string}
      minutes: {type: float, minimum: 0}
      mood: {type: integer}
kpis:
  effort:
    owner: lead
    from: task
    value: avg(minutes)
    by: [desk, employee]
    window: 5s
    target: {at_most: 7}
    visibility: private
    person: employee
  usual_effort: {from: [effort], by: [desk], value: median(effort)}
  tasks: {from: task, value: count(*), by: [desk], window: 5s, person: employee}
  all_tasks: {from: [tasks], by: [], value: sum(tasks)}
rules:
  slow:
    kpi: effort
    when: value > 8
    severity: critical
    summary: "{{ employee }} takes {{ value }} minutes"
    description: "{{ series }}, {{ dimensions }}"
  quiet: {kpi: effort, no_data_for: 5s}
  strange: {kpi: effort, when: "anomaly() > 3"}
  busy: {kpi: tasks, when: value > 1}
objectives:
  work: {owner: lead, kpis: {effort: 1}}
"""
RULE_NAMES = ("slow", "quiet", "strange", "busy")
PAGES = (
    "/", "/alerts", "/producers", "/metrics", "/-/ready", "/api/v1/board", "/api/v1/alerts",
    "/api/v1/rules", "/private/0123", "/api/v1/private/0123",
    *(f"/api/v1/explain?rule={name}" for name in RULE_NAMES),
    *(f"/api/v1/explain?rule={name}&series=desk=big" for name in RULE_NAMES),
    *(
        page
        for kpi in ("effort", "usual_effort", "tasks", "all_tasks")
        for page in (
            f"/kpis/{kpi}", f"/kpis/{kpi}/values.csv", f"/api/v1/kpis/{kpi}",
            f"/api/v1/kpis/{kpi}/history", f"/kpis/{kpi}?series=desk=small",
            f"/kpis/{kpi}/values.csv?series=desk=small",
        )
    ),
)  # fmt: skip


def task(second: float, desk: str, employee: object, minutes: object) -> bytes:
    """One event; what else stands in it is of no field."""
    at = START_MS + int(second * 1000)
    return json.dumps({"at": at, "desk": desk, "employee": employee, "minutes": minutes}).encode()


def events() -> Iterator[bytes]:
    """Six people at the big desk, one at the small; then what is late or can not be read."""
    for second in range(60):
        for n, name in enumerate(PEOPLE):
            yield task(second, "big", name, 4.0 + n)
        yield task(second, "small", PEOPLE[0], 777.25)
    yield task(0, "big", PEOPLE[0], 1.0)  # late
    yield task(60, "big", PEOPLE[1], -1.0)  # out of bounds
    yield task(60, "big", PEOPLE[2], PEOPLE[3])  # another type
    yield task(60, "big", {"name": PEOPLE[4]}, 1.0)
    yield json.dumps({"employee": PEOPLE[5]}).encode()  # no time
    yield json.dumps({"employee": PEOPLE[5], "at": PEOPLE[5]}).encode()
    yield task(60, "big", PEOPLE[0], 1.0)[:-1]  # no JSON
    yield json.dumps([PEOPLE[5]]).encode()  # no object


def headers_of(message: Message) -> bytes:
    headers: Any = message.headers() or []
    return b" ".join(bytes(value or b"") for _, value in headers)


def test_no_page_metric_message_header_or_log_line_names_a_person_or_shows_few(
    address: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "work.yaml").write_text(RULES)
    producer = Producer({"bootstrap.servers": address})
    for n, event in enumerate(events()):
        producer.produce("tasks", event, partition=n % PARTITIONS)
    producer.flush()
    published = Published(address)
    with (tmp_path / "log").open("wb") as log:
        agent = Agent(
            address, rules, log, person_secret=SECRET, log_level="debug", data_dir=tmp_path / "data"
        )
        try:
            for kpi, windows in (("tasks", 22), ("usual_effort", 22), ("all_tasks", 11)):
                published.until(lambda k=kpi, n=windows: len(published.windows(k)) >= n)  # type: ignore[misc]
            published.until(lambda: len(published.on("kpi-agent-dead-letters")) >= 5)
            published.until(lambda: len(published.on("kpi-agent-late")) >= 1)
            published.until(lambda: any(v["rule"] == "slow" for v in published.values("rule")))
            outside = {page: agent.get(page)[1] for page in PAGES}
            assert agent.stop() == 0
        finally:
            agent.kill()
            published.close()
    outside["log"] = (tmp_path / "log").read_text()
    for n, message in enumerate(published.messages):
        topic = str(message.topic())
        body = (message.key() or b"") + b" " + (message.value() or b"")
        own = body if topic in ("kpi-values", "kpi-alerts") else b""  # others hold the events
        outside[f"{topic} {n}"] = (headers_of(message) + own).decode()

    assert {place: text for place, text in outside.items() if "zaphod" in text} == {}
    # It would be in vain if the people were not there at all.
    pseudonyms = {Privacy(SECRET).pseudonym("employee", name) for name in PEOPLE}
    assert all(pseudonym in outside["/metrics"] for pseudonym in pseudonyms)
    slow = [
        step["dimensions"]["employee"]
        for step in published.values("rule")
        if step["rule"] == "slow"
    ]
    assert slow
    assert pseudonyms.issuperset(slow)
    # Of the small desk, whose figures are one person's, nothing but that they are hidden.
    few = [w for w in published.values("window") if "employee" not in w["dimensions"]]
    small = [w for w in few if w["dimensions"].get("desk") == "small"]
    assert {w["kpi"] for w in small} == {"usual_effort", "tasks"}
    assert {(w["value"], w["events"], w["hidden"]) for w in small} == {
        (None, 0, "fewer than 5 people")
    }
    total = {w["start"]: w["value"] for w in few if w["kpi"] == "all_tasks"}
    big = {w["start"]: w["value"] for w in few if w["kpi"] == "tasks" and w not in small}
    assert total == big
    assert "Hidden: fewer than 5 people" in outside["/kpis/tasks?series=desk=small"]
    assert ",fewer than 5 people\r\n" in outside["/kpis/tasks/values.csv"]
    public = {n: t for n, t in outside.items() if n != "/metrics" and not n.startswith("kpi-")}
    assert {place for place, text in public.items() if "777.25" in text} == set()
