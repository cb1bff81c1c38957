"""Topics read beside all groups, on the embedded broker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from agent.backtest.runner import over_files, over_topics
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome, WindowValue
from agent.errors import EnvironmentFault
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.history import history, newest
from agent.language.load import load
from agent.replay.runner import Replayed, sources
from agent.settings import Settings, load_settings

START_MS = 1_700_000_000_000 // 60_000 * 60_000
RULES = """\
version: 1
events:
  order:
    topic: orders
    time: at
    id: id
    fields: {amount: {type: float, minimum: 0}, region: string}
kpis:
  revenue: {unit: eur, from: order, value: sum(amount), by: [region], window: 1m}
rules:
  low: {kpi: revenue, when: value < 200, for: 2m}
  silent: {kpi: revenue, no_data_for: 4m, per: kpi}
"""


def events() -> list[dict[str, object]]:
    """An hour of orders, every second one, round the regions: emea sells little for ten minutes,
    and nobody anything for seven."""
    made = []
    for second in range(3600):
        region = ("emea", "apac")[second % 2]
        little = region == "emea" and 600 <= second < 1200
        if not 2000 <= second < 2420:
            at = START_MS + second * 1000
            amount = 1.0 if little else 10.0
            made.append(
                {"type": "order", "at": at, "id": str(second), "amount": amount, "region": region}
            )
    return made


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
async def settings(broker: EmbeddedBroker) -> Settings:
    """Settings of a broker that has the orders, written once, dealt out over the partitions."""
    loaded = load_settings(brokers=broker.address)
    if not getattr(broker, "written", False):
        producer = AIOKafkaProducer(bootstrap_servers=broker.address)
        await producer.start()
        for number, event in enumerate(events()):
            at = int(str(event["at"]))
            await producer.send(
                "orders", json.dumps(event).encode(), partition=number % PARTITIONS, timestamp_ms=at
            )
        await producer.stop()
        broker.written = True  # type: ignore[attr-defined]
    return loaded


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "orders.ndjson"
    path.write_text("".join(json.dumps(event) + "\n" for event in events()))
    return str(path)


async def test_a_backtest_over_topics_finds_what_one_over_files_finds(
    settings: Settings, plan: Plan, file: str
) -> None:
    until = START_MS + 3_540_000
    published = await over_topics(settings, plan, None, until)
    same = over_files(plan, sources(plan, [file]), until + 10**9, None, until)
    assert published.history.episodes == same.history.episodes
    assert Counter(e.rule for e in published.history.episodes) == {"low": 1, "silent": 1}
    assert published.read.outcomes[Outcome.FOLDED] == len(events())


async def test_the_topics_that_match_a_pattern_are_read(
    settings: Settings, file: str, tmp_path: Path
) -> None:
    path = tmp_path / "pattern.yaml"
    path.write_text(RULES.replace("topic: orders", "topic: {pattern: 'ord.*'}"))
    plan, until = load(path), START_MS + 3_540_000
    published = await over_topics(settings, plan, None, until)
    same = over_files(plan, sources(plan, [file]), until + 10**9, None, until)
    assert published.history.episodes == same.history.episodes != []
    path.write_text(RULES.replace("topic: orders", "topic: {pattern: 'nothing.*'}"))
    with pytest.raises(EnvironmentFault, match=r"there is no topic {pattern: nothing\.\*}"):
        await over_topics(settings, load(path), None, until)


async def test_what_is_asked_for_is_read_and_no_longer(settings: Settings, plan: Plan) -> None:
    since, until = START_MS + 600_000, START_MS + 1_500_000
    read = Replayed()
    seen: list[tuple[int, int]] = []
    windows: list[WindowValue] = []
    async for emitted in history(
        settings, plan, since - 600_000, until, read.note, lambda done, of: seen.append((done, of))
    ):
        windows += emitted.windows
    published = {(w.dimensions, w.end_ms): w.value for w in windows if since < w.end_ms <= until}
    expected: Counter[tuple[tuple[object], int]] = Counter()
    for event in events():
        end = int(str(event["at"])) // 60_000 * 60_000 + 60_000
        if since < end <= until:
            expected[(event["region"],), end] += int(float(str(event["amount"])))
    assert published == expected
    assert seen[-1][0] <= seen[-1][1] == len(events())


async def test_what_the_agent_has_committed_stays_as_it_is(settings: Settings, plan: Plan) -> None:
    places = [TopicPartition("orders", p) for p in range(PARTITIONS)]
    group = f"{settings.group}-ingest"
    agent = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers, group_id=group, enable_auto_commit=False
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    await agent.start()
    try:
        agent.assign(places)
        await agent.commit({place: OffsetAndMetadata(7, "2;7;;;;0;;") for place in places})
        before = await admin.list_consumer_group_offsets(group, partitions=places)
        await over_topics(settings, plan, START_MS, START_MS + 600_000)
        assert await admin.list_consumer_group_offsets(group, partitions=places) == before
        assert {offset.offset for offset in before.values()} == {7}
    finally:
        await agent.stop()
        await admin.close()


async def test_a_topic_that_is_not_there_is_reported(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(RULES.replace("topic: orders", "topic: nowhere"))
    with pytest.raises(EnvironmentFault, match="there is no topic nowhere"):
        await over_topics(load_settings(brokers=broker.address), load(path), None, START_MS)


async def test_brokers_that_do_not_answer_are_reported(plan: Plan) -> None:
    with pytest.raises(EnvironmentFault, match=r"can't be read from localhost:1"):
        await over_topics(load_settings(brokers="localhost:1"), plan, None, START_MS)


async def test_the_newest_records_of_a_topic_come_in_the_order_of_their_times(
    settings: Settings,
) -> None:
    records = [json.loads(r.value or b"") for r in await newest(settings, "orders", 400)]
    assert [event["id"] for event in records] == [event["id"] for event in events()[-400:]]
    with pytest.raises(EnvironmentFault, match="there is no topic nowhere"):
        await newest(settings, "nowhere", 5)
