"""`check --registry`: where a registered schema no longer fits the contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from tests.kafka.registry_server import Registry, running

RULES = """version: 1
events:
  order:
    topic: {topic}
    format: avro
    type_field: none
    time: {{path: at, unit: ms}}
    fields:
      amount: float
      city: {{path: {{key: city}}, type: string}}
kpis:
  revenue: {{from: order, value: sum(amount), by: [city], window: 1m}}
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
    *,
    code: int = 0,
) -> list[tuple[str, int, str]]:
    (folder / "rules.yaml").write_text(RULES.format(topic=topic))
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
        ("events.order.topic", 4, "the registry has no subject other-key"),
        ("events.order.topic", 4, "the registry has no subject other-value"),
    ]


def test_a_registry_that_does_not_answer_is_no_verdict(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.refuse = 503
    assert checked(registry, tmp_path, capsys, code=3) == []
    assert main(["check", str(tmp_path), "--registry"]) == 3
    assert "KPI_AGENT_SCHEMA_REGISTRY" in capsys.readouterr().err
