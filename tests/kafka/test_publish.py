"""What other systems get."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from agent.errors import EnvironmentFault
from agent.kafka.publish import Send, acknowledged, target_key


def test_the_key_of_a_target_state_differs_from_its_windows() -> None:
    assert target_key(b'{"kpi":"orders"}') == b'{"kind":"target","kpi":"orders"}'


async def answers(*errors: Exception | None) -> list[Send]:
    sends = []
    for partition, error in enumerate(errors):
        future = asyncio.get_running_loop().create_future()
        sends.append(Send("kpi-values", partition, future))
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
    return sends


async def test_what_is_acknowledged_raises_nothing() -> None:
    await acknowledged([])
    await acknowledged(await answers(None, None))


async def test_what_was_not_written_is_named() -> None:
    with pytest.raises(EnvironmentFault, match="topic kpi-values partition 1 was not written"):
        await acknowledged(await answers(None, KafkaTimeoutError()))


async def test_a_message_that_is_too_large_names_the_limit() -> None:
    with pytest.raises(EnvironmentFault, match=r"max\.message\.bytes"):
        await acknowledged(await answers(MessageSizeTooLargeError()))
