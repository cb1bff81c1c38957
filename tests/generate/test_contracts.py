"""What producers are given: schemas that agree with the decoder's verdicts, valid AsyncAPI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from agent.cli import main
from agent.core.decode.batch import Batch
from agent.core.decode.decoder import Decoder
from agent.core.model.plan import Plan
from agent.generate.contracts import ASYNCAPI_FILE, asyncapi, contract_files, event_schema
from agent.language.load import load
from tests.conftest import ROOT

RULES = """
version: 1
defaults: {team: shop-team}
events:
  order.paid:
    description: An order was paid.
    topic: shop
    time: paid_at
    id: [source, number]
    owner: head-of-shop
    fields:
      amount: {type: float, unit: eur, required: true, minimum: 0, maximum: 1000}
      items: {type: integer, minimum: 1, description: Pieces}
      gift: boolean
      country: {type: string, path: ship.address.country}
      street: {type: string, path: ship.address.street, required: true}
      second: {type: integer, path: "sizes[1]"}
      colour: {type: string, path: "attributes[name=colour].value"}
      placed: {type: string, path: paid_at}
      status: {type: string, enum: [paid, refunded]}
      code: {type: string, pattern: "^[A-Z]{2}$", max_length: 2}
      price: {type: decimal, scale: 2}
      paid: {type: boolean, read: {true: [1, Y], false: [0, N]}}
      tags: {type: [string]}
      due: {type: date}
  "3":
    topic: shop
    type_field: event.kind
    time: [at, sent_at, {path: sent.day, time_of_day: sent.clock}]
    fields: {page: {type: string, path: [event, "page.url"]}}
  by header:
    topic: by-header
    type_field: {header: X-Type}
    time: {record: timestamp}
    fields:
      tenant: {type: string, path: {header: X-Tenant}, required: true}
      shard: {type: integer, path: {key: shard}}
  by/header:
    topic: by-key
    type_field: none
    time: at
    fields: {k: {type: string, path: {key: true}}}
  logged: {topic: cdn, type_field: none, time: {path: date, time_of_day: time}}
  several: {topic: [web, web-eu], type_field: none, time: at}
  matching: {topic: {pattern: "web.*"}, type_field: none, time: at}
kpis:
  orders: {from: order.paid, value: count(*), window: 1h}
"""
ORDER: dict[str, Any] = {
    "type": "order.paid",
    "paid_at": "2025-03-03T09:00:00Z",
    "amount": 12.5,
    "ship": {"address": {"street": "Long Lane"}},
}
LOGGED: dict[str, Any] = {"date": "2025-03-03", "time": "08:20:00"}
VISIT: dict[str, Any] = {"event": {"kind": 3}, "sent_at": 1741000000}


@pytest.mark.parametrize(
    ("contract", "event"),
    [
        ("order.paid", ORDER),
        ("order.paid", ORDER | {"source": "a", "number": 5, "items": 1, "gift": True, "new": [{}]}),
        ("order.paid", ORDER | {"items": None, "gift": None, "sizes": None, "attributes": None}),
        ("order.paid", ORDER | {"sizes": [1, 2]}),
        ("order.paid", ORDER | {"sizes": ["s"]}),
        ("order.paid", ORDER | {"attributes": [{"name": "colour", "value": "red"}, {}]}),
        ("order.paid", ORDER | {"attributes": [{"name": "size", "value": 7}]}),
        ("order.paid", ORDER | {"status": "paid", "code": "NO", "price": "1.25", "paid": 1}),
        ("order.paid", ORDER | {"tags": ["a", None], "price": 2.5, "due": "2025-03-03"}),
        ("order.paid", ORDER | {"status": None, "paid": None, "tags": None, "due": None}),
        ("3", VISIT),
        ("3", VISIT | {"event": {"kind": "3", "page.url": "/a"}}),
        ("3", VISIT | {"at": "2025-03-03"}),
        ("3", VISIT | {"sent_at": None, "sent": {"day": "2025-03-03", "clock": "08:20"}}),
        ("logged", LOGGED),
        ("logged", {"date": 20250303, "time": "082000"}),
    ],
)
def test_an_event_that_the_agent_takes_is_valid(
    plan: Plan, contract: str, event: dict[str, Any]
) -> None:
    assert complaints(plan, contract, event) == []
    assert violations(plan, contract, event) == []


@pytest.mark.parametrize(
    ("contract", "event"),
    [
        ("order.paid", ORDER | {"paid_at": None}),
        ("order.paid", ORDER | {"paid_at": True}),
        ("order.paid", ORDER | {"paid_at": 1741000000}),  # a field, too: text
        ("order.paid", ORDER | {"amount": None}),
        ("order.paid", ORDER | {"amount": "12.50"}),
        ("order.paid", ORDER | {"amount": -1}),
        ("order.paid", ORDER | {"amount": 1000.5}),
        ("order.paid", ORDER | {"items": 0}),
        ("order.paid", ORDER | {"items": "1"}),
        ("order.paid", ORDER | {"gift": 1}),
        ("order.paid", ORDER | {"number": True, "source": "a"}),
        ("order.paid", ORDER | {"ship": {"address": {}}}),
        ("order.paid", ORDER | {"ship": {"address": "Long Lane"}}),
        ("order.paid", ORDER | {"ship": {"address": {"street": "Long Lane", "country": 47}}}),
        ("order.paid", ORDER | {"sizes": [1, "2"]}),
        ("order.paid", ORDER | {"attributes": [{"name": "colour", "value": 7}]}),
        ("order.paid", ORDER | {"status": "lost"}),
        ("order.paid", ORDER | {"code": "no"}),
        ("order.paid", ORDER | {"price": True}),
        ("order.paid", ORDER | {"paid": "maybe"}),
        ("order.paid", ORDER | {"tags": "a"}),
        ("order.paid", ORDER | {"tags": [5]}),
        ("order.paid", ORDER | {"due": {}}),
        ("3", VISIT | {"event": {"kind": 3, "page.url": 5}}),
        ("3", VISIT | {"sent_at": None, "sent": {"day": "2025-03-03", "clock": 820}}),
        ("logged", LOGGED | {"time": 82000}),
        ("logged", LOGGED | {"time": None}),
        ("logged", {"time": "08:20:00"}),
        ("logged", LOGGED | {"date": 1741000000}),
    ],
)
def test_what_the_agent_rejects_or_reads_as_null_is_a_violation(
    plan: Plan, contract: str, event: dict[str, Any]
) -> None:
    assert complaints(plan, contract, event)
    assert violations(plan, contract, event)


VALUES = """
version: 1
events:
  order:
    topic: shop
    type_field: none
    time: at
    fields:
      FIELD
kpis:
  orders: {from: order, value: count(*), window: 1h}
"""
FIELDS = [
    "{type: string}",
    "{type: integer}",
    "{type: integer, minimum: 0}",
    "{type: float}",
    "{type: boolean}",
    "{type: decimal, scale: 2}",
    "{type: decimal, scale: 2, minimum: 0}",
    "{type: decimal, scale: 2, maximum: 1000000}",
    "{type: integer, read: text}",
    "{type: float, read: text}",
    '{type: decimal, scale: 2, read: "1.234,50"}',
    '{type: decimal, scale: 2, read: "1,234.50", minimum: 0}',
    '{type: float, read: "€ 1 234,50"}',
    '{type: integer, read: "1,234"}',
    "{type: boolean, read: {true: [1, Y], false: [0, N]}}",
    "{type: date}",
    "{type: timestamp}",
    "{type: date, unit: day}",
    "{type: timestamp, unit: ms}",
    "{type: string, enum: [paid, Straße], ignore_case: true}",
    "{type: string, enum: [paid, open]}",
    "{type: [string]}",
    "{type: [integer]}",
    "{type: [float]}",
]
WRITTEN: list[Any] = [
    *(0, 1, -1, 7, 12.5, -3.25, 20150, 2025, 99_999_999, 20250303, 1_741_000_000, 10**17),
    *(True, False, "", " ", "x", "Y", "N", "0", "1", "-1", "+1", " 5 ", "1.5", "-1.5", ".5", "5."),
    *("1e3", "1,234.50", "1.234,50", "1.234", "1 234,50", "€ 1 234,50", "-€5", "€-5", "--5", "-0"),
    *("-0.00", "1,234", "12,34", "paid", "PAID", "Paid", "straße", "STRASSE", "open", "Open"),
    *("2025-03-03", "20150", "x2025", '["a"]', "[1]", "[1.5]", " [1, null]", ["a"], [1], [1.5]),
    *([None], [], [[1]], {}, {"a": 1}),
]


def _is_known(field: str, value: Any) -> bool:
    """What docs/producers.md says that a schema accepts."""
    is_text = isinstance(value, str)
    if "date" in field or "timestamp" in field:
        is_eight_digits = isinstance(value, int) and 10**7 <= value < 10**8
        is_huge = not is_text and "unit" in field
        return (is_text and "unit" not in field) or is_eight_digits or is_huge
    return is_text and ("[" in field or "maximum" in field)


@pytest.mark.parametrize("field", FIELDS)
def test_a_schema_is_as_strict_as_the_agent(field: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(VALUES.replace("FIELD", f"x: {field}"))
    values = load(file)
    for value in WRITTEN:
        event = {"at": "2025-03-03T09:00:00Z", "x": value}
        is_right = not complaints(values, "order", event)
        is_valid = not violations(values, "order", event)
        if is_right or not _is_known(field, value):
            assert is_valid == is_right, value


def test_a_day_of_a_schema_of_connect_is_a_date(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        VALUES.replace("type_field", "envelope: connect\n    type_field").replace(
            "FIELD", "due: date"
        )
    )
    assert violations(load(file), "order", {"at": "2025-03-03T09:00:00Z", "due": 20150}) == []


def complaints(plan: Plan, contract: str, event: dict[str, Any]) -> list[Any]:
    """What the decoder says of an event: rejects, and fields of another type."""
    decoder = Decoder(plan.contracts_of(plan.contracts[contract].topics.default))
    at = np.zeros(1, np.int64)
    batch = Batch(
        "shop",
        [json.dumps(event).encode()],
        np.zeros(1, np.int32),
        at,
        at + 10**14,
        timestamped=False,
    )
    decoded = decoder.decode(batch)
    accepted = decoded.tables[contract].height == 1
    assert accepted or decoded.rejects
    return [*decoded.rejects, *decoded.wrong_types]


def violations(plan: Plan, contract: str, event: dict[str, Any]) -> list[str]:
    schema = event_schema(plan.contracts[contract])
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(event)]


def test_headers_keys_owner_and_team_are_part_of_the_message(plan: Plan) -> None:
    messages = asyncapi(plan)["components"]["messages"]
    assert messages["by-header"]["headers"] == {
        "type": "object",
        "required": ["X-Type", "X-Tenant"],
        "properties": {
            "X-Type": {"type": "string", "const": "by header"},
            "X-Tenant": {"type": "string"},
        },
    }
    key = messages["by-header"]["bindings"]["kafka"]["key"]
    assert key["properties"] == {"shard": {"type": ["integer", "null"]}}
    assert messages["by-header-2"]["bindings"]["kafka"]["key"] == {"type": "string"}
    order = messages["order.paid"]
    assert (order["x-owner"], order["x-team"]) == ("head-of-shop", "shop-team")
    assert order["description"] == "An order was paid."
    assert "properties" not in messages["by-header"]["payload"]["schema"]


def test_names_that_are_no_file_names_get_files_of_their_own(plan: Plan) -> None:
    assert sorted(contract_files(plan)) == [
        "3.schema.json", ASYNCAPI_FILE, "by-header-2.schema.json", "by-header.schema.json",
        "logged.schema.json", "matching.schema.json", "order.paid.schema.json",
        "several.schema.json",
    ]  # fmt: skip


def test_every_topic_has_a_channel_and_so_has_a_pattern(plan: Plan) -> None:
    channels = asyncapi(plan)["channels"]
    assert {key: (of["address"], sorted(of["messages"])) for key, of in channels.items()} == {
        "by-header": ("by-header", ["by-header"]),
        "by-key": ("by-key", ["by-header-2"]),
        "cdn": ("cdn", ["logged"]),
        "shop": ("shop", ["3", "order.paid"]),
        "web": ("web", ["matching", "several"]),
        "web-eu": ("web-eu", ["matching", "several"]),
        "web-2": (None, ["matching"]),
    }
    assert channels["web-2"]["description"] == "Every topic whose whole name matches web.*."


def test_the_command_writes_the_files_and_checks_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    command = ["generate", "contracts", "--rules", str(rules), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main([*command, "--check"]) == 0
    rules.write_text(RULES.replace("maximum: 1000", "maximum: 2000"))
    assert main([*command, "--check"]) == 1
    assert "order.paid.schema.json is not what the rules generate" in capsys.readouterr().err


@pytest.mark.needs_asyncapi
@pytest.mark.parametrize("rules", ["given", "rules", "examples/retail/rules"])
def test_the_document_is_asyncapi_by_its_own_schema(plan: Plan, rules: str) -> None:
    file = ROOT / ".cache" / "asyncapi" / "package" / "schemas" / "3.0.0.json"
    schema = json.loads(file.read_text())
    parts = [
        (name, Resource.from_contents(part, default_specification=DRAFT7))
        for name, part in schema["definitions"].items()
    ]
    validator = Draft7Validator(schema, registry=Registry().with_resources(parts))
    document = asyncapi(plan if rules == "given" else load(ROOT / rules))
    assert [error.message for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors(document | {"channels": []}))
