"""Contracts: their formats, times, names and paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("sale", "expected"),
    [
        ("fields: {amount: {path: total.value, type: float}}", []),
        ("type_field: none, each: lines, fields: {items: {path: 'lines[].n', type: integer}}", []),
        ("time: {path: at, format: '%Y-%m-%d'}", []),
        (
            "time: {path: at, format: '%Y-%m-%d', unit: s}",
            ["`format` and `unit`: a time is text or a number"],
        ),
        ("schema: registry", []),
        ("schema: sale.avsc", ["the format json has no schema file 'sale.avsc'"]),
        ("message: Sale", ["`message` has no effect: the records name their own"]),
        (
            "fields: {Amount: {path: other, type: float}}",
            ["'Amount' and 'amount' differ only in case, which SQL does not distinguish"],
        ),
        (
            "fields: {items: {path: amount.items, type: integer}}",
            ["field 'items' is inside 'amount', which field 'amount' reads as a value"],
        ),
        (
            "fields: {items: {path: {envelope: n}, type: integer}}",
            ["field 'items' is in an envelope, but the event has none"],
        ),
        (
            "fields: {items: {path: {each: index}, type: integer}}",
            ["field 'items' is the position in an array, but there is no `each`"],
        ),
        (
            "fields: {items: {path: 'lines[].n', type: integer}}",
            ["field 'items' is in each element of 'lines'"],
        ),
        (
            "type_field: {record: schema}",
            ["type_field is the record's schema, but it names none"],
        ),
        ("each: lines, type_field: 'lines[].type'", ["type_field is inside an array"]),
    ],
)
def test_a_contract_can_be_read_from_one_event(
    sale: str, expected: list[str], tmp_path: Path
) -> None:
    assert messages(tmp_path, f"events: {{sale: {{{sale}}}}}") == expected


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("carts", []),
        ("shop", ["topic shop has the format avro here, and json for event 'sale'"]),
    ],
)
def test_a_topic_has_one_format(topic: str, expected: list[str], tmp_path: Path) -> None:
    cart = f"{{topic: {topic}, format: avro, time: at, fields: {{region: string}}}}"
    assert messages(tmp_path, f"events: {{cart: {cart}}}") == expected
