"""The registry's client, against a registry of the tests' own."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.core.decode.protobuf_format import ProtobufCodec
from agent.core.model.events import Schema
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.schema_registry import SchemaRegistry
from agent.settings import Settings
from tests.core.decode.protobuf_samples import compiled
from tests.kafka.registry_server import Registry

RULES = """
version: 1
events:
  order: {topic: shop, format: avro, type_field: none, time: at, fields: {amount: float}}
kpis:
  revenue: {title: R, unit: eur, better: higher, owner: o, from: order, value: sum(amount),
            window: 1m}
"""
ORDER = json.dumps(
    {"type": "record", "name": "Order", "fields": [{"name": "amount", "type": "double"}]}
)


def client(registry: Registry, plan: Plan, **settings: Any) -> tuple[SchemaRegistry, list[Any]]:
    reasons: list[Any] = []
    own = Settings(schema_registry=registry.url, **settings)
    return SchemaRegistry(own, plan, reasons.append), reasons


async def reported(reasons: list[Any]) -> None:
    while not reasons:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_a_schema_is_fetched_once_by_id_or_guid(registry: Registry, plan: Plan) -> None:
    number = registry.register("shop-value", {"schema": ORDER})
    schemas, _ = client(registry, plan)
    guid = registry.guid(number)
    for _ in range(2):
        assert await schemas.fetch([number, guid]) == dict.fromkeys(
            [number, guid], Schema("AVRO", ORDER)
        )
    assert registry.asked == [f"/schemas/ids/{number}"]


async def test_an_id_that_the_registry_does_not_have_is_an_answer(
    registry: Registry, plan: Plan
) -> None:
    schemas, reasons = client(registry, plan)
    assert await schemas.fetch([9]) == {9: None}
    assert await schemas.fetch([9]) == {9: None}
    assert registry.asked == ["/schemas/ids/9"]  # for a while it is not asked again
    assert set(reasons) == {None}


@pytest.mark.parametrize(
    ("status", "words"),
    [(503, "answers: not now (HTTP 503)"), (401, "refuses the credentials (HTTP 401)")],
)
async def test_a_registry_that_does_not_serve_is_waited_for(
    registry: Registry, plan: Plan, status: int, words: str
) -> None:
    number = registry.register("shop-value", {"schema": ORDER})
    registry.refuse = status
    schemas, reasons = client(registry, plan)
    fetching = asyncio.create_task(schemas.fetch([number]))
    async with asyncio.timeout(60):
        await reported(reasons)
        assert not fetching.done()
        assert words in reasons[0]
        registry.refuse = None
        assert await fetching == {number: Schema("AVRO", ORDER)}
    assert reasons[-1] is None


async def test_what_waits_can_be_given_up(plan: Plan) -> None:
    reasons: list[Any] = []
    schemas = SchemaRegistry(Settings(schema_registry="http://127.0.0.1:1"), plan, reasons.append)
    fetching = asyncio.create_task(schemas.fetch([1]))
    async with asyncio.timeout(60):
        await reported(reasons)
        schemas.give_up()
        with pytest.raises(EnvironmentFault, match=r"127\.0\.0\.1:1 does not answer"):
            await fetching


async def test_without_an_address_the_agent_says_what_to_set(plan: Plan) -> None:
    with pytest.raises(EnvironmentFault, match="no registry is set") as caught:
        await SchemaRegistry(Settings(), plan).fetch([1])
    assert "KPI_AGENT_SCHEMA_REGISTRY" in str(caught.value.hint)


async def test_secrets_come_from_files_and_are_never_said(
    registry: Registry, plan: Plan, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-the-registry\n")
    registry.refuse = 403
    for settings, scheme in (
        ({"schema_registry_user": "me", "schema_registry_password_file": secret}, "Basic"),
        ({"schema_registry_token_file": secret}, "Bearer"),
    ):
        schemas, reasons = client(registry, plan, **settings)
        fetching = asyncio.create_task(schemas.fetch([1]))
        async with asyncio.timeout(60):
            await reported(reasons)
        schemas.give_up()
        with pytest.raises(EnvironmentFault) as caught:
            await fetching
        assert str(registry.authorization).startswith(f"{scheme} ")
        assert "s3cret" not in f"{caught.value!r} {reasons}"
        assert "s3cret" not in repr(schemas._settings)


async def test_references_come_with_the_schema(registry: Registry, plan: Plan) -> None:
    money = {"type": "record", "name": "shop.Money", "fields": [{"name": "eur", "type": "double"}]}
    order = {"type": "record", "name": "O", "fields": [{"name": "price", "type": "shop.Money"}]}
    registry.register("money", {"schema": json.dumps(money)})
    reference = {"name": "shop.Money", "subject": "money", "version": 1}
    number = registry.register(
        "shop-value", {"schema": json.dumps(order), "references": [reference]}
    )
    schemas, _ = client(registry, plan)
    schema = (await schemas.fetch([number]))[number]
    assert schema == Schema("AVRO", json.dumps(order), (("shop.Money", json.dumps(money)),))


async def test_protobuf_comes_as_a_descriptor_set(registry: Registry, plan: Plan) -> None:
    import base64

    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    whole = compiled({
        "money.proto": 'syntax = "proto3"; message Money { double eur = 1; }',
        "o.proto": 'syntax = "proto3"; import "money.proto"; message O { Money price = 1; }',
    })  # fmt: skip
    money, order = FileDescriptorSet.FromString(base64.b64decode(whole.text)).file
    text = [base64.b64encode(file.SerializeToString()).decode() for file in (money, order)]
    registry.register("money", {"schema": text[0], "schemaType": "PROTOBUF"})
    reference = {"name": "money.proto", "subject": "money", "version": 1}
    number = registry.register(
        "shop-value", {"schema": text[1], "schemaType": "PROTOBUF", "references": [reference]}
    )
    schemas, _ = client(registry, plan)
    schema = (await schemas.fetch([number]))[number]
    assert schema is not None
    assert ProtobufCodec(schema).tree(b"\0\x0a\x09\x09" + b"\0\0\0\0\0\0\xf8\x3f") == {
        "price": {"eur": 1.5}
    }
