from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from confluent_kafka import Consumer

from agent.demo.generator import Company, Message
from agent.demo.retail import Timelapse
from agent.demo.sender import Sender
from agent.kafka.embedded import EmbeddedBroker

DATA = Path(__file__).parents[2] / "examples" / "retail" / "retail-invoices.ndjson.gz"


def read(bootstrap: str, topics: list[str], count: int) -> list[tuple[str, bytes, bytes]]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(topics)
    records: list[tuple[str, bytes, bytes]] = []
    deadline = time.monotonic() + 60
    while len(records) < count and time.monotonic() < deadline:
        for record in consumer.consume(1000, timeout=0.5):
            if record.error() is None:
                key, value = record.key(), record.value()
                records.append((str(record.topic()), key or b"", value or b""))
    consumer.close()
    return records


async def test_history_arrives_at_once_and_exactly_as_it_was_made() -> None:
    with EmbeddedBroker() as broker:
        company = Company(time.time_ns() // 1_000_000)
        sender = Sender(broker.address)
        telling = asyncio.create_task(sender.send_company(company))
        history = list(company.between(company.first_tick, 0))
        await asyncio.wait_for(_sent(sender, len(history)), 60)
        telling.cancel()
        await sender.close()
        received = await asyncio.to_thread(
            read, broker.address, ["visits", "orders", "support", "feedback", "work"], sender.sent
        )
    assert len(received) == sender.sent
    assert not Counter(map(_plain, history)) - Counter(received)


async def test_the_retailers_year_goes_out_in_its_order_by_customer() -> None:
    with EmbeddedBroker() as broker:
        year = Timelapse(DATA, days_per_second=400)
        sender = Sender(broker.address)
        await asyncio.wait_for(sender.send_year(year), 60)
        await sender.close()
        received = await asyncio.to_thread(read, broker.address, ["retail"], len(year.events))
    assert Counter(value for _, _, value in received) == Counter(e.value for e in year.events)
    customer = b"17850"
    assert [v for _, k, v in received if k == customer] == [
        e.value for e in year.events if e.key == customer
    ]


async def test_the_year_takes_as_long_as_it_says() -> None:
    with EmbeddedBroker() as broker:
        year = Timelapse(DATA, days_per_second=2)
        sender = Sender(broker.address)
        first = datetime(2010, 12, 1, 8, 26)
        three_days = sum(e.at <= first + timedelta(days=3) for e in year.events)
        began = time.monotonic()
        telling = asyncio.create_task(sender.send_year(year))
        await asyncio.wait_for(_sent(sender, three_days), 60)
        took = time.monotonic() - began
        telling.cancel()
        await sender.close()
        assert took > 0.9  # the last of them is 2.3 days in


async def _sent(sender: Sender, count: int) -> None:
    while sender.sent < count:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _plain(message: Message) -> tuple[str, bytes, bytes]:
    return message.topic, message.key, message.value
