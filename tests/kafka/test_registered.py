"""`check --registry`: where a registered schema no longer fits the contracts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from agent.cli import main
from tests.core.decode.protobuf_samples import compiled
from tests.kafka.registry_server import Registry, running

RULES = """version: 1
events:
  order:
    topic: {topic}
    format: avro
{more}    type_field: none
    time: {{path: at, unit: ms}}
    fields:
      amount: float
      city: {{path: {{key: city}}, type: string}}
kpis:
  revenue: {{from: order, value: sum(amount), by: [city], window: 1m}}
"""

MESSAGES = """syntax = "proto3";
package shop;
message Place { string city = 1; }
message Order { int64 at = 1; double amount = 2; }
"""


def schema(**types: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": type} for name, type in types.items()]
    return {"schema": json.dumps({"type": "record", "name": "Order", "fields": fields})}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running() as made:
        made.register("shop-value", schema(at="long", amount="double"))
        made.register("shop-key", schema(city="string"))
        yield made


def checked(
    registry: Registry,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    topic: str = "shop",
    more: str = "",
    *,
    code: int = 0,
) -> list[tuple[str, int, str]]:
    (folder / "rules.yaml").write_text(RULES.format(topic=topic, more=more and f"    {more}\n"))
    arguments = ["check", str(folder), "--registry", registry.url, "--format", "json"]
    assert main(arguments) == code
    problems = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(p["where"], p["line"], p["message"]) for p in problems]


def test_schemas_that_fit_pass(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(registry, tmp_path, capsys) == []


def test_the_newest_version_is_what_has_to_fit(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = registry.register("shop-value", schema(at="long", total="double"))
    gone = "the schema has no amount; it has at, total"
    where = f"topic shop, subject shop-value, schema {number}"
    assert checked(registry, tmp_path, capsys, code=1) == [
        ("events.order.fields.amount", 9, f"{gone}: {where}")
    ]
    key = registry.register("shop-key", schema(city="int"))
    changed = "city is an integer in the schema: expected a string"
    assert checked(registry, tmp_path, capsys, code=1)[1] == (
        "events.order.fields.city", 10, f"{changed}: topic shop, subject shop-key, schema {key}",
    )  # fmt: skip


def test_every_topic_that_matches_a_pattern_is_looked_at(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("shop-eu-value", schema(at="string", amount="string"))
    problems = checked(registry, tmp_path, capsys, '{pattern: "shop.*"}', code=1)
    assert [where for where, _, _ in problems] == ["events.order.fields.amount"]
    assert "topic shop-eu, subject shop-eu-value" in problems[0][2]


def test_a_schema_of_another_kind_does_not_fit(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("shop-value", {"schema": "{}", "schemaType": "JSON"})
    [(where, _, message)] = checked(registry, tmp_path, capsys, code=1)
    assert (where, message.partition(":")[0]) == (
        "events.order.format", "the schema is one of json",
    )  # fmt: skip


def test_a_topic_without_a_schema_is_a_warning(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(registry, tmp_path, capsys, "other") == [
        (
            "events.order.topic",
            4,
            "the registry has no subject other-key: name another one in `key_subject`",
        ),
        (
            "events.order.topic",
            4,
            "the registry has no subject other-value: name another one in `subject`",
        ),
    ]


def test_a_subject_called_after_the_record_is_named_by_the_contract(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = registry.register("shop.Order", schema(at="long", total="double"))
    named = "subject: shop.Order, key_subject: shop.Place".replace(", ", "\n    ")
    assert checked(registry, tmp_path, capsys, "orders", named, code=1) == [
        ("events.order.key_subject", 7, "the registry has no subject shop.Place"),
        (
            "events.order.fields.amount", 11,
            "the schema has no amount; it has at, total: "
            f"topic orders, subject shop.Order, schema {number}",
        ),
    ]  # fmt: skip
    registry.register("shop.Order", schema(at="long", amount="double"))
    registry.register("shop.Place", schema(city="string"))
    assert checked(registry, tmp_path, capsys, "orders", named) == []


def test_a_subject_called_after_topic_and_record_is_found_where_it_is_the_only_one(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("till-key", schema(city="string"))
    registry.register("till-shop.Order", schema(at="long", amount="string"))
    [(where, _, message)] = checked(registry, tmp_path, capsys, "till", code=1)
    assert where == "events.order.fields.amount"
    assert "topic till, subject till-shop.Order" in message
    registry.register("till-shop.Refund", schema(at="long"))
    several = "topic till has several subjects, name one in `subject`: "
    assert checked(registry, tmp_path, capsys, "till") == [
        ("events.order.topic", 4, several + "till-shop.Order, till-shop.Refund"),
    ]
    [(where, _, _)] = checked(
        registry, tmp_path, capsys, "till", "subject: till-shop.Order", code=1
    )
    assert where == "events.order.fields.amount"


def test_the_subject_of_an_event_by_its_schema_is_called_after_its_type(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "type: shop.Order"
    registry.register("till-key", schema(city="string"))
    registry.register("till-shop.Refund", schema(at="long"))
    text = "the registry has no subject shop.Order: name another one in `subject`"
    rules = RULES.replace("type_field: none", "type_field: {{record: schema}}")
    for subject, messages in (
        ("other-shop.Order", [text]),
        ("shop.Order", ["the schema has no amount; it has at"]),
        ("till-shop.Order", ["the schema has no amount; it has at"]),
    ):
        registry.register(subject, schema(at="long"))
        (tmp_path / "rules.yaml").write_text(rules.format(topic="till", more=f"    {typed}\n"))
        arguments = ["check", str(tmp_path), "--registry", registry.url, "--format", "json"]
        main(arguments)
        problems = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [p["message"].partition(": topic")[0] for p in problems] == messages
        assert subject in problems[0]["message"] or messages == [text]


def test_a_subject_called_after_a_message_is_about_that_one_of_its_file(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = FileDescriptorSet.FromString(base64.b64decode(compiled({"shop.proto": MESSAGES}).text))
    text = base64.b64encode(files.file[-1].SerializeToString()).decode()
    registry.register("till-key", schema(city="string"))
    registry.register("till-shop.Order", {"schema": text, "schemaType": "PROTOBUF"})
    (tmp_path / "rules.yaml").write_text(
        RULES.format(topic="till", more="").replace("avro", "protobuf")
    )
    assert main(["check", str(tmp_path), "--registry", registry.url]) == 0
    assert "all good" in capsys.readouterr().out


def test_a_registry_that_does_not_answer_is_no_verdict(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.refuse = 503
    assert checked(registry, tmp_path, capsys, code=3) == []
    assert main(["check", str(tmp_path), "--registry"]) == 3
    assert "KPI_AGENT_SCHEMA_REGISTRY" in capsys.readouterr().err
