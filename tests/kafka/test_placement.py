"""The number of state partitions, on the embedded broker, whose topics have four."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agent.errors import EnvironmentFault
from agent.kafka import placement
from agent.kafka.client import connection, new_producer
from agent.kafka.embedded import PARTITIONS, EmbeddedBroker
from agent.kafka.placement import check_placement, has_changed
from agent.settings import Settings, load_settings


def settings_of(broker: EmbeddedBroker, state_partitions: int, create_topics: bool) -> Settings:
    return load_settings(
        brokers=broker.address, create_topics=create_topics, state_partitions=state_partitions
    )


async def send_frames(settings: Settings, partitions: Iterable[int]) -> None:
    producer = new_producer(settings)
    await producer.start()
    await producer.partitions_for("frames")
    await producer.partitions_for("series")
    for partition in partitions:
        await producer.send_and_wait("frames", b"a frame", partition=partition)
    await producer.stop()


@pytest.mark.parametrize("used", [(), range(PARTITIONS)], ids=["none yet", "all"])
async def test_the_number_is_that_of_the_topics(
    used: Iterable[int], broker: EmbeddedBroker
) -> None:
    settings = settings_of(broker, PARTITIONS, create_topics=True)
    await send_frames(settings, used)
    counts = {"frames": PARTITIONS, "series": PARTITIONS}
    assert await check_placement(settings, "frames", "series", counts) == PARTITIONS


@pytest.mark.parametrize(
    ("state_partitions", "series", "used", "message"),
    [
        (PARTITIONS, 3, (), "frames has 4 partitions and series has 3"),
        (PARTITIONS, PARTITIONS, (0, 1), "frames were sent to 2 of them only"),
        (8, PARTITIONS, range(PARTITIONS), "the setting state_partitions says 8"),
    ],
)
async def test_another_number_is_refused(
    state_partitions: int,
    series: int,
    used: Iterable[int],
    message: str,
    broker: EmbeddedBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "FIRST_FLUSH_SECONDS", 0.2)
    settings = settings_of(broker, state_partitions, create_topics=True)
    await send_frames(settings, used)
    counts = {"frames": PARTITIONS, "series": series}
    with pytest.raises(EnvironmentFault, match=message):
        await check_placement(settings, "frames", "series", counts)


async def test_topics_that_others_make_decide_over_the_setting(broker: EmbeddedBroker) -> None:
    settings = settings_of(broker, 8, create_topics=False)
    await send_frames(settings, range(PARTITIONS))
    counts = {"frames": PARTITIONS, "series": PARTITIONS}
    assert await check_placement(settings, "frames", "series", counts) == PARTITIONS


async def test_a_change_is_noticed_where_a_broker_says_so(broker: EmbeddedBroker) -> None:
    settings = settings_of(broker, PARTITIONS, create_topics=False)
    await send_frames(settings, ())
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        assert not await has_changed(admin, "frames", "series", PARTITIONS)
        assert await has_changed(admin, "frames", "series", PARTITIONS - 1)
    finally:
        await admin.close()
