"""A person is erased on a real Kafka: their series go, the others stay, and nothing comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from agent.core.output.privacy import Privacy

from .agents import Agent
from .feeds import Record, evaluated, place_of, read
from .stage import PARTITIONS, PERSON_SECRET, Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

RULES = """\
version: 1
defaults: {lateness: 1s, idle_after: 1h}
events:
  task:
    topic: PREFIXtasks
    type_field: none
    time: at
    fields: {employee: string, minutes: {type: float, minimum: 0}}
kpis:
  own_tasks:
    owner: lead
    from: task
    value: count(*)
    by: [employee]
    window: 5s
    visibility: private
    person: employee
  team_tasks: {from: [own_tasks], by: [], value: sum(own_tasks), minimum_people: 1}
rules:
  busy: {kpi: own_tasks, when: value > 0, severity: warning}
"""
ANNA, ZAPHOD = "anna", "zaphod"
PRIVACY = Privacy(PERSON_SECRET)
HASH = PRIVACY.pseudonym("employee", ZAPHOD)

Place = tuple[str, int, int]


class Work:
    """Tasks of people, a second apart, in every partition."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._producer = Producer({"bootstrap.servers": stage.broker.address})

    def do(self, seconds: range, *people: str, minutes: float = 1) -> None:
        for second in seconds:
            for partition in range(PARTITIONS):
                for name in people:
                    at_ms = self._stage.start_ms + second * 1000
                    event = {"at": at_ms, "employee": name, "minutes": minutes}
                    topic = f"{self._stage.prefix}tasks"
                    self._producer.produce(topic, json.dumps(event), partition=partition)
        assert self._producer.flush(60) == 0


def erase(stage: Stage, *options: str) -> tuple[int, str, str]:
    """`kpi-agent erase` of Zaphod: exit code, standard output and standard error."""
    settings = {
        "BROKERS": stage.broker.address, "GROUP": f"{stage.prefix}agent",
        "TOPIC_PREFIX": f"{stage.prefix}agent", "VALUES_TOPIC": stage.values_topic,
        "ALERTS_TOPIC": stage.alerts_topic, "PERSON_SECRET": PERSON_SECRET,
    }  # fmt: skip
    made = subprocess.run(
        [sys.executable, "-m", "agent", "erase", "employee", "--rules", str(stage.rules), *options],
        env=os.environ | {f"KPI_AGENT_{name}": value for name, value in settings.items()},
        input=f"{ZAPHOD}\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ZAPHOD not in made.stdout + made.stderr
    return made.returncode, made.stdout, made.stderr


def state(stage: Stage) -> dict[tuple[str, bytes], Record]:
    """The last record of each key of the agent's state."""
    topics = [f"{stage.prefix}agent-{name}" for name in ("series", "board")]
    records = read(stage.broker.address, topics)
    return {(record.topic, record.key): record for record in records}


def naming(stage: Stage, name: str) -> set[str]:
    """The topics of the state with a row that names a person."""
    return {
        topic.removeprefix(f"{stage.prefix}agent-")
        for (topic, key), record in state(stage).items()
        if record.value and name.encode() in key + record.value
    }


def row(report: str, topic: str) -> list[str]:
    (line,) = (line.split() for line in report.splitlines() if line.startswith(f"{topic} "))
    return line[1:]


def windows_of(lines: list[dict[str, object]], name: str) -> dict[tuple[str, ...], object]:
    person = PRIVACY.pseudonym("employee", name)
    return {place_of(line): line["value"] for line in lines if person in str(line["dimensions"])}


def start(agents: list[Agent]) -> None:
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_ready()


def check_report(stage: Stage, report: str) -> None:
    """Every topic that names Zaphod is in it, and how Prometheus forgets him."""
    for topic in ("series", "board", "frames"):
        assert int(row(report, f"{stage.prefix}agent-{topic}")[0]) > 0
    assert int(row(report, f"{stage.prefix}agent-dead-letters")[0]) == PARTITIONS
    assert int(row(report, f"{stage.prefix}agent-late")[0]) == 0
    for topic in (stage.values_topic, stage.alerts_topic):
        assert int(row(report, topic)[0]) > 0
    assert f"--data-urlencode 'match[]={{employee=~\"{HASH}\"}}'" in report


def check_nothing_came_back(stage: Stage, agents: list[Agent], old: set[Place]) -> None:
    new = [r for r in read(stage.broker.address, [stage.values_topic]) if r.place not in old]
    assert new
    assert not [record for record in new if HASH.encode() in record.key]
    assert naming(stage, ZAPHOD) == set()
    page = f"/private/{PRIVACY.person_tokens('employee', ZAPHOD)[0]}"
    for agent in agents:
        assert agent.get(page)[0] == 404
        assert HASH not in agent.get("/metrics")[1]


def test_a_persons_series_go_and_everything_else_stays(stage: Stage) -> None:
    stage.rules.mkdir(parents=True)
    (stage.rules / "work.yaml").write_text(RULES.replace("PREFIX", stage.prefix))
    stage.topics = [f"{stage.prefix}tasks"]
    stage.create_topics()
    work, agents = Work(stage), [stage.agent(name) for name in ("first", "second")]
    work.do(range(30), ANNA, ZAPHOD)
    work.do(range(30, 31), ZAPHOD, minutes=-1)
    start(agents)
    until(lambda: naming(stage, ZAPHOD) == {"series", "board"}, 60, stage.words)
    assert [agent.terminate() for agent in agents] == [0, 0]
    # A worker too busy to leave the group is in it until its session is over.
    until(lambda: erase(stage, "--apply")[0] != 3, 60, stage.words)
    code, report, said = erase(stage, "--apply")
    assert (code, "slice is not closed yet" in said) == (1, True), said
    assert naming(stage, ZAPHOD) == {"series", "board"}

    def closed() -> dict[tuple[str, ...], object]:
        return windows_of(list(stage.published_windows().values()), ANNA)

    start(agents)
    work.do(range(30, 45), ANNA)
    # Zaphod's last partials may share a message with these; events after them close it.
    until(lambda: len(closed()) >= 7, 60, stage.words)
    work.do(range(45, 60), ANNA)
    until(lambda: "slice is not closed" not in erase(stage)[2], 60, stage.words)
    code, report, said = erase(stage)
    assert code == 0, said
    check_report(stage, report)
    code, _, said = erase(stage, "--apply")
    assert (code, "agents are running" in said) == (3, True), said
    assert naming(stage, ZAPHOD) == {"series", "board"}

    agents[0].kill()  # which is in the group until the session timeout
    assert agents[1].terminate() == 0
    others = {k: r.value for k, r in state(stage).items() if ZAPHOD.encode() not in k[1]}
    until(lambda: erase(stage, "--apply")[0] == 0, 60, stage.words)
    assert naming(stage, ZAPHOD) == set()
    assert {k: r.value for k, r in state(stage).items() if ZAPHOD.encode() not in k[1]} == others
    old = {record.place for record in read(stage.broker.address, [stage.values_topic])}

    start(agents)
    work.do(range(60, 90), ANNA)
    address, folder = stage.broker.address, stage.folder / "events"
    expected = evaluated(address, stage.rules, stage.topics, folder, PERSON_SECRET)
    annas = windows_of(list(expected.closed.values()), ANNA)
    until(lambda: closed().keys() >= annas.keys(), 120, stage.words)
    assert closed() == annas
    check_nothing_came_back(stage, agents, old)
