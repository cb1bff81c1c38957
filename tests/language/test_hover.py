"""What editors show: each word explained, examples, and the names of a rule set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.language.declared import declare, files_of, is_test_file, yaml_files
from agent.language.schema import json_schema as schema_of_rules
from agent.language.schema import with_names
from agent.language.source import read
from agent.ruletests.schema import json_schema as schema_of_tests
from tests.conftest import ROOT

RULES = ROOT / "rules"


def within(schema: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a schema."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from within(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from within(value)


@pytest.mark.parametrize("schema", [schema_of_rules(), schema_of_tests()], ids=["rules", "tests"])
def test_every_word_that_can_be_chosen_is_explained(schema: dict[str, Any]) -> None:
    """A new one is explained in `agent.language.schema.WORDS`."""
    choices = [choice for choice in within(schema) if isinstance(choice.get("enum"), list)]
    unexplained = {
        word
        for choice in choices
        for word, text in zip(choice["enum"], choice["enumDescriptions"], strict=True)
        if not text
    }
    assert choices
    assert unexplained == set()


def test_examples_are_shown_with_the_description() -> None:
    time = schema_of_rules()["$defs"]["EventSpec"]["properties"]["time"]
    assert time["markdownDescription"] == f"{time['description']}\n\nFor example `created_at`"


def test_names_are_offered_and_others_stay_allowed() -> None:
    schema = with_names(schema_of_rules(), declare(RULES))
    definitions = schema["$defs"]
    assert "response_time" in definitions["RuleSpec"]["properties"]["kpi"]["anyOf"][0]["enum"]
    text, list_ = definitions["KpiSpec"]["properties"]["from"]["oneOf"]
    assert "ticket.answered" in text["anyOf"][0]["enum"]
    assert "orders" in list_["items"]["anyOf"][0]["enum"]
    assert "region" in definitions["KpiSpec"]["properties"]["by"]["items"]["anyOf"][0]["enum"]
    weights = definitions["ObjectiveSpec"]["properties"]["kpis"]["properties"]
    assert weights["revenue"]["description"] == "Revenue"
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"rules": {"a": {"kpi": "of_tomorrow", "when": "value > 1"}}})
    for file in files_of(RULES):
        assert not list(validator.iter_errors(read(str(file), file.read_bytes()).data)), file


def test_names_are_offered_in_rule_tests() -> None:
    schema = with_names(schema_of_tests(), declare(RULES))
    definitions = schema["$defs"]
    assert (
        'response_time{region=""}' in definitions["TestSpec"]["properties"]["series"]["properties"]
    )
    assert (
        'conversion{channel=""}' in definitions["ExpectSpec"]["properties"]["windows"]["properties"]
    )
    assert "slow_support" in str(definitions["TestSpec"]["properties"]["rules"])
    assert "response_seconds" in definitions["EventsSpec"]["properties"]
    validator = Draft202012Validator(schema)
    tests = [file for file in yaml_files(RULES) if is_test_file(file)]
    assert tests
    for file in tests:
        assert not list(validator.iter_errors(read(str(file), file.read_bytes()).data)), file


def test_names_of_broken_rules_are_offered_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kpis:\n  orders: {from: nowhere, value: sum(}\n")
    schema = with_names(schema_of_rules(), declare(tmp_path))
    assert schema["$defs"]["RuleSpec"]["properties"]["kpi"]["anyOf"][0]["enum"] == ["orders"]
