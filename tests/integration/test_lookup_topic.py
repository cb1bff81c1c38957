"""A lookup in a compacted topic on a real Kafka: rows that change while two agents read and one is
killed, and windows that are DuckDB's ASOF join of both topics."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from datetime import datetime

import duckdb
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from .feeds import published
from .shops import delete_topics
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

RULES = """\
version: 1
defaults: {lateness: 3s, idle_after: 10m}
lookups:
  rates: {topic: PREFIXrates, key: currency, columns: {rate: integer, zone: string}}
events:
  sale:
    topic: PREFIXsales
    type_field: none
    time: at
    fields: {amount: integer, currency: string}
    lookup: {rate: rates.rate, zone: rates.zone}
kpis:
  revenue: {from: sale, value: sum(amount * rate), by: [zone], window: 2s}
  sales: {from: sale, value: count(*), by: [zone], window: 2s}
"""
CURRENCIES = ("EUR", "USD", "GBP", "JPY")
TRUTH = """
select kpi, zone, bin, value from (
    select "at" - "at" % 2000 as bin, zone, sum(amount * rate) as revenue, count(*) as sales
    from sales asof left join rates
        on sales.currency = rates.currency and sales."at" >= rates.stamp
    group by all
) unpivot include nulls (value for kpi in (revenue, sales))
"""
AHEAD_MS = 60_000


class Market:
    """Changes rates and sells, in turns; a rate is there before what is sold after it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rng = random.Random(14)
        self._producer = Producer({"bootstrap.servers": stage.broker.address, "linger.ms": 0})

    def trade(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            row = {"rate": self._rng.randrange(1, 9), "zone": self._rng.choice(["near", "far"])}
            deleted = self._rng.random() < 0.2
            self._send("rates", self._rng.choice(CURRENCIES), None if deleted else json.dumps(row))
            time.sleep(0.002)
            for _ in range(20):
                self.sell(self._rng.choice(CURRENCIES), self._rng.randrange(4))
            time.sleep(0.1)

    def place(self, currency: str, zone: str) -> None:
        self._send("rates", currency, json.dumps({"rate": 1, "zone": zone}))

    def sell_each(self, count: int) -> None:
        for partition in range(4):
            for _ in range(count):
                self.sell("EUR", partition)
        assert self._producer.flush(60) == 0

    def sell(self, currency: str, partition: int, ahead_ms: int = 0) -> None:
        now_ms = time.time_ns() // 1_000_000
        event = {"at": now_ms + ahead_ms, "amount": self._rng.randrange(9), "currency": currency}
        topic = f"{self._stage.prefix}sales"
        self._producer.produce(topic, value=json.dumps(event), partition=partition)

    def close(self, ahead_ms: int = AHEAD_MS) -> None:
        for partition in range(4):
            self.sell("EUR", partition, ahead_ms)
        assert self._producer.flush(60) == 0

    def _send(self, topic: str, key: str, value: str | None) -> None:
        self._producer.produce(f"{self._stage.prefix}{topic}", key=key, value=value)
        assert self._producer.flush(60) == 0


def _create(stage: Stage, topic: str, partitions: int, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": stage.broker.address})
    made = admin.create_topics([NewTopic(stage.prefix + topic, partitions, 1, config=config)])
    for future in made.values():
        future.result(60)


def _truth(stage: Stage) -> dict[tuple[str, str | None, int], float]:
    sales, rates = [], []
    consumer = Consumer({"bootstrap.servers": stage.broker.address, "group.id": "truth"})
    for topic, partitions in (("sales", 4), ("rates", 2)):
        for partition in range(partitions):
            tp = TopicPartition(stage.prefix + topic, partition, OFFSET_BEGINNING)
            left = consumer.get_watermark_offsets(tp, 60)[1]
            consumer.assign([tp])
            while left:
                for message in consumer.consume(1_000, 1):
                    left = 0 if message.offset() + 1 >= left else left
                    value = json.loads(message.value() or b"{}")
                    if topic == "sales":
                        sales.append((value["at"], value["amount"], value["currency"]))
                        continue
                    key = message.key().decode()
                    rates.append(
                        (key, message.timestamp()[1], value.get("rate"), value.get("zone"))
                    )
    consumer.close()
    with duckdb.connect() as db:
        db.execute('create table sales ("at" bigint, amount bigint, currency varchar)')
        db.execute("create table rates (currency varchar, stamp bigint, rate int, zone varchar)")
        db.executemany("insert into sales values (?, ?, ?)", sales)
        db.executemany("insert into rates values (?, ?, ?, ?)", rates)
        rows = db.execute(TRUTH).fetchall()
    newest = max(at for at, *_ in sales)
    return {(k, z, b): v for k, z, b, v in rows if b < newest - newest % 2000}


def _closed(stage: Stage) -> dict[tuple[str, str | None, int], float]:
    lines = published(stage.broker.address, stage.values_topic).values()
    return {
        (
            line["kpi"],
            line["dimensions"].get("zone"),
            round(datetime.fromisoformat(line["start"]).timestamp() * 1000),
        ): line["value"]
        for line in lines
        if line["kind"] == "window" and line["events"]
    }


def _rules(stage: Stage, window: str = "2s") -> None:
    text = RULES.replace("PREFIX", stage.prefix).replace("window: 2s", f"window: {window}")
    stage.rules.mkdir(parents=True)
    (stage.rules / "sales.yaml").write_text(text)


def test_windows_are_those_of_an_asof_join_though_rows_change_and_agents_are_killed(
    stage: Stage,
) -> None:
    _rules(stage)
    _create(stage, "sales", 4)
    config = {"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"}
    _create(stage, "rates", 2, **config)
    killed, other = stage.agent("one", flush_interval=0.2), stage.agent("two", flush_interval=0.2)
    market = Market(stage)
    market.trade(1)
    for agent in (killed, other):
        agent.start()
    for agent in (killed, other):
        agent.wait_ready()
    market.trade(5)
    killed.kill()
    market.trade(3)
    killed.start()
    market.trade(4)
    other.kill()
    killed.wait_ready()
    market.trade(4)
    market.close()
    expected = _truth(stage)

    def missing() -> list[str]:
        return sorted(map(str, expected.keys() - _closed(stage).keys()))

    until(lambda: not missing(), 120, lambda: f"{missing()[:5]}\n{stage.words()}")
    assert _closed(stage) == expected


def test_no_sale_counts_under_rows_of_two_logs_of_a_lookup_topic(stage: Stage) -> None:
    _rules(stage, window="30m")
    _create(stage, "sales", 4)
    config = {"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"}
    _create(stage, "rates", 1, **config)
    agent, market = stage.agent("one", flush_interval=0.2), Market(stage)
    market.place("EUR", "far")
    agent.start()
    agent.wait_ready()
    market.sell_each(10)
    until(lambda: agent.outcomes()["folded"] == 40, 60, stage.words)
    time.sleep(2)  # frames of all of them are sent
    delete_topics(stage, f"{stage.prefix}rates")
    market.sell_each(1)
    time.sleep(2)
    _create(stage, "rates", 1, **config)
    market.place("EUR", "near")
    market.sell_each(10)
    again = "a lookup topic was deleted and created again"
    until(lambda: again in stage.words(), 120, stage.words)
    market.close(3_000_000)  # no more than an hour ahead
    until(lambda: _sales(stage).total() >= 84, 120, lambda: f"{_sales(stage)}\n{stage.words()}")
    sales = _sales(stage)
    assert (sales["far"] in range(40, 45), sales.total()) == (True, 84)


def _sales(stage: Stage) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for (kpi, zone, _), value in _closed(stage).items():
        counts[zone] += int(value) if kpi == "sales" else 0
    return counts


def test_a_topic_that_may_lose_rows_too_early_is_refused(stage: Stage) -> None:
    _rules(stage)
    _create(stage, "sales", 4)
    _create(stage, "rates", 1, **{"cleanup.policy": "compact"})
    agent = stage.agent("one")
    agent.start()
    agent.wait_says("min.compaction.lag.ms=0: rows that were replaced may be deleted")
