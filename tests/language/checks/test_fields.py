"""Fields of contracts: what goes with which type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("type: float, minimum: 1, maximum: 1", []),
        ("type: float, minimum: 2, maximum: 1", ["the minimum 2 is above the maximum 1"]),
        ("type: string, minimum: 2", ["`minimum` on a field of type string"]),
        ("type: [string], enum: [a]", ["`enum` on a field of type [string]"]),
        ("type: string, min_length: 3, max_length: 3", []),
        (
            "type: string, min_length: 3, max_length: 2",
            ["the `min_length` 3 is above the `max_length` 2"],
        ),
        ("type: string, enum: [a, A]", []),
        ("type: string, enum: [a, b], ignore_case: true", []),
        (
            "type: string, enum: [a, A], ignore_case: true",
            ["'A' and 'a' are the same value with `ignore_case`"],
        ),
        ("type: string, ignore_case: true", ["`ignore_case` without `enum`"]),
        ("type: float, read: text", []),
        ("type: boolean, read: text", ["this is not how true and false are written"]),
        ("type: float, read: {true: [1], false: [0]}", ["this is not how a number is written"]),
        ("type: timestamp, unit: ms", []),
        ("type: timestamp, unit: eur", ["'eur' is not a unit of an epoch number"]),
        (
            "type: timestamp, unit: ms, format: '%Y-%m-%d'",
            ["`format` and `unit`: a time is text or a number"],
        ),
    ],
)
def test_a_field_has_what_fits_its_type(spec: str, expected: list[str], tmp_path: Path) -> None:
    changes = f"events: {{sale: {{fields: {{more: {{{spec}}}}}}}}}"
    assert messages(tmp_path, changes) == expected
