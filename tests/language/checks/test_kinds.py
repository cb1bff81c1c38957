"""Kinds of rules: which fields each refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.language.checks.kinds import REFUSED
from tests.language.checks.rule_set import messages

VALUES = {
    "clear": "value > 1", "for": "2h", "keep_firing_for": "1h", "min_events": 1,
    "min_history": "1d", "no_data_for": "2h", "on": "current", "on_no_data": "resolve",
    "per": "series", "when": "value < 1", "pace": "{period: month, target: 9}",
    "objective": "99.5% over 30d",
}  # fmt: skip
RULES = {
    "value": ("{kpi: orders, when: value < 1}", "a rule with `when`"),
    "absence": ("{kpi: orders, no_data_for: 2h}", "a rule with `no_data_for`"),
    "composite": ("{when: low, severity: critical}", "a rule without `kpi`"),
}
OF_TWO_KINDS = ("when", "pace", "objective", "no_data_for")
"""Beside a field of the other kind, a rule is of two kinds, which has a message of its own."""


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (kind, key)
        for kind, refused in REFUSED.items()
        for key in refused
        if kind == "composite" or key not in OF_TWO_KINDS
    ],
)
def test_a_field_that_says_nothing_for_a_kind_is_refused(
    kind: str, key: str, tmp_path: Path
) -> None:
    rule, called = RULES[kind]
    changes = f"rules: {{more: {rule[:-1]}, {key}: {VALUES[key]}}}}}"
    assert f"`{key}` has no effect in {called}" in messages(tmp_path, changes)


@pytest.mark.parametrize("key", ["when", "pace", "objective"])
def test_a_rule_is_of_one_kind(key: str, tmp_path: Path) -> None:
    changes = f"rules: {{more: {{kpi: orders, no_data_for: 2h, {key}: {VALUES[key]}}}}}"
    assert messages(tmp_path, changes) == ["both `when` and `no_data_for`"]


@pytest.mark.parametrize("kind", RULES)
def test_a_kind_takes_what_it_does_not_refuse(kind: str, tmp_path: Path) -> None:
    changes = f"rules: {{more: {RULES[kind][0][:-1]}, keep_firing_for: 1h}}}}"
    assert messages(tmp_path, changes) == []
