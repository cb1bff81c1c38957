"""Lookups: columns that there are, keys that fit, names that are free."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("table", "field", "expected"),
    [
        ("key: clerk", "team: staff.team", []),
        ("key: clerk", "team: {column: staff.team, key: region}", []),
        ("key: clerk", "team: {column: staff.tema}", ["staff declares no column 'tema'"]),
        ("key: clerk", "team: stuff.team", ["unknown lookup 'stuff'"]),
        ("key: clerk", "region: staff.team", ["'region' is a field of sale already"]),
        (
            "key: clerk",
            "team: {column: staff.team, key: items}",
            ["'items' is of type integer, staff.clerk of type string"],
        ),
        (
            "key: clerk",
            "team: {column: staff.team, key: [clerk, region]}",
            ["the key of staff is clerk"],
        ),
        ("key: [clerk, clerk]", "team: staff.team", ["'clerk' is given twice"]),
    ],
)
def test_a_lookup_has_the_column_and_the_key(
    table: str, field: str, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "staff.csv").write_text("clerk,team\nann,shoes\n")
    changes = f"""
lookups: {{staff: {{file: staff.csv, {table}, columns: {{team: string}}}}}}
events: {{sale: {{lookup: {{{field}}}}}}}
"""
    assert messages(tmp_path, changes)[: len(expected) or None] == expected
