"""`kpi-agent restate --dead-letters`, as docs/restate.md shows it, on the embedded broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from agent.cli import main
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.side_outputs import origin_headers
from agent.kafka.topics import TopicNames
from agent.language.load import load
from agent.settings import Settings, load_settings
from tests.conftest import ROOT
from tests.restate.shop import MINUTE_MS, START_MS, Sent, publish_live, send

RULES = """\
version: 1
defaults: {lateness: 10s, idle_after: 1h}
events:
  order: {topic: orders, time: at, fields: {amount: {type: float, minimum: 8}, region: string}}
kpis:
  revenue: {unit: eur, from: order, value: sum(amount), by: [region], window: 5m}
  largest: {unit: eur, from: order, value: max(amount), window: day}
"""


def order(minute: float, amount: object, region: str = "a") -> Sent:
    at = START_MS + round(minute * MINUTE_MS)
    return Sent(0, at, {"type": "order", "at": at, "amount": amount, "region": region})


SENT = sorted(
    [
        *(order(minute + 0.5, 10) for minute in range(30)),
        order(2.2, 5),
        order(2.4, 6, region="b"),
        order(3.2, -1),
        order(11.7, 7),
        order(28.1, 5),
    ],
    key=lambda record: record.at_ms,
)
"""The records of partition 0; their offsets are their indices."""


async def write_dead_letters(settings: Settings) -> None:
    """What an agent writes of these records; one of them twice, as after a crash."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers)
    await producer.start()
    dead = [(n, sent) for n, sent in enumerate(SENT) if sent.event["amount"] < 8]
    for offset, sent in [*dead, dead[0]]:
        value = json.dumps(sent.event).encode()
        record = ConsumerRecord(
            "orders", 0, offset, sent.at_ms, 0, None, value, None, -1, len(value), ()
        )
        headers = origin_headers(record, "out_of_bounds", "amount: below 8", "order")
        topic = TopicNames.of(settings).dead_letters
        await producer.send_and_wait(topic, value, headers=headers)
    await producer.send_and_wait(topic, b"not written by an agent")
    await producer.stop()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shop that takes small orders and returns, whose contract has been mended for the former."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    rules = tmp_path / "rules" / "shop.yaml"
    rules.write_text(RULES)
    with EmbeddedBroker() as broker:
        settings = load_settings(brokers=broker.address)

        async def fill() -> None:
            await send(settings, SENT)
            await publish_live(settings, load("rules"), START_MS + 25 * MINUTE_MS)
            await write_dead_letters(settings)

        asyncio.run(fill())
        rules.write_text(RULES.replace("minimum: 8", "minimum: 0"))
        monkeypatch.setenv("KPI_AGENT_BROKERS", broker.address)
        yield


def test_it_says_what_is_good_now_and_what_differs(
    shop: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restate", "--dead-letters"]) == 0
    said = capsys.readouterr()
    shown = "\n".join(line.rstrip() for line in said.out.splitlines())
    page = (ROOT / "docs" / "restate.md").read_text()
    assert f"```text\n{shown}\n\nNothing was published" in page, shown


def test_what_is_applied_is_corrected_once(shop: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restate", "--dead-letters", "--apply", "--format", "json"]) == 0
    said = capsys.readouterr()
    made = [json.loads(line) for line in said.out.splitlines()]
    assert [(c["dimensions"], c["value"], c["previous_value"]) for c in made] == [
        ({"region": "a"}, 55.0, 50.0),
        ({"region": "b"}, 6.0, None),
        ({"region": "a"}, 57.0, 50.0),
    ]
    assert said.err.endswith("3 windows are corrected.\n")
    assert main(["restate", "--dead-letters", "--apply"]) == 0
    assert capsys.readouterr().err.endswith("0 windows are corrected.\n")


def test_kpi_and_period_select_some(shop: None, capsys: pytest.CaptureFixture[str]) -> None:
    json_of = ["restate", "--dead-letters", "--format", "json"]
    assert main([*json_of, "largest"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*json_of, "revenue", "--since", "2025-03-03T11:10"]) == 0
    (correction,) = capsys.readouterr().out.splitlines()
    assert json.loads(correction)["value"] == 57.0
    assert main([*json_of, "--until", "2025-03-03T11:00"]) == 0
    assert capsys.readouterr().out == ""


def test_without_dead_letters_it_needs_a_kpi_and_a_period(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in ([], ["revenue"], ["revenue", "--since", "2025-03-03"]):
        assert main(["restate", *words]) == 2
        assert capsys.readouterr().err == (
            "kpi-agent restate: name a KPI, --since and --until; or give --dead-letters\n"
        )
